"""What is drawn of each backbone's attention: rows of heat maps, one for each stage, always its last block's.

All are means over the heads.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import Tensor

from ..backbones.dualtoken_vit import DualTokenViT
from ..backbones.hatnet import HATNet
from ..backbones.pit import PiT
from ..backbones.pyramid import Pyramid
from ..backbones.supervit import SuperViT
from ..backbones.transcnn import TransCNN
from ..backbones.vvt import VVT
from .record import Record, last_block
from .view import Place, View, Window


@dataclass(frozen=True, eq=False)
class Heat:
    """Weights (h, w) that lie on the image.

    window: that they cover, in pixels of the backbone's image.
    even: what each would be, were all keys alike.
    near: whether only the window and what is around it is drawn.
    """

    weights: np.ndarray
    window: Window
    even: float
    near: bool = False


@dataclass(frozen=True, eq=False)
class Row:
    """Heat maps side by side, and what is marked on the image before them.

    number: of the place that they are seen from, from 1; None of a class token.
    outlines: windows that are marked on the image.
    """

    label: str
    number: int | None
    heats: Sequence[Heat | None]
    outlines: Sequence[Window] = field(default_factory=tuple)


@dataclass(frozen=True, eq=False)
class Sheet:
    """A picture: its title, the names of its columns, and its rows."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Row]


def attention_sheet(backbone: Pyramid, record: Record, view: View, places: Sequence[Place]) -> Sheet:
    """What a backbone's stages attend to, from some places of an image.

    Raises:
        NotItsOutput: weights that are not those of the layer.
    """
    title, kind, rows = next(row for cls, *row in KINDS if isinstance(backbone, cls))
    if isinstance(backbone, SuperViT):
        first = [0, *backbone.arch.pruned_blocks, backbone.arch.depth]
        blocks = [*first[1:-1], backbone.arch.depth - 1]
        columns = [f'block {number}' for number in blocks]
    else:
        columns = [
            f'stage {index + 1}, stride {record.strides[index]:g}' for index in range(len(record.sizes))
        ]
    return Sheet(f'{title}: {kind}', columns, list(rows(backbone, record, view, places)))


def title_of(backbone: Pyramid) -> str:
    """Its name in the paper."""
    return next(title for cls, title, *_ in KINDS if isinstance(backbone, cls))


def _pixels(size: tuple[int, int], of: tuple[int, int]) -> tuple[float, float]:
    """Height and width of a cell of a map of `size`, in pixels of an image of the size `of`."""
    return of[0] / size[0], of[1] / size[1]


def _whole(weights: Tensor, record: Record, index: int, keys: int) -> Heat:
    """Weights (h·w,) of the cells of a stage's map, which may reach over the image's edge."""
    size, stride = record.sizes[index], record.strides[index]
    return Heat(weights.reshape(size).numpy(), Window(0, 0, size[1] * stride, size[0] * stride), 1 / keys)


# ---- TransCNN and HAT-Net ----------------------------------------------------------------------------------


def in_cells(row: int, column: int, width: int, side: int) -> tuple[int, int]:
    """The cell of a pixel of a map of this width, and the pixel's number in the cell, as in `to_cells`."""
    return row // side * -(-width // side) + column // side, row % side * side + column % side


def hierarchical(backbone: Any, record: Record, view: View, places: Sequence[Place]) -> Iterator[Row]:
    """From a place to the pixels of its grid, and then to the pooled map; where there is no grid, to all."""
    for number, place in enumerate(places, 1):
        near: list[Heat | None] = []
        far: list[Heat | None] = []
        for index, size in enumerate(record.sizes):
            layer = backbone.stages[index].blocks[-1].attn
            found = record.attentions[f'{last_block(backbone, index)}.attn']
            stride, side = record.strides[index], layer.grid_size
            row, column = view.cell(place, size, stride)
            if side > 1:
                item, pixel = in_cells(row, column, size[1], side)
                weights = found[0].weights([pixel], item).mean(0)[0]
                left, top = column // side * side * stride, row // side * side * stride
                window = Window(left, top, left + side * stride, top + side * stride)
                even = 1 / int((weights > 0).sum())  # those over the edge are no keys
                near.append(Heat(weights.reshape(side, side).numpy(), window, even, near=True))
                pooled = layer.pool.kernel_size
                shape = -(-size[0] // pooled), -(-size[1] // pooled)
                cell = pooled * stride
            else:
                near.append(None)
                shape, cell = size, stride
            weights = found[-1].weights([row * size[1] + column]).mean(0)[0]
            window = Window(0, 0, shape[1] * cell, shape[0] * cell)
            far.append(Heat(weights.reshape(shape).numpy(), window, 1 / len(weights)))
        yield Row(f'{number} to its grid', number, near, [heat.window for heat in near if heat])
        yield Row(f'{number} to the pooled map', number, far)


# ---- DualToken-ViT -----------------------------------------------------------------------------------------


def broadcast(backbone: Any, record: Record, view: View, places: Sequence[Place]) -> Iterator[Row]:
    """Equation (5): from a place to the global tokens, and from the token there back to who reads it."""
    grid, whole = backbone.grid, Window(0, 0, record.size[1], record.size[0])
    cell = _pixels(grid, record.size)
    for number, place in enumerate(places, 1):
        there, back = [], []
        row, column = view.cell(place, grid, cell)
        for index, size in enumerate(record.sizes):
            attention = record.attentions[f'{last_block(backbone, index)}.tokens'][-1]
            r, c = view.cell(place, size, record.strides[index])
            weights = attention.weights([r * size[1] + c]).mean(0)[0]
            there.append(Heat(weights.reshape(grid).numpy(), whole, 1 / len(weights)))
            readers = attention.columns([row * grid[1] + column]).mean(0)[:, 0]
            back.append(_whole(readers, record, index, len(weights)))
        own = Window(column * cell[1], row * cell[0], (column + 1) * cell[1], (row + 1) * cell[0])
        yield Row(f'{number} to the tokens', number, there)
        yield Row(f'who reads the token at {number}', number, back, [own])


# ---- PiT and SuperViT --------------------------------------------------------------------------------------


def class_tokens(backbone: Any, record: Record, view: View, places: Sequence[Place]) -> Iterator[Row]:
    """PiT's: from the class tokens, which its dense maps keep beside the pixels, and from places."""
    count = backbone.stem.tokens.shape[1]
    names = [f'{last_block(backbone, index)}.attn' for index in range(len(record.sizes))]
    labels = ['the class token', 'the distillation token'][:count]
    for token, label in enumerate(labels):
        heats = [_patches(record, index, name, token, count) for index, name in enumerate(names)]
        yield Row(label, None, heats)
    for number, place in enumerate(places, 1):
        heats = []
        for index, (name, size) in enumerate(zip(names, record.sizes, strict=True)):
            row, column = view.cell(place, size, record.strides[index])
            token = count + row * size[1] + column
            heats.append(_patches(record, index, name, token, count))
        yield Row(f'place {number}', number, heats)


def plain(backbone: Any, record: Record, view: View, places: Sequence[Place]) -> Iterator[Row]:
    """SuperViT's at the blocks that prune, which choose by the class token's, and at the last block."""
    names = [f'stages.{index}.0' for index in range(1, len(backbone.stages))]
    names.append(f'stages.{len(backbone.stages) - 1}.{len(backbone.stages[-1]) - 1}')
    size = record.sizes[0]
    yield Row('the class token', None, [_patches(record, 0, name, 0, 1) for name in names])
    for number, place in enumerate(places, 1):
        row, column = view.cell(place, size, record.strides[0])
        token = 1 + row * size[1] + column
        yield Row(f'place {number}', number, [_patches(record, 0, name, token, 1) for name in names])


def _patches(record: Record, index: int, layer: str, token: int, before: int) -> Heat:
    """From one token to the patches, which come after the class tokens."""
    weights = record.attentions[layer][-1].weights([token]).mean(0)[0]
    return _whole(weights[before:], record, index, len(weights))


# ---- VVT ---------------------------------------------------------------------------------------------------


def vicinity(backbone: Any, record: Record, view: View, places: Sequence[Place]) -> Iterator[Row]:
    """The effective weights from a place."""
    for number, place in enumerate(places, 1):
        heats = []
        for index, size in enumerate(record.sizes):
            row, column = view.cell(place, size, record.strides[index])
            weights = record.attentions[f'{last_block(backbone, index)}.attn'][-1].weights(
                [row * size[1] + column]
            )
            mean = weights.mean(0)[0]
            heats.append(_whole(mean, record, index, len(mean)))
        yield Row(f'place {number}', number, heats)


KINDS: list[Any] = [
    (TransCNN, 'TransCNN', 'grid and pooled attention', hierarchical),
    (HATNet, 'HAT-Net', 'grid and pooled attention', hierarchical),
    (DualTokenViT, 'DualToken-ViT', 'broadcast attention to the global tokens and back', broadcast),
    (PiT, 'PiT', 'attention of the class token, and of places', class_tokens),
    (SuperViT, 'SuperViT', 'attention of the class token, and of places', plain),
    (VVT, 'VVT', 'effective weights of vicinity attention', vicinity),
]
BACKBONES = tuple(cls for cls, *_ in KINDS)
