"""What a backbone refuses, with an error that says what was expected."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..compat import is_autocast_enabled

AUTOCAST = (torch.float32, torch.float16, torch.bfloat16)  # autocast casts these, and not float64


def check_out_indices(out_indices: Sequence[int], count: int) -> tuple[int, ...]:
    """The indices of output stages as a tuple.

    Raises:
        ValueError: not one or more ascending stages below `count`.
    """
    listed = isinstance(out_indices, Sequence) and not isinstance(out_indices, str)
    indices = tuple(out_indices) if listed else ()
    if not indices or any(
        isinstance(index, bool) or not isinstance(index, int) or index not in range(low, count)
        for low, index in zip((0, *[i + 1 for i in indices]), indices, strict=False)
    ):
        raise ValueError(
            f'out_indices={out_indices}: expected ascending stages of 0 to {count - 1}, '
            f'for example {tuple(range(count))}'
        )
    return indices


def check_image(backbone: str, image: Tensor, channels: int, weights: torch.dtype) -> None:
    """Raise an error for a wrong input before a convolution raises a less clear one.

    Raises:
        ValueError: no image batch (B, channels, H, W), or of a dtype that is not that of the weights and that
            autocast does not cast.
    """
    if not isinstance(image, Tensor):
        raise ValueError(f'{backbone}: expected a tensor (B, {channels}, H, W), got {type(image)}')
    shape = tuple(image.shape)
    if image.ndim != 4 or image.shape[1] != channels:
        raise ValueError(
            f'{backbone}: expected an image batch (B, {channels}, H, W), got {shape}; '
            f'image[None] adds a batch axis, image.expand(-1, 3, -1, -1) repeats a grayscale channel'
        )
    if 0 in shape:
        raise ValueError(f'{backbone}: got an empty image batch {shape}')
    if image.dtype != weights and not (image.dtype in AUTOCAST and is_autocast_enabled(image.device.type)):
        raise ValueError(
            f'{backbone}: the image is {image.dtype} and the weights are {weights}; '
            f'convert one of them, or run under torch.autocast'
        )
