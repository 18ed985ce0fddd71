"""HAT-Net: the authors' numbers, and hierarchical attention as the paper writes it."""

import json
from pathlib import Path

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from vitdense.backbones.hatnet import HATNet, ImageNorm
from vitdense.checkpoint import load_released
from vitdense.layers.hierarchical import HierarchicalAttention

REFERENCE = Path(__file__).parents[1] / 'reference'


@pytest.fixture(scope='module')
def reference() -> tuple[HATNet, dict[str, Tensor]]:
    """The reduced network with the authors' weights, and what theirs answers."""
    with safe_open(REFERENCE / 'hatnet.safetensors', 'pt') as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        arch = json.loads(file.metadata()['kwargs'])
    arch['pool_ratios'] = arch.pop('ds_ratios')
    network = HATNet(arch)
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


@pytest.mark.parametrize('name', HATNet.archs)
def test_parameters_are_those_of_the_authors_but_for_the_norm_they_never_apply(name):
    with torch.device('meta'):
        network = HATNet(name)
    ours = sum(parameter.numel() for parameter in network.parameters())
    # proj_norm, in every block: a weight and a bias for each channel
    idle = sum(2 * dim * depth for dim, depth in zip(network.arch.dims, network.arch.depths, strict=True))
    theirs = json.loads((REFERENCE / 'parameters.json').read_text())
    assert ours + idle == theirs[f'HAT-Net-{name.capitalize()}']


@pytest.mark.parametrize(
    ('name', 'published'),
    [
        ('tiny', 2.0e9),
        ('small', 4.3e9),
        pytest.param('medium', 8.3e9, marks=pytest.mark.nightly),
        pytest.param('large', 11.5e9, marks=pytest.mark.nightly),
    ],
)
def test_multiply_adds_are_the_published(name, published):
    # The published figures count convolutions and linear layers, not the products of queries and keys.
    with torch.device('meta'):
        network, image = HATNet(name), torch.empty(1, 3, 224, 224)
    with FlopCounterMode(display=False) as counter:
        network(image)
    flops = counter.get_flop_counts()['Global']
    counted = sum(flops[op] for op in (torch.ops.aten.convolution, torch.ops.aten.addmm)) // 2
    # 1 %, or the rounding of the printed figure: 1.97 G is printed as 2.0
    assert counted == pytest.approx(published, rel=0.01, abs=0.05e9)


# ---- the equations -----------------------------------------------------------------------------------------


def softmax_attention(q: Tensor, k: Tensor, v: Tensor, head_dim: int, seen: Tensor | None = None) -> Tensor:
    """(N, C) queries, (M, C) keys and values; `seen` (N, M) says which key a query sees."""
    heads = []
    for channels in torch.arange(q.shape[1]).split(head_dim):
        scores = q[:, channels] @ k[:, channels].T / head_dim**0.5
        if seen is not None:
            scores = scores.masked_fill(~seen, float('-inf'))
        heads.append(scores.softmax(1) @ v[:, channels])
    return torch.cat(heads, 1)


def image_norm(x: Tensor, norm: ImageNorm) -> Tensor:
    """(N, C) pixels of one image: zero mean and unit variance over all of it."""
    return (x - x.mean()) / (x.var(correction=0) + 1e-6).sqrt() * norm.weight + norm.bias


@settings(max_examples=30, deadline=None)
@given(height=st.integers(1, 13), width=st.integers(1, 13), grid=st.integers(1, 7), pool=st.integers(1, 4))
@example(height=8, width=12, grid=4, pool=2)
@torch.no_grad()
def test_hierarchical_attention_is_attention_in_grids_then_to_the_pooled_map(height, width, grid, pool):
    torch.manual_seed(0)
    attn = HierarchicalAttention(8, 4, grid, pool, ImageNorm).double()
    for parameter in attn.parameters():
        parameter.normal_()
    image = torch.randn(1, 8, height, width, dtype=torch.float64)

    def conv(x: Tensor, layer: torch.nn.Module) -> Tensor:
        return x @ layer.weight.reshape(layer.weight.shape[:2]).T + layer.bias

    x = image[0].flatten(1).T  # (N, C)
    row, column = torch.arange(height * width) // width, torch.arange(height * width) % width
    q, k, v = conv(image_norm(x, attn.norm), attn.qkv).chunk(3, 1)
    if grid == 1:
        expected = conv(softmax_attention(q, k, v, 4), attn.proj)
    else:
        cell = row // grid * 100 + column // grid
        local = softmax_attention(q, k, v, 4, seen=cell[:, None] == cell)
        x = image_norm(x + local, attn.grid_norm)
        window = row // pool * 100 + column // pool
        pooled = torch.stack([x[window == w].mean(0) for w in window.unique()])
        k, v = conv(image_norm(pooled, attn.pool_norm), attn.kv).chunk(2, 1)
        expected = conv(x + softmax_attention(conv(x, attn.q), k, v, 4), attn.proj)
    torch.testing.assert_close(attn(image)[0].flatten(1).T, expected)
