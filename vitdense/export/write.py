"""Files of each format, from one traced program; a file gets its certificate last."""

import contextlib
import logging
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import UserError
from ..exported.certificate import ENTRY, KEY, NO_DIGEST, Certificate, digest, with_digest
from .compare import EXAMPLE, images_of
from .graph import Graph

FORMATS = {'onnx': '.onnx', 'openvino': '.xml', 'pt2': '.pt2'}
BATCH = 2  # of the example: a size of 1 would be taken for fixed


def trace(graph: Graph, fixed: tuple[int, int] | None) -> torch.export.ExportedProgram:
    """The program of a graph for images of any size, or of one.

    Raises:
        UserError: torch does not trace it.
    """
    free = torch.export.Dim.DYNAMIC
    sizes = {0: free} if fixed else {0: free, 1: free, 2: free}
    example = images_of(fixed or EXAMPLE, BATCH)
    try:
        with torch.no_grad(), _quiet():
            return torch.export.export(graph, (example,), dynamic_shapes={'image': sizes})
    except Exception as error:  # of any class, as torch has it
        raise UserError(f'cannot be traced: {_short(error)}') from error


def to_onnx(program: torch.export.ExportedProgram, names: Sequence[str], opset: int) -> Any:
    """The program in ONNX, in memory.

    Raises:
        UserError: an operator has no counterpart there.
    """
    try:
        with _quiet():
            return torch.onnx.export(
                program,
                (),
                input_names=['image'],
                output_names=list(names),
                opset_version=opset,
                custom_translation_table={torch.ops.vitdense.nms.default: _onnx_nms},
                verbose=False,
            )
    except Exception as error:
        raise UserError(f'cannot be written as ONNX: {_short(error)}') from error


def _onnx_nms(boxes: Any, scores: Any, iou_threshold: float) -> Any:
    """`vitdense::nms` in ONNX's operators."""
    from onnxscript import opset18 as op

    selected = op.NonMaxSuppression(boxes, op.Unsqueeze(scores, [1]), 2**31 - 1, iou_threshold, 0.0)
    kept = op.Gather(selected, op.Constant(value_ints=[0, 2]), axis=1)  # group and box
    return op.ScatterND(op.Mul(scores, 0.0), kept, op.GatherND(scores, kept))


def write_onnx(program: Any, file: Path) -> None:
    """One file, with its weights."""
    program.save(str(file), external_data=False)


def write_openvino(onnx: Path, file: Path) -> None:
    """A graph, .xml, and its weights in float32, .bin."""
    import openvino

    openvino.save_model(openvino.convert_model(str(onnx)), str(file), compress_to_fp16=False)


def write_torch(program: torch.export.ExportedProgram, file: Path) -> None:
    with _quiet():
        torch.export.save(program, file)


# ---- certificates -----------------------------------------------------------------------------------------


def certify(file: Path, certificate: Certificate) -> None:
    """Write a certificate into a file, with the file's digest, and beside it."""
    certificate.digest = NO_DIGEST
    if file.suffix == '.pt2':
        certificate.digest = digest(file, certificate.to_json())
        with zipfile.ZipFile(file, 'a') as archive:
            root = archive.namelist()[0].partition('/')[0]
            archive.writestr(f'{root}/{ENTRY}', certificate.to_json())
    else:
        _insert(file, certificate.to_json())
        certificate.digest = digest(file)
        file.write_bytes(with_digest(file.read_bytes(), certificate.digest))
    if digest(file) != certificate.digest:
        raise RuntimeError(f'{file}: the certificate is not in it as it should be')
    file.with_suffix(f'{file.suffix}.json').write_text(certificate.to_json() + '\n')


def _insert(file: Path, text: str) -> None:
    if file.suffix == '.onnx':
        import onnx

        model = onnx.load(file)
        del model.metadata_props[:]
        onnx.helper.set_model_props(model, {KEY: text})
        onnx.save(model, file)
    else:
        import openvino

        model = openvino.Core().read_model(str(file))
        model.set_rt_info(text, [KEY])
        part = file.with_name(f'certified-{file.name}')  # the other one is being read
        openvino.save_model(model, str(part), compress_to_fp16=False)
        del model
        for suffix in ('.xml', '.bin'):
            part.with_suffix(suffix).replace(file.with_suffix(suffix))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without what exporters print of themselves."""
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            yield
    finally:
        logging.disable(logging.NOTSET)


def _short(error: BaseException) -> str:
    """The first lines of a long text."""
    return ' '.join(str(error).split())[:300] or type(error).__name__


def program_values(program: Any, names: Sequence[str], image: Tensor) -> Iterator[tuple[str, Any]]:
    """What ONNX Runtime has for the tensors of these names, as far as the graph still has them."""
    import onnx
    import onnxruntime

    model = onnx.ModelProto()
    model.CopyFrom(program.model_proto)
    produced = {name for node in model.graph.node for name in node.output}
    outputs = {one.name for one in model.graph.output}
    wanted = [name for name in names if name in produced]
    for name in wanted:
        if name not in outputs:
            model.graph.output.append(onnx.ValueInfoProto(name=name))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, ['CPUExecutionProvider'])
    yield from zip(wanted, session.run(wanted, {'image': image.numpy()}), strict=True)


def openvino_values(file: Path, names: Sequence[str], image: Tensor) -> Iterator[tuple[str, Any]]:
    """What OpenVINO has for the tensors of these names, as far as the graph still has them."""
    import openvino

    from ..exported.runtimes import openvino_settings

    core = openvino.Core()
    model = core.read_model(str(file))
    known = {name for node in model.get_ordered_ops() for out in node.outputs() for name in out.get_names()}
    wanted = [name for name in names if name in known]
    model.add_outputs(wanted)
    compiled = core.compile_model(model, 'CPU', openvino_settings('float32'))
    outputs = compiled([image.numpy()])
    for name in wanted:
        yield name, outputs[compiled.output(name)]
