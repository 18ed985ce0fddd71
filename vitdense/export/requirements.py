"""What an export needs beside the package itself."""

from collections.abc import Sequence
from importlib.metadata import version
from importlib.util import find_spec

from ..errors import UserError

# torch.onnx needs onnxscript
PACKAGES = {
    'onnx': ('onnx', 'onnxscript', 'onnxruntime'),
    'openvino': ('onnx', 'onnxscript', 'openvino'),
    'pt2': (),
}


OPSETS = (18, 21)  # of ONNX: the first that torch writes, the last that both runtimes were tried with


def check_installed(formats: Sequence[str], precision: str, opset: int) -> None:
    """
    Raises:
        UserError: a package is missing, a precision that a format does not have, or an old opset.
    """
    if not OPSETS[0] <= opset <= OPSETS[1]:
        raise UserError(f'--opset {opset}: expected {OPSETS[0]} to {OPSETS[1]}')
    for format in formats:
        if precision == 'bfloat16' and format != 'openvino':
            raise UserError(
                f'--precision bfloat16: format openvino; {format} has no runtime that computes in it here'
            )
        if precision == 'int8' and format == 'pt2':
            raise UserError('--precision int8: formats onnx and openvino')
    wanted = [package for format in formats for package in PACKAGES[format]]
    wanted += ['nncf'] * (precision == 'int8')
    if missing := [package for package in dict.fromkeys(wanted) if find_spec(package) is None]:
        raise UserError(f"needs {', '.join(missing)}: pip install 'vitdense[export]'")


def versions_of(formats: Sequence[str]) -> dict[str, str]:
    """Of torch and of the packages that write these formats."""
    names = ['torch', 'torchvision', *(name for format in formats for name in PACKAGES[format])]
    return {name: version(name).split('+')[0] for name in dict.fromkeys(names)}
