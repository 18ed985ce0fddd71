"""The backbone's feature maps against what neck and heads were built for: channels and strides."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from mmengine.runner import Runner
from torch import Tensor, nn

from ..data.reproducible import SampleId
from ..engine.processes import unwrapped
from ..errors import UserError
from ..findings import Finding, Level
from ..model_state import in_mode
from ..trial import trial

SIZE = (256, 320)  # (H, W) of the image that is sent through: small, and what common strides divide


def shapes(runner: Runner) -> Iterator[Finding]:
    """Channels that do not fit, and strides for which a head assumes others."""
    try:
        found = list(_shapes(runner, SIZE))
    except UserError:  # of a network for images of one size, as SSD300
        first = runner.train_dataloader.dataset[SampleId(0, 0, 0)]['inputs']
        found = list(_shapes(runner, tuple(first.shape[-2:])))
    yield from found


def _shapes(runner: Runner, size: tuple[int, ...]) -> Iterator[Finding]:
    """Those of an image of this size (H, W)."""
    model = unwrapped(runner)
    with in_mode(model, training=False), torch.no_grad():
        image = torch.zeros(1, 3, *size, device=next(model.parameters()).device)
        with trial('the run cannot start: the backbone fails'):
            outputs = model.backbone(image)
            maps = _maps(outputs)
        yield Finding('maps', ', '.join(f'{m.shape[1]} channels at 1/{_stride(m, size):g}' for m in maps))
        giver, errors = 'backbone', []
        if getattr(model, 'neck', None) is not None:
            errors = list(_of_neck(model.neck, maps))
            if not errors:
                with trial('the run cannot start: the neck fails'):
                    giver, maps = 'neck', _maps(model.neck(outputs))
        errors = errors or list(_of_heads(model, maps, giver))
    yield from errors or _strides(model, maps, size)


def _maps(output: Any) -> list[Tensor]:
    outputs = [output] if isinstance(output, Tensor) else output
    # a ViT of MMSegmentation may give a map with its class token
    return [one[0] if isinstance(one, (list, tuple)) else one for one in outputs]


def _stride(map: Tensor, size: Sequence[int]) -> float:
    return round(size[0] / map.shape[-2], 1)


def _of_neck(neck: nn.Module, maps: Sequence[Tensor]) -> Iterator[Finding]:
    """Channels of the backbone that a neck does not expect."""
    channels = [m.shape[1] for m in maps]
    expected = getattr(neck, 'in_channels', channels)
    expected_each = list(expected) if isinstance(expected, (list, tuple)) else [expected] * len(maps)
    several = isinstance(expected, (list, tuple)) or len(maps) == 1  # one number may be that of one map
    if several and sorted(expected_each) != sorted(
        channels
    ):  # a neck may take the coarsest first, as YOLOv3's does
        text = f'model.neck.in_channels is {expected}, the backbone gives {channels}'
        yield Finding('maps', text, Level.ERROR)


def _of_heads(model: nn.Module, maps: Sequence[Tensor], giver: str) -> Iterator[Finding]:
    """What the heads of a segmentor do not get from the backbone or, behind it, the neck."""
    channels = [m.shape[1] for m in maps]
    for name in ('decode_head', 'auxiliary_head'):
        head = getattr(model, name, None)
        for number, one in enumerate(head) if isinstance(head, nn.ModuleList) else [('', head)]:
            if one is not None and (problem := _of_head(one, channels, giver)):
                place = f'{name}.{number}'.rstrip('.')
                yield Finding('maps', f'model.{place}.{problem}', Level.ERROR)


def _of_head(head: nn.Module, channels: Sequence[int], giver: str) -> str:
    """What a segmentor's head reads that is not there."""
    index, expected = getattr(head, 'in_index', None), getattr(head, 'in_channels', None)
    if index is None or expected is None:
        return ''
    several = isinstance(index, (list, tuple))
    indices = list(index) if several else [index]
    if not all(-len(channels) <= i < len(channels) for i in indices):
        return f'in_index is {index}, the {giver} gives {len(channels)} maps'
    given: Any = [channels[i] for i in indices]
    if getattr(head, 'input_transform', None) == 'resize_concat':
        given = sum(given)
    elif not several:
        given = given[0]
    else:
        expected = list(expected)
    return '' if given == expected else f'in_channels comes to {expected}, the {giver} gives {given}'


def _strides(model: nn.Module, maps: Sequence[Tensor], size: Sequence[int]) -> Iterator[Finding]:
    """Anchors, points and regions of interest that assume other strides than the maps have."""
    for name, module in model.named_modules():
        if name.endswith('mask_head'):  # reads one map, not those of the neck
            continue
        if (generator := getattr(module, 'prior_generator', None)) is not None:
            key = 'anchor_generator' if hasattr(module, 'anchor_generator') else 'prior_generator'
            assumed, place = generator.strides, f'{name}.{key}.strides'
            if len(assumed) != len(maps):
                text = f'model.{place} has {len(assumed)} levels, the head gets {len(maps)} maps'
                yield Finding('maps', text, Level.ERROR)
                continue
        elif 'semantic' in name:  # regions of a map of their own, as HTC's and SCNet's
            continue
        elif (assumed := getattr(module, 'featmap_strides', None)) is not None:
            place = f'{name}.featmap_strides'
        else:
            continue
        for stride, map in zip(assumed, maps, strict=False):
            across, down = stride if isinstance(stride, (list, tuple)) else (stride, stride)
            if not (_fits(down, size[0], map.shape[-2]) and _fits(across, size[1], map.shape[-1])):
                text = f'model.{place} says {down:g} of a map whose stride is {_stride(map, size):g}'
                yield Finding('maps', text, Level.ERROR)


def _fits(stride: float, pixels: int, cells: int) -> bool:
    return math.floor(pixels / stride) <= cells <= math.ceil(pixels / stride)
