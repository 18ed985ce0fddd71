"""Starting from the weights of another model: what fits is loaded, and rows of equal classes are kept.

Some tensors have rows for classes: the last layer of a head has one for each class, one for each class and
anchor, or four for each class. They are found by building the model once more, for one class more, without
memory: a tensor that grows has such rows, and its growth says how many.
"""

import copy
import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

import torch
from mmengine.model import PretrainedInit, update_init_info
from mmengine.registry import MODELS, WEIGHT_INITIALIZERS
from mmengine.runner import CheckpointLoader
from torch import Tensor, nn

from .checkpoint import SAFE_GLOBALS, local, read
from .mmengine_internals import records_initialization

FEATURES = ('backbone.', 'neck.', 'data_preprocessor.')  # parts that know of no classes


class ClassRows(NamedTuple):
    """How an axis of a tensor is laid out over classes.

    each: rows of one class, one for each anchor or box coordinate.
    others: entries beside the classes: background, which comes last, or YOLO's five of box and objectness,
    which come first.
    outer: the rows of a class lie together, as in class-wise box regression; else those of an anchor do.
    axis: which axis; the first, but for embeddings of classes such as Segmenter's.
    """

    each: int
    others: int
    outer: bool
    axis: int = 0

    def fits(self, own: Tensor, theirs: Tensor, classes: int) -> bool:
        """Whether a tensor is laid out as the model's own, for so many classes."""
        shape = list(own.shape)
        shape[self.axis] = self.each * (classes + self.others)
        return list(theirs.shape) == shape

    def of(self, entry: int, classes: int) -> list[int]:
        """The rows of an entry, where there are so many classes."""
        if self.outer:
            return [entry * self.each + i for i in range(self.each)]
        return [i * (classes + self.others) + entry for i in range(self.each)]

    def entries(self, names: Sequence[str]) -> dict[Any, int]:
        """The entry of each class by its name, and of what is beside the classes by its number."""
        first = self.others if self.others > 1 else 0
        beside = range(first) if first else range(len(names), len(names) + self.others)
        return {name: first + i for i, name in enumerate(names)} | dict(enumerate(beside))


class Start(NamedTuple):
    """What of a file was loaded.

    source: the file.
    shares: of each tensor of the model that was loaded, the share of its rows.
    classes: the model's whose rows were kept; None if the file names none, and rows are taken in order.
    lost: the model's that are in the file, where no row of a class could be kept.
    missing: tensors that the file lacks.
    misshapen: tensors that have another shape in the file.
    unplaced: tensors of which it is not known where they hold which class, left out.
    left_over: tensors of the file that the model lacks.
    """

    source: str
    shares: dict[str, float]
    classes: list[str] | None
    lost: list[str]
    missing: list[str]
    misshapen: list[str]
    unplaced: list[str]
    left_over: list[str]


Rows = Mapping[str, ClassRows | None]  # None: something in the tensor is for classes, and not known what


def class_rows(build: Callable[[Any], nn.Module], config: Any, classes: int) -> Rows:
    """The tensors of a model with rows for classes, by name.

    Where the config says nowhere how many classes there are, any tensor but those of the backbone and the
    neck may have them.

    Args:
        build: makes a model from a config.
        config: the model's.
        classes: how many the model has.
    """
    more = copy.deepcopy(config)
    state = random.getstate()
    with torch.random.fork_rng():
        ours = _built(build, config).state_dict()
        grown = _built(build, more).state_dict() if _add_class(more, classes) else None
    random.setstate(state)
    if grown is None:
        return {name: None for name in ours if not name.startswith(FEATURES)}
    return {
        name: _layout(name, ours[name].shape, grown[name].shape, classes)
        for name in ours.keys() & grown.keys()
        if ours[name].shape != grown[name].shape
    }


def _add_class(config: Any, classes: int) -> bool:
    """One class more wherever a config has their number, for MaskFormer in two parts; whether it has it.

    With as many outputs, where a segmentation head names their number. The one output of a binary head grows
    by two, and so has no rows of one class.
    """
    found = False
    for part in _dicts(config):
        things, stuff = part.get('num_things_classes'), part.get('num_stuff_classes', 0)
        for key, number in (('num_classes', part.get('num_classes')), ('num_things_classes', things)):
            if number is not None and number + (stuff if key == 'num_things_classes' else 0) == classes:
                part[key] = number + 1
                found = True
                if key == 'num_classes' and part.get('out_channels') in (1, classes):
                    part['out_channels'] = number + 1
    return found


def _layout(name: str, shape: torch.Size, grown: torch.Size, classes: int) -> ClassRows | None:
    axes = [axis for axis, (one, two) in enumerate(zip(shape, grown, strict=True)) if one != two]
    (axis, *more) = axes
    each = grown[axis] - shape[axis]
    others = shape[axis] // each - classes if each > 0 and shape[axis] % each == 0 else -1
    # of inputs, as PointRend's, it is not known where the classes are
    if more or others < 0 or (axis and others):
        return None
    return ClassRows(each, others, 'reg' in name, axis)


def _built(build: Callable[[Any], nn.Module], config: Any) -> nn.Module:
    """Without memory, if its constructor reads no numbers out of tensors, as MMSegmentation's ViT does."""
    try:
        with torch.device('meta'):
            return build(copy.deepcopy(config))
    except (NotImplementedError, RuntimeError):
        return build(copy.deepcopy(config))


def fit(
    own: Mapping[str, Tensor],
    theirs: Mapping[str, Tensor],
    rows: Rows,
    own_classes: Sequence[str],
    their_classes: Sequence[str] | None,
    source: str,
) -> tuple[dict[str, Tensor], Start]:
    """What fits of another state dict, as tensors of the model's own shapes, and what was done.

    Args:
        own: the model's state dict.
        theirs: the other one.
        rows: of those of the model's tensors that have rows for classes.
        own_classes: the names of the model's classes.
        their_classes: those of the other model, if they are known.
        source: where it is from.

    Raises:
        ValueError: nothing fits.
    """
    fitted, shares, unplaced = {}, {}, []
    same = their_classes is None or list(their_classes) == list(own_classes)
    for name in own.keys() & theirs.keys():
        tensor = theirs[name]
        if not isinstance(tensor, Tensor):
            continue
        if same or name not in rows or their_classes is None:
            new, share = tensor.to(own[name].dtype), float(own[name].shape == tensor.shape)
        elif (kind := rows[name]) is None:
            unplaced.append(name)
            continue
        else:
            new, share = _kept_rows(own[name], tensor, kind, own_classes, their_classes)
        if share:
            fitted[name], shares[name] = new, share
    if not any(own[name].is_floating_point() for name in shares):
        has, of = (f'{len(s)} tensors (such as {min(s)})' if s else 'no tensor' for s in (theirs, own))
        raise ValueError(f'{source}: no weight fits by name and shape: the file has {has}, the model {of}')
    both = own.keys() & theirs.keys()

    def rows_fit(name: str) -> bool:
        """Whether the rows are laid out alike, and only none of their classes is the model's."""
        kind = rows.get(name)
        if kind is None or their_classes is None:
            return False
        return kind.fits(own[name], theirs[name], len(their_classes))

    odd = [name for name in both - shares.keys() - set(unplaced) if not rows_fit(name)]
    both_have = [name for name in own_classes if name in (their_classes or ())]
    kept = not rows or bool(rows.keys() & shares.keys())  # not where only other parts of the heads fit
    classes = None if their_classes is None else both_have if kept else []
    lost = [] if kept else both_have
    missing, left_over = sorted(own.keys() - theirs.keys()), sorted(theirs.keys() - own.keys())
    return fitted, Start(source, shares, classes, lost, missing, sorted(odd), sorted(unplaced), left_over)


def _kept_rows(
    own: Tensor, tensor: Tensor, rows: ClassRows, own_classes: Sequence[str], their_classes: Sequence[str]
) -> tuple[Tensor, float]:
    """A tensor with the other one's rows of equal classes, and the share of these rows."""
    if not rows.fits(own, tensor, len(their_classes)):
        return own, 0.0
    ours, others = rows.entries(own_classes), rows.entries(their_classes)
    both = [entry for entry in ours if entry in others]
    to = [row for entry in both for row in rows.of(ours[entry], len(own_classes))]
    from_ = [row for entry in both for row in rows.of(others[entry], len(their_classes))]
    kept = tensor.index_select(rows.axis, torch.tensor(from_, dtype=torch.long)).to(own)
    to_rows = torch.tensor(to, dtype=torch.long, device=own.device)
    return own.index_copy(rows.axis, to_rows, kept), len(to) / own.shape[rows.axis]


def classes_in(checkpoint: Mapping[str, Any]) -> list[str] | None:
    """The names of the classes of a training's checkpoint, of this or of an earlier MMDetection; or None."""
    meta = checkpoint.get('meta')
    meta = meta if isinstance(meta, Mapping) else {}
    data = meta.get('dataset_meta')
    for where in (data if isinstance(data, Mapping) else {}, meta):
        for key in ('classes', 'CLASSES'):
            names = where.get(key)
            if isinstance(names, (list, tuple)) and all(isinstance(name, str) for name in names):
                return list(names)
    return None


def state_in(checkpoint: Mapping[str, Any], prefix: str = '') -> dict[str, Any]:
    """The tensors of a checkpoint whose names begin with a prefix, without it."""
    state = checkpoint.get('state_dict', checkpoint)
    start = f'{prefix.rstrip(".")}.' if prefix else ''
    names = ((name, name.removeprefix('module.')) for name in state)
    return {name.removeprefix(start): state[key] for key, name in names if name.startswith(start)}


class WeightRecord:
    """Which of a model's parameters have been loaded from a file, by whatever loaded them.

    Every way to load a state dict goes through the modules' `_load_from_state_dict`, and so through the hooks
    that torch calls before it.

    Args:
        classes: gives the names of the model's classes.
        config: the model's.
    """

    def __init__(self, classes: Callable[[], list[str]], config: Any):
        self.classes, self.config = classes, config
        self.loaded: dict[str, float] = {}  # by parameter, the share of its rows
        self.starts: list[Start] = []

    @contextmanager
    def recording(self, model: nn.Module) -> Iterator[None]:
        """While weights may be loaded into a model."""
        names = {id(parameter): name for name, parameter in model.named_parameters()}

        def note(module: nn.Module, state: Mapping[str, Tensor], prefix: str, *rest: Any) -> None:
            for name, parameter in module.named_parameters(recurse=False):
                theirs = state.get(prefix + name)
                if theirs is not None and theirs.shape == parameter.shape:
                    self.loaded[names[id(parameter)]] = 1.0

        handles = [module.register_load_state_dict_pre_hook(note) for module in model.modules()]
        token = _INITIALIZED.set((self, model))
        try:
            yield
        finally:
            _INITIALIZED.reset(token)
            for handle in handles:
                handle.remove()

    def fitted(
        self,
        own: Mapping[str, Tensor],
        checkpoint: Mapping[str, Any],
        source: str,
        part: str = '',
        prefix: str = '',
    ) -> dict[str, Tensor]:
        """What fits of a checkpoint into a part of the model, of which the state dict is given.

        Raises:
            ValueError: nothing fits.
        """
        start = f'{part}.' if part else ''
        theirs, names = state_in(checkpoint, prefix), classes_in(checkpoint)
        classes = self.classes() if names is not None else []
        all_rows = class_rows(MODELS.build, self.config, len(classes)) if classes else {}
        rows = {name.removeprefix(start): kind for name, kind in all_rows.items() if name.startswith(start)}
        fitted, what = fit(own, theirs, rows, classes, names, source)
        self.starts.append(what._replace(shares={start + name: share for name, share in what.shares.items()}))
        return fitted

    def shares(self, model: nn.Module) -> dict[str, float]:
        """The share of each part's parameters that were loaded; the backbone's parts are its stages."""
        started = {name: share for start in self.starts for name, share in start.shares.items()}
        count, loaded = defaultdict[str, int](int), defaultdict[str, float](float)
        for name, parameter in model.named_parameters():
            part = _part(name)
            count[part] += parameter.numel()
            loaded[part] += parameter.numel() * started.get(name, self.loaded.get(name, 0.0))
        return {part: loaded[part] / number for part, number in count.items()}


# whose weights MMEngine initializes, and the record of what is loaded
_INITIALIZED: ContextVar[tuple[WeightRecord, nn.Module] | None] = ContextVar('_INITIALIZED', default=None)


@CheckpointLoader.register_scheme(prefixes=('', 'http://', 'https://'), force=True)
def load_safely(filename: str, map_location: Any = None) -> Any:
    """How MMEngine's own `Pretrained` loads a file, which would otherwise unpickle what was refused."""
    return read(local(filename), allow=SAFE_GLOBALS)


@WEIGHT_INITIALIZERS.register_module(name='Pretrained', force=True)
class FittedInit(PretrainedInit):
    """MMEngine's `Pretrained`, which raises an error where nothing fits and keeps the rows of equal classes.

    MMEngine's leaves the random weights in place, and gives the rows of classes to whichever come first.
    """

    def __call__(self, module: nn.Module) -> None:
        if (initialized := _INITIALIZED.get()) is None:
            super().__call__(module)
            return
        record, model = initialized
        part = next((name for name, one in model.named_modules() if one is module), '')
        checkpoint = CheckpointLoader.load_checkpoint(self.checkpoint, self.map_location)
        if not isinstance(checkpoint, dict) or not isinstance(checkpoint.get('state_dict', {}), dict):
            raise ValueError(f'{self.checkpoint}: not a checkpoint: it holds a {type(checkpoint).__name__}')
        own = module.state_dict()
        fitted = record.fitted(own, checkpoint, self.checkpoint, part, self.prefix or '')
        module.load_state_dict(fitted, strict=False)
        if records_initialization(module):
            update_init_info(module, init_info=self._get_init_info())


def _part(name: str) -> str:
    """`backbone.stages.2.blocks.…` is in `backbone.stages.2`, `bbox_head.…` in `bbox_head`."""
    words = name.split('.')
    if words[0] != 'backbone':
        return words[0]
    return '.'.join(words[: 3 if words[1] in ('blocks', 'layers', 'stages') else 2])


def _dicts(node: Any, name: str = '') -> Iterator[dict]:
    """Every dict of a model's config, but of a region proposal network, whose class is 'object'."""
    if isinstance(node, dict) and name != 'rpn_head':
        yield node
        for key, child in node.items():
            yield from _dicts(child, key)
    elif isinstance(node, (list, tuple)):
        for child in node:
            yield from _dicts(child)
