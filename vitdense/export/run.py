"""An export from start to end: graph, files, comparison, certificate."""

import contextlib
import copy
import hashlib
import shutil
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

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
from .choice import Wanted, graph_of
from .compare import (
    Difference,
    compare_found,
    compare_tensors,
    first_difference,
    images_of,
    sizes_to_compare,
    values_of,
)
from .files import Certified, size_of
from .graph import BoxesAndMasks
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


def scores_of(scored: Scored) -> dict[str, Any]:
    """As a certificate has them."""
    return dict(
        eager=dict(scored.eager),
        exported=dict(scored.exported),
        images=scored.images,
        objects=scored.difference.objects,
    )
