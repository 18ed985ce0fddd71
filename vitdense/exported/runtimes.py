"""What runs an exported file: ONNX Runtime, OpenVINO, torch."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..errors import UserError
from .certificate import KEY


class Session:
    """A file, loaded by its runtime.

    Attributes:
        file: its path.
        certificate: the text of its certificate, or None.
        input_shape: of its first input; None where it is free.
        takes_pixels: whether that input is uint8.
    """

    runtime: str

    file: Path
    certificate: str | None
    input_shape: tuple[int | None, ...]
    takes_pixels: bool

    def __init__(self, file: Path, precision: str, device: str):
        raise NotImplementedError

    def run(self, image: np.ndarray) -> list[np.ndarray]:
        """The outputs, in their order."""
        raise NotImplementedError

    @classmethod
    def version(cls) -> str:
        """Of the runtime."""
        raise NotImplementedError


class OnnxSession(Session):
    """ONNX Runtime, on the CPU or, where its CUDA provider is installed and asked for, on a GPU."""

    runtime = 'ONNX Runtime'

    def __init__(self, file: Path, precision: str, device: str):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3
        providers = ['CPUExecutionProvider']
        if device != 'cpu':
            providers = ['CUDAExecutionProvider', *providers]
            if providers[0] not in onnxruntime.get_available_providers():
                own = ', '.join(onnxruntime.get_available_providers())
                raise UserError(f'{file}: this ONNX Runtime has only {own}; --device cpu')
        self.file = file
        self._session = onnxruntime.InferenceSession(str(file), options, providers=providers)
        own = self._session.get_inputs()[0]
        self._name = own.name
        self.input_shape = tuple(one if isinstance(one, int) else None for one in own.shape)
        self.takes_pixels = own.type == 'tensor(uint8)'
        self.certificate = self._session.get_modelmeta().custom_metadata_map.get(KEY)

    def run(self, image: np.ndarray) -> list[np.ndarray]:
        return self._session.run(None, {self._name: image})

    @classmethod
    def version(cls) -> str:
        import onnxruntime

        return onnxruntime.__version__


class OpenVinoSession(Session):
    """OpenVINO on the CPU, in the precision of the file: by itself it computes in bfloat16 where it can."""

    runtime = 'OpenVINO'

    def __init__(self, file: Path, precision: str, device: str):
        import openvino

        if device != 'cpu':
            raise UserError(f'{file}: OpenVINO computes on the CPU here; --device cpu')
        self.file = file
        core = openvino.Core()
        read = core.read_model(str(file))
        self.certificate = read.get_rt_info([KEY]).astype(str) if read.has_rt_info([KEY]) else None
        self._model = core.compile_model(read, 'CPU', openvino_settings(precision))
        own = self._model.input(0)
        self.input_shape = tuple(
            one.get_length() if one.is_static else None for one in own.get_partial_shape()
        )
        self.takes_pixels = own.get_element_type() == openvino.Type.u8

    def run(self, image: np.ndarray) -> list[np.ndarray]:
        outputs = self._model([image])
        return [outputs[one] for one in self._model.outputs]

    @classmethod
    def version(cls) -> str:
        import openvino

        return openvino.__version__.split('-')[0]


def openvino_settings(precision: str) -> dict[str, Any]:
    """How OpenVINO computes a file of this precision, with as many threads as torch has."""
    return dict(
        INFERENCE_NUM_THREADS=torch.get_num_threads(),
        PERFORMANCE_HINT='LATENCY',
        INFERENCE_PRECISION_HINT='bf16' if precision == 'bfloat16' else 'f32',
    )


class TorchSession(Session):
    """An exported program of torch."""

    runtime = 'torch'

    def __init__(self, file: Path, precision: str, device: str):
        from . import nms  # noqa: F401 (an operator of these programs)

        extra = {f'{KEY}.json': ''}
        with _without_pickle():
            program = torch.export.load(file, extra_files=extra)
        self.file = file
        self.certificate = extra[f'{KEY}.json'] or None
        self._device = torch.device(device)
        self._program = module_of(program).to(self._device)
        own = next(
            node for node in program.graph.nodes if node.name == program.graph_signature.user_inputs[0]
        )
        self.input_shape = tuple(one if isinstance(one, int) else None for one in own.meta['val'].shape)
        self.takes_pixels = own.meta['val'].dtype == torch.uint8

    def run(self, image: np.ndarray) -> list[np.ndarray]:
        with torch.no_grad():
            outputs = self._program(torch.from_numpy(image).to(self._device))
        return [output.cpu().numpy() for output in outputs]

    @classmethod
    def version(cls) -> str:
        return torch.__version__.split('+')[0]


def module_of(program: Any) -> Any:
    """A program that runs at every size: torch refuses maps of one pixel, which the certificate has seen."""
    try:
        return program.module(check_guards=False)
    except TypeError:  # a torch that has no such guards
        return program.module()


class _without_pickle:
    """While nothing that torch loads executes code: its archives hold pickled tensors now and then."""

    name = 'TORCH_FORCE_WEIGHTS_ONLY_LOAD'

    def __enter__(self) -> None:
        self.before = os.environ.get(self.name)
        os.environ[self.name] = '1'

    def __exit__(self, *error: Any) -> None:
        if self.before is None:
            os.environ.pop(self.name, None)
        else:
            os.environ[self.name] = self.before


SESSIONS: Mapping[str, type[Session]] = {'.onnx': OnnxSession, '.xml': OpenVinoSession, '.pt2': TorchSession}


def is_exported(name: str | Path) -> bool:
    """Whether a model is named by a file that one of the runtimes reads."""
    return Path(name).suffix in SESSIONS


def open_session(file: str | Path, precision: str = 'float32', device: str = 'cpu') -> Session:
    """A file, loaded by its runtime.

    Raises:
        UserError: there is no such file, its runtime is not installed, or it does not read it.
    """
    file = Path(file)
    if not file.is_file():
        raise UserError(f'{file}: no such file')
    try:
        return SESSIONS[file.suffix](file, precision, device)
    except ImportError as error:
        raise UserError(f"{file}: {error}; pip install 'vitdense[export]'") from error
    except UserError:
        raise
    except Exception as error:  # of any class, as the runtime has it
        raise UserError(f'{file}: cannot be loaded: {" ".join(str(error).split())[:300]}') from error


def named(outputs: Sequence[np.ndarray], names: Sequence[str]) -> dict[str, np.ndarray]:
    return dict(zip(names, outputs, strict=True))
