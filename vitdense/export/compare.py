"""How far a file is from the model that it was made of: outputs, objects, and the node where they part."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.structures import InstanceData
from torch import Tensor

from ..exported.model import found_boxes
from ..exported.runtimes import module_of

TOLERANCE = 1e-3  # standard deviations of an output
ROUNDING = 4  # units in the last place of float32: another order of the same sums
SCORE, PIXELS, MASK = 1e-3, 0.1, 1e-2  # of matched objects
SMALLEST = 64
EXAMPLE = (288, 320)  # to trace with; smaller ones leave conditions on the size in a graph
USUAL = ((SMALLEST, SMALLEST), (97, 130), EXAMPLE, (320, 257), (200, SMALLEST), (161, 224))


class Difference(NamedTuple):
    """What a comparison found.

    Attributes:
        worst: the largest difference, in tolerances: up to 1 passes.
        deviations: of tensors, the same in standard deviations of the output; of objects None.
        objects: how many were matched, one to one.
        text: where it is largest, in words.
    """

    worst: float
    deviations: float | None
    objects: int
    text: str


def sizes_to_compare(
    scale: Sequence[int], largest: int | None
) -> tuple[list[tuple[int, int]], tuple[int, int]]:
    """At least six (H, W): some odd and small ones, and the largest that images are resized to, both ways up.

    And this largest one.

    Args:
        scale: shorter and longer side of the config's tests, pixels.
        largest: pixels of the longer side up to which a file is to be certified; by default that of `scale`.
    """
    short, long = sorted(scale)
    if largest:
        short, long = max(1, round(short * largest / long)), largest
    wanted = [*USUAL, (short, long), (long, short)]
    if largest:
        wanted = [size for size in wanted if max(size) <= max(largest, SMALLEST)]
    sizes = list(dict.fromkeys(wanted))
    steps = ((SMALLEST + 7 * n, max(SMALLEST, long) - 3 * n) for n in range(1, 9))
    more = [size for size in steps if size not in sizes and min(size) > 0]
    return sizes + more[: max(0, 6 - len(sizes))], (short, long)


def images_of(size: tuple[int, int], batch: int) -> Tensor:
    """Images (B, H, W, 3), uint8, of shapes and noise, the same at each call."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(batch, 3, 7, 9, generator=generator)
    smooth = F.interpolate(coarse, size, mode='bicubic').clamp(0, 1)
    noise = torch.rand(batch, 3, *size, generator=generator)
    return ((0.85 * smooth + 0.15 * noise) * 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def compare_tensors(want: Mapping[str, Tensor], got: Mapping[str, Tensor]) -> Difference:
    """The worst difference of any output."""
    found = [Difference(*_deviation(want[name], got[name]), 0, name) for name in want]
    return max(found, key=lambda one: one.worst)


def _deviation(want: Tensor, got: Tensor) -> tuple[float, float]:
    """The largest difference in tolerances and in standard deviations, but for rounding."""
    if want.shape != got.shape or not torch.isfinite(got).all():
        return float('inf'), float('inf')
    want, got = want.double(), got.double()
    rounding = ROUNDING * torch.finfo(torch.float32).eps * want.abs()
    away = ((want - got).abs() - rounding).clamp(min=0).max().item()
    deviations = away / max(want.std(correction=0).item(), torch.finfo(torch.float32).tiny) if away else 0.0
    return deviations / TOLERANCE, deviations


# ---- objects ----------------------------------------------------------------------------------------------


def compare_objects(want: InstanceData, got: InstanceData, floor: float) -> Difference:
    """Each object of one has its counterpart in the other: same label, score, box and mask.

    Args:
        want: with `bboxes` in pixels, `scores`, `labels`, and `masks` where there are any.
        got: likewise.
        floor: the score below which objects are dropped; one that is as near to it as scores may differ may
            be missing on either side.
    """
    pairs = _pairs(want, got)
    worst, text = 0.0, ''
    for one, other in pairs:
        for off, limit, name in _distances(want[one], got[other]):
            if off / limit > worst:
                worst, text = off / limit, f'{name} {off:.2g} off'
    for side, taken, name in (
        (want, {one for one, _ in pairs}, 'missing'),
        (got, {other for _, other in pairs}, 'additional'),
    ):
        left = [n for n in range(len(side)) if n not in taken and side.scores[n].item() > floor + SCORE]
        if left:
            worst = float('inf')
            text = f'{len(left)} {name}, the surest with a score of {side.scores[left].max().item():.3f}'
    return Difference(worst, None, len(pairs), text)


def _pairs(want: InstanceData, got: InstanceData) -> list[tuple[int, int]]:
    """Objects of the same label, the nearest boxes first, each once."""
    if not len(want) or not len(got):
        return []
    apart = (want.bboxes[:, None] - got.bboxes[None]).abs().amax(-1)
    apart = apart + (want.scores[:, None] - got.scores[None]).abs()
    apart = torch.where(want.labels[:, None] == got.labels[None], apart, torch.inf)
    order = apart.flatten().argsort().tolist()
    pairs, rows, columns = [], set(), set()
    for place in order:
        row, column = divmod(place, len(got))
        if not torch.isfinite(apart[row, column]):
            break
        if row not in rows and column not in columns:
            pairs.append((row, column))
            rows.add(row)
            columns.add(column)
    return [pair for pair in pairs if apart[pair] <= 1]


def _distances(want: InstanceData, got: InstanceData) -> Iterator[tuple[float, float, str]]:
    size = (want.bboxes[:, 2:] - want.bboxes[:, :2]).amax().item()
    yield (want.bboxes - got.bboxes).abs().max().item(), max(PIXELS, size / 1000), 'a box, in pixels,'
    yield (want.scores - got.scores).abs().max().item(), SCORE, 'a score'
    if 'masks' in want:
        a, b = want.masks.float(), got.masks.float()
        yield (a - b).abs().mean().item(), MASK, 'a mask, in shares of its pixels,'


def compare_found(want: Mapping[str, Tensor], got: Mapping[str, Tensor], floor: float) -> Difference:
    """The objects of each image, from outputs that hold them."""
    sides = []
    for outputs in (want, got):
        found = found_boxes(dict(outputs))
        for number, one in enumerate(found):
            if 'masks' in outputs:
                one.masks = outputs['masks'][number][outputs['scores'][number] > 0]
        sides.append(found)
    return together(
        compare_objects(one, other, lowest(one, want['scores'].shape[1], floor))
        for one, other in zip(*sides, strict=True)
    )


def lowest(found: InstanceData, count: int, floor: float) -> float:
    """The score below which objects are dropped: the threshold's, or that of the last one that fits in."""
    return found.scores.min().item() if len(found) >= count else floor


def together(differences: Any) -> Difference:
    """The worst of some, with all their objects."""
    differences = list(differences) or [Difference(0.0, None, 0, '')]
    worst = max(differences, key=lambda one: one.worst)
    return worst._replace(objects=sum(one.objects for one in differences))


# ---- the node ---------------------------------------------------------------------------------------------


def values_of(program: torch.export.ExportedProgram, image: Tensor) -> dict[str, Tensor]:
    """Every tensor of floats in a program, by its node's name, in the order in which they are computed."""
    module = module_of(program)
    values: dict[str, Tensor] = {}

    class Recorder(torch.fx.Interpreter):
        def run_node(self, n: torch.fx.Node) -> Any:
            value = super().run_node(n)
            if isinstance(value, Tensor) and value.is_floating_point() and n.op == 'call_function':
                values[n.name] = value.detach()
            return value

    with torch.no_grad():
        Recorder(module).run(image)
    return values


def first_difference(
    values: Mapping[str, Tensor], run: Callable[[Sequence[str]], Mapping[str, np.ndarray]]
) -> str:
    """The first node whose value differs, in words; '' where none is found.

    Args:
        values: of eager torch, in the order in which they are computed.
        run: gives the values that a runtime has for some of these names.
    """
    for name, got in run(list(values)).items():
        want = values[name]
        if tuple(want.shape) != got.shape:
            return f'{name}: {tuple(got.shape)}, expected {tuple(want.shape)}'
        worst, deviations = _deviation(want, torch.from_numpy(np.asarray(got)))
        if worst > 1:
            return f'{name}: {deviations:.2g} standard deviations'
    return ''
