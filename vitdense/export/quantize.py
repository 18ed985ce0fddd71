"""int8: NNCF's post-training quantization, with images of the task."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UserError

IMAGES = 300  # that it looks at, at most


def quantized(file: Path, images: Sequence[np.ndarray], target: Path) -> Path:
    """Write a file with weights and activations in int8.

    Args:
        file: in float32, of ONNX or OpenVINO.
        images: (1, H, W, 3), uint8, RGB, whose activations set the scales.
        target: where it goes.

    Raises:
        UserError: another format, or NNCF does not take the graph.
    """
    if file.suffix == '.pt2':
        raise UserError('--precision int8: formats onnx and openvino')
    import nncf

    nncf.set_log_level(logging.ERROR)
    options: dict[str, Any] = dict(
        model_type=nncf.ModelType.TRANSFORMER, subset_size=min(IMAGES, len(images))
    )
    try:
        if file.suffix == '.onnx':
            import onnx

            data = nncf.Dataset(list(images), lambda image: {'image': image})
            onnx.save(nncf.quantize(onnx.load(file), data, **options), target)
        else:
            import openvino

            model = openvino.Core().read_model(str(file))
            model = nncf.quantize(model, nncf.Dataset(list(images)), **options)
            openvino.save_model(model, str(target), compress_to_fp16=False)
    except Exception as error:  # of any class, as NNCF has it
        raise UserError(f'{file.name}: cannot be quantized: {" ".join(str(error).split())[:300]}') from error
    return target
