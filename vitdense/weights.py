"""Starting from the weights of another model: what fits is loaded, and rows of equal classes are kept."""

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
from .class_rows import ClassRows, Rows, class_rows
from .mmengine_internals import records_initialization


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


def named_files(model: nn.Module) -> Iterator[tuple[str, str]]:
    """Each part whose `init_cfg` names a file, and the file; '' is the whole model.

    Of the modules, because a model hands its own on, as MMSegmentation's `pretrained` to the backbone.
    """
    for name, module in model.named_modules():
        init = getattr(module, 'init_cfg', None)
        if isinstance(init, dict) and init.get('checkpoint'):
            yield name, init['checkpoint']


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
        try:
            checkpoint = CheckpointLoader.load_checkpoint(self.checkpoint, self.map_location)
        except OSError as error:  # among them urllib's, of torchvision's weights
            raise ValueError(f'{self.checkpoint}: could not be loaded ({error})') from error
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
