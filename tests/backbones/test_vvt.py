"""VVT: the authors' numbers, and vicinity attention as the paper writes it."""

import json
import math
from pathlib import Path
from unittest.mock import patch

import pytest
import torch
import torch.nn.functional as F
from hypothesis import example, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from vitdense.backbones.vvt import VVT
from vitdense.checkpoint import load_released
from vitdense.compat import has_torch
from vitdense.layers.vicinity import VicinityAttention

REFERENCE = Path(__file__).parents[1] / 'reference'


@pytest.fixture(scope='module')
def reference() -> tuple[VVT, dict[str, Tensor]]:
    """The reduced network with the authors' weights, and what theirs answers."""
    with safe_open(REFERENCE / 'vvt.safetensors', 'pt') as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        words = json.loads(file.metadata()['kwargs'])
    network = VVT(
        dict(
            dims=words['embed_dims'],
            depths=words['depths'],
            heads=words['num_heads'],
            mlp_ratios=words['mlp_ratios'],
            feature_reduction=words['fr_ratios'][0],
            gate_reduction=words['se_ratio'],
        )
    )
    prefix = 'state_dict.'
    load_released(network, {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)})
    return network.eval(), tensors


@pytest.mark.parametrize('case', [0, 1])
@torch.no_grad()
def test_maps_equal_those_of_the_authors(reference, case):
    network, tensors = reference
    maps = network(tensors[f'input.{case}'])
    for stage, ours in enumerate(maps, 1):
        theirs = tensors[f'output.{case}.stage{stage}']
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4 * theirs.std().item())


@pytest.mark.parametrize('name', VVT.archs)
def test_parameters_are_those_of_the_authors(name):
    with torch.device('meta'):
        network = VVT(name)
    theirs = json.loads((REFERENCE / 'parameters.json').read_text())
    assert sum(p.numel() for p in network.parameters()) == theirs[f'VVT-{name.capitalize()}']


@pytest.mark.parametrize(
    ('name', 'published'),
    [
        ('tiny', 3.0e9),
        ('small', 5.6e9),
        pytest.param('medium', 9.4e9, marks=pytest.mark.nightly),
        pytest.param('large', 10.8e9, marks=pytest.mark.nightly),
    ],
)
def test_multiply_adds_are_the_published_less_half_of_the_attention(name, published):
    with torch.device('meta'):
        network, image = VVT(name), torch.empty(1, 3, 224, 224)
    with FlopCounterMode(display=False) as counter:
        network(image)
    flops = counter.get_flop_counts()['Global']
    attention = flops.pop(torch.ops.aten.bmm) // 2
    layers = sum(flops.values()) // 2
    # The authors re-weight every key and query fourfold: 4d × d products for each of N pixels, twice.
    a = network.arch
    fourfold = 0
    for dim, depth, heads, side in zip(a.dims, a.depths, a.heads, (56, 28, 14, 7), strict=True):
        width = dim // a.feature_reduction
        fourfold += depth * 2 * side**2 * 4 * width * (width // heads)
    assert layers + fourfold == pytest.approx(published, rel=0.01)
    assert attention < 0.65 * fourfold


def test_multiply_adds_grow_no_faster_than_the_pixels():
    with torch.device('meta'):
        attn, maps = VicinityAttention(32, 2, 2, 1), [torch.empty(1, n, n, 32) for n in (64, 256)]
    counts = []
    for x in maps:
        with FlopCounterMode(display=False) as counter:
            attn(x)
        counts.append(counter.get_total_flops())
    assert counts[1] <= 16 * counts[0]


# ---- the equations -----------------------------------------------------------------------------------------


def places(height: int, width: int) -> tuple[Tensor, Tensor]:
    """Row and column of every pixel (N,), row by row."""
    index = torch.arange(height * width)
    return (index // width).double(), (index % width).double()


@settings(max_examples=30, deadline=None)
@given(height=st.integers(1, 9), width=st.integers(1, 9), heads=st.sampled_from([1, 2, 4]))
@example(height=5, width=8, heads=2)
@torch.no_grad()
def test_vicinity_attention_is_the_quadratic_form(height, width, heads):
    torch.manual_seed(0)
    attn = VicinityAttention(16, heads, feature_reduction=2, gate_reduction=2).double()
    image = torch.randn(2, height, width, 16, dtype=torch.float64)

    with patch('vitdense.layers.vicinity.bound', lambda x: x):  # the equations have no bounds
        attended = attn(image)

    row, column = places(height, width)
    near = (math.pi / 2 * (row[:, None] - row) / height).cos()  # (N, N)
    near = near + (math.pi / 2 * (column[:, None] - column) / width).cos()
    for x, ours in zip(image.flatten(1, 2), attended.flatten(1, 2), strict=True):
        seen = []
        for q, k, v in zip(*(p(x).chunk(heads, 1) for p in (attn.q, attn.k, attn.v)), strict=True):
            weights = F.relu(q) @ F.relu(k).T * near
            seen.append(weights @ v / (weights.sum(1, keepdim=True) + 1e-4))
        seen = attn.proj(torch.cat(seen, 1))
        squeeze, _, excite, _ = attn.gate
        gate = torch.sigmoid(F.relu(x.mean(0) @ squeeze.weight.T) @ excite.weight.T)
        torch.testing.assert_close(ours, seen + seen * gate)


def bounded(x: Tensor) -> Tensor:
    """Signs kept, magnitudes brought into [1e-4, 1e4]."""
    return torch.where(x == 0, x, x.abs().clamp(1e-4, 1e4).copysign(x))


@pytest.mark.parametrize('scale', [0.003, 1.0, 60.0])  # of the weights: below, within, above the bounds
@pytest.mark.parametrize('value', [1e-4, 1.0])
def test_the_bounds_are_where_the_authors_have_them(scale, value):
    torch.manual_seed(0)
    height, width = 6, 9
    q, k, v = scale * torch.randn(3, 2, 3, height, width, 4, dtype=torch.float64)
    q, k, v = F.relu(q), F.relu(k), value * v
    ours = VicinityAttention.attend(q, k, v).flatten(2, 3)

    row, column = places(height, width)
    angles = [math.pi / 2 * row / height, math.pi / 2 * column / width]
    waves = [wave(angle)[:, None] for angle in angles for wave in (torch.cos, torch.sin)]
    q, k, v = (t.flatten(2, 3) for t in (q, k, v))
    q, k = (torch.cat([t * wave for wave in waves], 3) for t in (q, k))  # (B, heads, N, 4d)
    weight = bounded(1 / (q @ k.sum(2)[..., None] + 1e-4))
    summed = q @ bounded(k.transpose(2, 3) @ v)
    expected = bounded(bounded(summed) * weight)
    sure = summed.abs() > 1e-9 * summed.abs().max()  # terms of one magnitude cancel out, all but rounding
    assert sure.double().mean() > 0.9
    torch.testing.assert_close(ours[sure], expected[sure])

    attn = VicinityAttention(16, 2, 2, 1)  # and behind the projection
    torch.nn.init.normal_(attn.proj.weight, std=1e-6)
    torch.nn.init.normal_(attn.proj.bias, std=1e-6)
    assert attn(torch.randn(1, 3, 4, 16)).abs().min() >= 1e-4


@torch.no_grad()
@pytest.mark.skipif(not has_torch('2.5'), reason='float16 autocast on a CPU: run with torch 2.5 and newer')
def test_sums_that_overflow_float16_are_made_in_float32():
    torch.manual_seed(0)
    attn = VicinityAttention(16, 2, 2, 1)
    x = 30 * torch.randn(1, 64, 64, 16)
    with torch.autocast('cpu', dtype=torch.float16):
        ours = attn(x)
    expected = attn(x)
    assert ours.isfinite().all()
    assert (ours - expected).abs().mean() < 0.01 * expected.std()
