"""Exported files beside the models that they came from, run by ONNX Runtime and OpenVINO."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from ..errors import UserError
from .setting import RunSetting


def is_exported(name: str) -> bool:
    """Whether a model is named by a file that one of the runtimes reads."""
    return Path(name).suffix in RUNTIMES


def exported(name: str, setting: RunSetting) -> Callable[[], Any]:
    """What runs a file on a random image, in float32, with as many threads as torch has.

    Raises:
        UserError: there is no such file, its runtime is not installed, or it does not run like this.
    """
    if not Path(name).is_file():
        raise UserError(f'{name}: no such file')
    options = dict(train=setting.training, compile=setting.compiled, dtype=setting.dtype != torch.float32)
    if given := [f'--{option}' for option, is_given in options.items() if is_given]:
        raise UserError(f'{name}: an exported file runs as it is, without {", ".join(given)}')
    if setting.device.type != 'cpu':
        raise UserError(f'{name}: an exported file is timed on the CPU: --device cpu')
    image = torch.randn(setting.batch, 3, *setting.size).numpy()
    try:
        run = RUNTIMES[Path(name).suffix](name, image)
        run()
    except ImportError as error:
        raise UserError(f"{name}: {error}; pip install 'vitdense[runtimes]'") from error
    except Exception as error:  # of any class, as the runtime has it
        size = ' × '.join(map(str, image.shape))
        raise UserError(f'{name}: does not run on {size}: {" ".join(str(error).split())}') from error
    return run


def _onnx_runtime(name: str, image: Any) -> Callable[[], Any]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(name, options, providers=['CPUExecutionProvider'])
    inputs = {session.get_inputs()[0].name: image}
    return lambda: session.run(None, inputs)


def _openvino(name: str, image: Any) -> Callable[[], Any]:
    import openvino

    settings = dict(
        INFERENCE_NUM_THREADS=torch.get_num_threads(),
        PERFORMANCE_HINT='LATENCY',
        INFERENCE_PRECISION_HINT='f32',  # as the file has it, where the processor could do with less
    )
    model = openvino.Core().compile_model(name, 'CPU', settings)
    return lambda: model([image])


RUNTIMES = {'.onnx': _onnx_runtime, '.xml': _openvino}
