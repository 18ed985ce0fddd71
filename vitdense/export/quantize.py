"""int8: NNCF's post-training quantization, with images of the task."""

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UserError

IMAGES = 300  # that it looks at, at most


def quantized(file: Path, images: Sequence[np.ndarray], target: Path) -> Path:
    """Write a file with weights and activations in int8.

    Args:
        file: in float32, of ONNX or OpenVINO.
        images: (1, H, W, 3), uint8, RGB, whose activations set the scales; those of the most frequent size
            are used, since NNCF puts activations of several images into one array.
        target: where it goes.

    Raises:
        UserError: another format, or NNCF does not take the graph.
    """
    if file.suffix == '.pt2':
        raise UserError('--precision int8: formats onnx and openvino')
    import nncf

    nncf.set_log_level(logging.ERROR)
    shape = Counter(image.shape for image in images).most_common(1)[0][0]
    alike = [image for image in images if image.shape == shape][:IMAGES]
    load, dataset, save = _of_onnx(alike) if file.suffix == '.onnx' else _of_openvino(alike)
    # Not NNCF's scheme for transformers: PSPNet's concatenation fails in it, and of DualToken-ViT it makes a
    # file that gives the maps of the image before, where a size changes.
    try:
        model = nncf.quantize(load(file), dataset, subset_size=len(alike))
    except Exception as error:  # of any class, as NNCF has it
        text = ' '.join(str(error).split())[:300]
        raise UserError(f'{file.name}: cannot be quantized: {text}') from error
    save(model, target)
    return target


Steps = tuple[Callable[[Path], Any], Any, Callable[[Any, Path], None]]


def _of_onnx(images: list[np.ndarray]) -> Steps:
    import nncf
    import onnx

    return onnx.load, nncf.Dataset(images, lambda image: {'image': image}), onnx.save


def _of_openvino(images: list[np.ndarray]) -> Steps:
    import nncf
    import openvino

    def save(model: Any, target: Path) -> None:
        openvino.save_model(model, str(target), compress_to_fp16=False)

    return lambda file: openvino.Core().read_model(str(file)), nncf.Dataset(images), save
