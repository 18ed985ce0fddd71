"""Hierarchical attention against its definition, written out pixel by pixel in float64."""

import math
from functools import partial

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from vitdense.layers.drop_path import DropPath, drop_path_rates
from vitdense.layers.hierarchical import HierarchicalAttention, HierarchicalBlock

NORMS = {'BatchNorm2d': nn.BatchNorm2d, 'GroupNorm': partial(nn.GroupNorm, 1)}
DIM, HEAD_DIM = 6, 2


def randomised(layer: nn.Module) -> nn.Module:
    """Random parameters and statistics, in float64 and eval mode."""
    torch.manual_seed(0)
    layer = layer.double().eval()
    for parameter in layer.parameters():
        nn.init.normal_(parameter, std=0.7)
    for norm in layer.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.running_mean.normal_(std=0.5)
            norm.running_var.uniform_(0.5, 2)
    return layer


def image(height: int, width: int) -> Tensor:
    return torch.randn(2, DIM, height, width, dtype=torch.float64)


# ---- the definition ----------------------------------------------------------------------------------------


def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Of queries (N, C) to keys and values (M, C), head by head, with the softmax as a fraction."""
    heads = []
    for start in range(0, DIM, HEAD_DIM):
        of_head = slice(start, start + HEAD_DIM)
        weights = (q[:, of_head] @ k[:, of_head].T / math.sqrt(HEAD_DIM)).exp()
        heads.append(weights / weights.sum(1, keepdim=True) @ v[:, of_head])
    return torch.cat(heads, 1)


def pixelwise(layer: nn.Linear | nn.Conv2d, pixels: Tensor) -> Tensor:
    """A linear layer, or a 1×1 convolution as one, of pixels (N, C)."""
    return pixels @ layer.weight.flatten(1).T + layer.bias


def pixels_of(x: Tensor) -> Tensor:
    """(C, H, W) → (HW, C), row by row."""
    return torch.stack([x[:, r, c] for r in range(x.shape[1]) for c in range(x.shape[2])])


def map_of(pixels: Tensor, height: int, width: int) -> Tensor:
    """(HW, C) → (C, H, W)."""
    return pixels.T.reshape(-1, height, width)


def cells_of(height: int, width: int, side: int) -> list[tuple[slice, slice]]:
    """The cells of a map; those at the edge are smaller."""
    return [
        (slice(top, min(top + side, height)), slice(left, min(left + side, width)))
        for top in range(0, height, side)
        for left in range(0, width, side)
    ]


def pooled(x: Tensor, side: int) -> Tensor:
    """The average of each cell's real pixels: (C, H, W) → (C, ⌈H/side⌉, ⌈W/side⌉)."""
    _, height, width = x.shape
    means = [x[:, rows, columns].mean((1, 2)) for rows, columns in cells_of(height, width, side)]
    return map_of(torch.stack(means), -(-height // side), -(-width // side))


def written_out(layer: HierarchicalAttention, x: Tensor, grid_size: int, pool_ratio: int) -> Tensor:
    """The layer's definition for one map (C, H, W)."""

    def norm(of: nn.Module, y: Tensor) -> Tensor:
        return of(y[None])[0]

    _, height, width = x.shape
    qkv = map_of(pixelwise(layer.qkv, pixels_of(norm(layer.norm, x))), height, width)
    if grid_size == 1:
        out = attention(*pixels_of(qkv).split(DIM, 1))
        return map_of(pixelwise(layer.proj, out), height, width)

    local = torch.full_like(x, math.nan)
    for rows, columns in cells_of(height, width, grid_size):
        cell = qkv[:, rows, columns]
        out = attention(*pixels_of(cell).split(DIM, 1))
        local[:, rows, columns] = map_of(out, *cell.shape[1:])
    x = norm(layer.grid_norm, x + local)

    q = pixelwise(layer.q, pixels_of(x))
    kv = pixelwise(layer.kv, pixels_of(norm(layer.pool_norm, pooled(x, pool_ratio))))
    out = pixels_of(x) + attention(q, *kv.split(DIM, 1))
    return map_of(pixelwise(layer.proj, out), height, width)


# ---- what is proved ----------------------------------------------------------------------------------------


@pytest.mark.parametrize('norm', NORMS)
@settings(max_examples=25, deadline=None)
@given(
    height=st.integers(1, 14),
    width=st.integers(1, 14),
    grid_size=st.integers(1, 8),
    pool_ratio=st.integers(1, 8),
)
@example(height=8, width=8, grid_size=4, pool_ratio=2)  # nothing to pad
@example(height=9, width=13, grid_size=4, pool_ratio=8)  # every kind of edge
@example(height=1, width=1, grid_size=8, pool_ratio=8)  # one real pixel
@torch.no_grad()
def test_attention_is_its_definition_over_real_pixels(norm, height, width, grid_size, pool_ratio):
    layer = randomised(HierarchicalAttention(DIM, HEAD_DIM, grid_size, pool_ratio, NORMS[norm]))
    x = image(height, width)
    expected = torch.stack([written_out(layer, one, grid_size, pool_ratio) for one in x])
    torch.testing.assert_close(layer(x), expected, rtol=1e-9, atol=1e-9)


@settings(max_examples=40, deadline=None)
@given(height=st.integers(1, 20), width=st.integers(1, 20), ratio=st.integers(1, 8))
@torch.no_grad()
def test_pooled_windows_average_their_real_pixels_only(height, width, ratio):
    layer = HierarchicalAttention(DIM, HEAD_DIM, 2, ratio, nn.BatchNorm2d)
    x = image(height, width).contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(layer.pool(x), torch.stack([pooled(one, ratio) for one in x]))


@torch.no_grad()
def test_without_a_grid_only_what_plain_attention_needs_is_built():
    layer = HierarchicalAttention(DIM, HEAD_DIM, 1, 1, nn.BatchNorm2d)
    assert {name for name, _ in layer.named_children()} == {'norm', 'qkv', 'proj'}


@torch.no_grad()
def test_the_block_adds_its_attention_and_then_its_convolution():
    conv = randomised(nn.Conv2d(DIM, DIM, 3, padding=1))
    attn = randomised(HierarchicalAttention(DIM, HEAD_DIM, 4, 2, nn.BatchNorm2d))
    x = image(7, 9)
    y = x + attn(x)
    torch.testing.assert_close(HierarchicalBlock(attn, conv, 0.0)(x), y + conv(y))


@torch.no_grad()
def test_stochastic_depth_drops_either_half_of_the_block_for_an_image():
    """What is not dropped is divided by the chance to stay, so that the mean is the same."""

    class Adds(nn.Module):
        """x + its amount, once the block has added x."""

        def __init__(self, amount: float):
            super().__init__()
            self.amount = amount

        def forward(self, x: Tensor) -> Tensor:
            return torch.full_like(x, self.amount)

    torch.manual_seed(0)
    block = HierarchicalBlock(Adds(1.0), Adds(10.0), 0.75)
    x = torch.zeros(400, DIM, 2, 3)
    sums = block.train()(x)
    assert torch.equal(sums, sums[:, :1, :1, :1].expand_as(sums))  # an image as a whole
    assert set(sums.unique().tolist()) == {0.0, 4.0, 40.0, 44.0}
    assert sums.mean() == pytest.approx(11, abs=2)
    assert torch.equal(block.eval()(x), torch.full_like(x, 11))
    assert isinstance(block.drop_path, DropPath)


@given(last=st.floats(0, 0.9), depths=st.lists(st.integers(1, 9), min_size=1, max_size=4))
def test_drop_path_rates_grow_linearly_from_zero_to_the_last(last, depths):
    rates = drop_path_rates(last, tuple(depths))
    assert [len(stage) for stage in rates] == depths
    flat = [rate for stage in rates for rate in stage]
    assert flat == pytest.approx(torch.linspace(0, last, sum(depths), dtype=torch.float64).tolist())
