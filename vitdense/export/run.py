"""An export from start to end: graph, files, comparison, certificate; without one, no file has its name."""

import contextlib
import copy
import hashlib
import shutil
import tempfile
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..backbones.pyramid import Pyramid
from ..benchmark.timing import time_in_turns
from ..config.description import VERSION as DESCRIPTION
from ..config.description import Undescribable, describe
from ..config.tree import dicts, innermost, name_of
from ..data.own_sizes import pair
from ..errors import UserError
from ..exported.certificate import Certificate
from ..exported.model import ExportedFile, pixels_of, run_by
from ..exported.runtimes import Session, named, open_session
from ..predict.predictor import Predictor
from .compare import (
    Difference,
    compare_found,
    compare_tensors,
    first_difference,
    images_of,
    sizes_to_compare,
    values_of,
)
from .graph import Boxes, BoxesAndMasks, Features, Graph, Logits, RawMaps
from .operators import exportable
from .quantize import quantized
from .requirements import versions_of
from .score import Data, Scored, check_same
from .write import (
    BATCH,
    FORMATS,
    certify,
    openvino_values,
    program_values,
    to_onnx,
    trace,
    write_onnx,
    write_openvino,
    write_torch,
)

WORST = 1e9  # in the place of an infinite difference, which JSON has not
FAILS = 'it fails'
SOURCE = 'graph.onnx'  # which OpenVINO's is made of


class Wanted(NamedTuple):
    """What is asked for.

    Attributes:
        formats: names in `FORMATS`.
        with_boxes: boxes after NMS in the graph, of a detector that could do without.
        backbone: its backbone alone.
        fixed: (H, W) of all images; by default any.
        largest: pixels of the longer side up to which it is certified.
        opset: of ONNX.
    """

    formats: Sequence[str]
    with_boxes: bool = False
    backbone: bool = False
    fixed: tuple[int, int] | None = None
    largest: int | None = None
    opset: int = 18


class Certified(NamedTuple):
    """A file with its certificate."""

    file: Path
    certificate: Certificate

    @property
    def line(self) -> str:
        """What a person wants to know of it."""
        one = self.certificate
        parts = [f'{size_of(self.file) / 1e6:.1f} MB']
        if one.precision == 'float32':
            unit = 'tolerances' if one.kind in ('boxes', 'masks') else 'standard deviations'
            parts.append(f'{one.worst:.1e} {unit} off in {len(one.comparisons)} comparisons')
            if one.kind in ('boxes', 'masks'):
                parts.append(f'{sum(each["objects"] for each in one.comparisons)} objects matched')
        scores = one.scores
        if scores:
            names = ', '.join(
                f'{name} {value:.3f} ({scores["eager"][name]:.3f} in torch)'
                for name, value in scores['exported'].items()
            )
            parts.append(f'{names} on {scores["images"]} images')
        parts.append(
            f'{one.seconds["file"] * 1e3:.0f} ms an image ({one.seconds["torch"] * 1e3:.0f} in torch)'
        )
        if one.price:
            megabytes, milliseconds = one.price['float32_bytes'] / 1e6, one.price['float32_seconds'] * 1e3
            names = ', '.join(f'{name} {value:.3f}' for name, value in one.price['float32'].items())
            parts.append(f'in float32 {names}, {megabytes:.1f} MB, {milliseconds:.0f} ms')
        return ', '.join(parts)


def graph_of(model: Any, wanted: Wanted) -> type[Graph]:
    """What is exported of a model.

    Raises:
        UserError: there is no graph for it.
    """
    if wanted.backbone:
        if not isinstance(model.backbone, Pyramid):
            raise UserError(f'--backbone: a {type(model.backbone).__name__} is not one of vitdense')
        return Features
    kind = type(model).__name__
    head: Any = getattr(model, 'decode_head', None)
    if head is not None:
        mode = model.test_cfg.get('mode', 'whole')
        if mode != 'whole' or getattr(head, 'out_channels', 2) == 1 or not hasattr(head, 'align_corners'):
            raise UserError(
                f'a {kind} with test_cfg.mode={mode!r} is not exported: expected whole images, 2 classes'
            )
        return Logits
    if getattr(model, 'roi_head', None) is not None and getattr(model, 'rpn_head', None) is not None:
        for part, expected in _parts(model):
            if type(part).__name__ != expected:
                raise UserError(
                    f'a {kind} with a {type(part).__name__} is not exported: expected a {expected}'
                )
        for part in (model.rpn_head, model.roi_head):
            _check_boxes(kind, part, part.test_cfg)
        return BoxesAndMasks
    head = getattr(model, 'bbox_head', None)
    if head is None or (not hasattr(head, 'anchor_generator') and not hasattr(head, 'prior_generator')):
        raise UserError(f'a {kind} is not exported: expected a RetinaNet, a Mask R-CNN or an EncoderDecoder')
    _check_boxes(kind, head, head.test_cfg)
    return Boxes if wanted.with_boxes else RawMaps


def _parts(model: Any) -> Iterator[tuple[Any, str]]:
    """Parts of a detector with regions, and of which class each has to be."""
    roi_head = model.roi_head
    yield model.rpn_head, 'RPNHead'
    yield roi_head, 'StandardRoIHead'
    yield roi_head.bbox_roi_extractor, 'SingleRoIExtractor'
    if roi_head.with_mask:
        yield roi_head.mask_head, 'FCNMaskHead'
        yield roi_head.mask_roi_extractor, 'SingleRoIExtractor'


def _check_boxes(kind: str, head: Any, cfg: Any) -> None:
    coder = getattr(getattr(head, 'bbox_head', head), 'bbox_coder', None)
    if type(coder).__name__ != 'DeltaXYWHBBoxCoder':
        raise UserError(
            f'a {kind} with a {type(coder).__name__} is not exported: expected a DeltaXYWHBBoxCoder'
        )
    if (suppression := cfg.nms.get('type', 'nms')) != 'nms':
        raise UserError(f'test_cfg.nms.type={suppression!r} is not exported: expected nms')
    if other := cfg.nms.keys() - {'type', 'iou_threshold', 'split_thr'}:
        raise UserError(f'test_cfg.nms.{min(other)} is not exported')
    if not hasattr(head, 'bbox_head') and cfg.get('nms_pre', -1) <= 0:
        raise UserError('test_cfg.nms_pre is needed: so many boxes of each level are kept at most')
    if cfg.get('min_bbox_size', 0) > 0:
        raise UserError(f'test_cfg.min_bbox_size={cfg.min_bbox_size} is not exported: expected 0')
    if hasattr(head, 'use_sigmoid_cls') and not head.use_sigmoid_cls:
        raise UserError(f'a {kind} whose {type(head).__name__} has a softmax is not exported')


def tested_resize(predictor: Predictor) -> dict[str, Any]:
    """What the config's tests resize images to, as a certificate says it."""
    steps = innermost(predictor.cfg.test_dataloader)[1]['pipeline']
    found = [part for part in dicts(steps) if 'scale' in part and name_of(part) == 'Resize']
    shorter, longer = sorted(pair(found[0]['scale'])) if found else (512, 512)
    return dict(longer=longer, shorter=shorter, keep_ratio=bool(found and found[0].get('keep_ratio')))


class Export:
    """A model on its way to files.

    Args:
        predictor: the model, eager.
        source: where its weights are from: a checkpoint, or 'random'.
        wanted: what is asked for.
    """

    def __init__(self, predictor: Predictor, source: Path | None, wanted: Wanted):
        self.predictor, self.wanted = predictor, wanted
        model = predictor.model
        kind = graph_of(model, wanted)
        self.graph = kind(exportable(model)).eval()  # operators exact in a graph
        self.eager = kind(model).eval()  # the libraries' own
        self.kind = kind.kind
        if kind is BoxesAndMasks:
            has_masks = model.roi_head.with_mask
            self.graph.names = self.eager.names = kind.names if has_masks else kind.names[:3]
            self.kind = 'masks' if has_masks else 'boxes'
        self.resize = tested_resize(predictor)
        scale = (self.resize['shorter'], self.resize['longer'])
        self.sizes, self.scale = sizes_to_compare(scale, wanted.largest)
        if wanted.fixed:
            self.sizes, self.scale = [wanted.fixed], wanted.fixed
        self.batches = (1, BATCH)
        self.certificate = self._certificate(source)
        self._values: dict[Any, Any] = {}

    def _limits(self) -> tuple[float, int]:
        """The score below which objects are dropped, and how many of an image are kept."""
        model = self.predictor.model
        head = getattr(model, 'roi_head', None) or getattr(model, 'bbox_head', None)
        if head is None:
            return 0.0, 0
        return float(head.test_cfg.get('score_thr', 0)), int(head.test_cfg.get('max_per_img', 100))

    def _certificate(self, source: Path | None) -> Certificate:
        predictor = self.predictor
        try:
            config = describe(predictor.cfg)
        except Undescribable as error:
            raise UserError(f'{predictor.name}: its config cannot be described: {error}') from error
        versions = versions_of(self.wanted.formats)
        if {'onnx', 'openvino'} & {*self.wanted.formats}:
            versions['opset'] = str(self.wanted.opset)
        weights = dict(file='random')
        if source is not None:
            weights = dict(file=source.name, sha256=hashlib.sha256(source.read_bytes()).hexdigest())
        heights, widths = zip(*self.sizes, strict=True)
        return Certificate(
            description=dict(version=DESCRIPTION, name=predictor.name, config=config, undescribed=''),
            classes=list(predictor.classes),
            palette=[list(map(int, colour)) for colour in predictor.palette],
            kind=self.kind,
            outputs=list(self.graph.names),
            precision='float32',
            resize=self.resize,
            heights=[min(heights), max(heights)],
            widths=[min(widths), max(widths)],
            batches=[min(self.batches), max(self.batches)],
            source=weights,
            versions=versions,
        )

    def write(self, folder: Path) -> Iterator[Path]:
        """The files of the formats, without certificates.

        Raises:
            UserError: the model cannot be written as one of them.
        """
        self.program = trace(self.graph, self.wanted.fixed)
        name = self.predictor.name
        if {'onnx', 'openvino'} & {*self.wanted.formats}:
            self.onnx = to_onnx(self.program, self.graph.names, self.wanted.opset)
            write_onnx(self.onnx, folder / SOURCE)
        for format in self.wanted.formats:
            file = folder / f'{name}{FORMATS[format]}'
            if format == 'openvino':
                write_openvino(folder / SOURCE, file)
            elif format == 'onnx':
                shutil.copyfile(folder / SOURCE, file)
            else:
                write_torch(self.program, file)
            yield file

    def certified(self, file: Path, data: Data | None, lower: str | None, max_drop: float) -> Certified:
        """Compare a file with the eager model, and certify it, or one of a lower precision made of it.

        Args:
            file: in float32, without a certificate.
            data: images to score on; of a lower precision, they are needed.
            lower: 'bfloat16' or 'int8'.
            max_drop: the score that a lower precision may lose.

        Raises:
            UserError: it differs, or loses more.
        """
        session = open_session(file)
        certificate = self.compare(session)
        if data is not None:
            scored = self._score(data, session, certificate, self.predictor.model)
            check_same(scored, file.name)
            certificate.scores = scores_of(scored)
        certificate.seconds = self._seconds(file=session)
        if lower and data is not None:
            file, certificate = self._lowered(file, session, certificate, data, lower, max_drop)
        certify(file, certificate)
        return Certified(file, certificate)

    def _score(self, data: Data, session: Session, certificate: Certificate, beside: Any) -> Scored:
        model = copy.deepcopy(self.predictor.model)
        run_by(model, ExportedFile(session, certificate))
        return data.score(beside, model, *self._limits())

    def _seconds(self, **sessions: Session) -> dict[str, Any]:
        """Of one image of the size of the config's tests, in turns."""
        image = images_of(self.scale, 1)
        pixels = image.numpy()

        def eager() -> None:
            with torch.no_grad():
                self.eager(image)

        runs: dict[Hashable, Callable[[], Any]] = {'torch': eager}
        runs |= {name: partial(session.run, pixels) for name, session in sessions.items()}
        times = time_in_turns(runs, 5, torch.device('cpu'))
        seconds: dict[str, Any] = {str(name): timing.median for name, timing in times.items()}
        return dict(seconds, size=list(self.scale), threads=torch.get_num_threads())

    def _lowered(
        self,
        file: Path,
        session: Session,
        certificate: Certificate,
        data: Data,
        lower: str,
        max_drop: float,
    ) -> tuple[Path, Certificate]:
        if lower == 'int8':
            images = [pixels_of(image) for batch in data.batches() for image in batch['inputs']]
            target = quantized(file, images, file.with_name(f'{file.stem}-int8{file.suffix}'))
        else:
            target = file
        session_lower = open_session(target, lower)
        low = self.compare(session_lower, lower)
        exact = copy.deepcopy(self.predictor.model)
        run_by(exact, ExportedFile(session, certificate))
        scored = self._score(data, session_lower, low, exact)
        low.scores = dict(scores_of(scored), eager=certificate.scores['eager'])
        low.seconds = self._seconds(file=session_lower, float32=session)
        low.price = dict(
            drop=scored.drop,
            float32=dict(certificate.scores['exported']),
            bytes=size_of(target),
            float32_bytes=size_of(file),
            float32_seconds=low.seconds.pop('float32'),
        )
        if scored.drop > max_drop:
            raise UserError(
                f'{target.name}: not written: {lower} loses {scored.drop:.4f} of its score, more than '
                f'--max-drop {max_drop:g}'
            )
        return target, low

    def compare(self, session: Session, precision: str = 'float32') -> Certificate:
        """Compare a file with the eager model at every size and batch.

        Raises:
            UserError: it differs, in float32, or is no answer at all; says where, and at which node first.
        """
        comparisons, worst = [], Difference(0.0, None, 0, '')
        for size in self.sizes:
            for batch in self.batches:
                found = self._compared(session, size, batch)
                is_wrong = found.deviations == float('inf')  # no numbers, or maps of another size
                if is_wrong or (found.worst > 1 and precision == 'float32'):
                    raise UserError(self._refusal(session, size, batch, found))
                worst = max(worst, found, key=lambda one: one.worst)
                comparisons.append(
                    dict(
                        runtime=session.runtime,
                        version=session.version(),
                        batch=batch,
                        size=list(size),
                        deviations=found.deviations,
                        objects=found.objects,
                        tolerances=min(found.worst, WORST),
                    )
                )
        own = dict(
            comparisons=comparisons,
            precision=precision,
            worst=min(worst.worst if worst.deviations is None else worst.deviations, WORST),
            versions={**self.certificate.versions, session.runtime: session.version()},
        )
        return Certificate(**{**vars(self.certificate), **own})

    def _compared(self, session: Session, size: tuple[int, int], batch: int) -> Difference:
        image = images_of(size, batch)
        if (size, batch) not in self._values:
            with torch.no_grad():
                self._values[size, batch] = dict(zip(self.eager.names, self.eager(image), strict=True))
        want = self._values[size, batch]
        try:
            outputs = session.run(image.numpy())
        except Exception as error:  # of any class, as the runtime has it
            text = ' '.join(str(error).split())[:200]
            return Difference(float('inf'), float('inf'), 0, f'{FAILS}: {text}')
        got = {
            name: torch.from_numpy(np.asarray(one)) for name, one in named(outputs, self.graph.names).items()
        }
        if self.kind in ('boxes', 'masks'):
            return compare_found(want, got, self._limits()[0])
        return compare_tensors(want, got)

    def _refusal(self, session: Session, size: tuple[int, int], batch: int, found: Difference) -> str:
        place = f'{batch} × {size[0]} × {size[1]}'
        away = found.text
        if found.deviations is not None and not away.startswith(FAILS):
            away = f'{found.deviations:.2g} standard deviations in {found.text}'
        runtime = f'{session.runtime} {session.version()}'
        text = f'{session.file.name}: not written: {runtime} differs from torch on {place}: {away}'
        node = ''
        with contextlib.suppress(Exception):  # no help is needed to refuse
            node = self._node(session, images_of(size, batch))
        return f'{text}; first at {node}' if node else text

    def _node(self, session: Session, image: Tensor) -> str:
        if session.runtime == 'torch':
            return ''
        values = values_of(self.onnx.exported_program, image)  # whose names the graph has

        def run(names: Sequence[str]) -> Mapping[str, np.ndarray]:
            if session.runtime == 'OpenVINO':
                return dict(openvino_values(session.file, names, image))
            return dict(program_values(self.onnx, names, image))

        return first_difference(values, run)


@contextlib.contextmanager
def unfinished(out: Path) -> Iterator[Path]:
    """A folder for files that have no certificate yet; it is gone afterwards, whatever happens.

    Raises:
        UserError: the disk is full, or the folder may not be written to.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix='.unfinished-', dir=out) as folder:
            yield Path(folder)
    except OSError as error:
        raise UserError(f'{error.filename or out}: {error.strerror or error}') from error


def scores_of(scored: Scored) -> dict[str, Any]:
    """As a certificate has them."""
    return dict(
        eager=dict(scored.eager),
        exported=dict(scored.exported),
        images=scored.images,
        objects=scored.difference.objects,
    )


def refuse_existing(out: Path, name: str, formats: Sequence[str], overwrite: bool) -> None:
    """
    Raises:
        UserError: a file of one of these names is there.
    """
    there = [name + FORMATS[one] for one in formats if (out / f'{name}{FORMATS[one]}').exists()]
    if there and not overwrite:
        raise UserError(f'{out} holds {", ".join(there)}; --overwrite replaces, another --out leaves it')


def publish(certified: Certified, out: Path, name: str) -> Certified:
    """Give a certified file its name: with its weights first, the file itself last."""
    file = certified.file
    target = out / f'{name}{file.suffix}'
    suffixes = ['.bin'] * (file.suffix == '.xml') + [f'{file.suffix}.json', file.suffix]
    for suffix in suffixes:
        file.with_suffix(suffix).replace(target.with_name(f'{name}{suffix}'))
    return certified._replace(file=target)


def size_of(file: Path) -> int:
    """Bytes, with the weights of a file that has them beside it."""
    weights = file.with_suffix('.bin')
    return file.stat().st_size + (weights.stat().st_size if file.suffix == '.xml' else 0)


TABLE = 'certificates.md'


def append_line(out: Path, certified: Certified) -> None:
    """A line in the folder's table of files, in place of an older one of the same file."""
    head = ['| File | Precision | Certificate |', '|---|---|---|']
    table = out / TABLE
    name = certified.file.name
    lines = table.read_text().splitlines()[2:] if table.is_file() else []
    lines = [line for line in lines if not line.startswith(f'| {name} |')]
    lines.append(f'| {name} | {certified.certificate.precision} | {certified.line} |')
    table.write_text('\n'.join([*head, *sorted(lines)]) + '\n')
