"""What is counted for each attention is what its formula says, at any size."""

from math import ceil

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from vitdense.compat import has_torch

if not has_torch('2.5'):
    pytest.skip('complexity: torch 2.5', allow_module_level=True)

from vitdense.backbones.dualtoken_vit import PositionAwareTokens, WindowAttention
from vitdense.backbones.supervit import SuperBlock, Tokens
from vitdense.complexity import cost
from vitdense.layers.hierarchical import HierarchicalAttention
from vitdense.layers.transformer import SelfAttention
from vitdense.layers.vicinity import VicinityAttention

SIDES = st.integers(1, 70)
BATCH = 2


def multiply_adds(make, *inputs):
    """Of a module on the meta device, for inputs of these shapes."""
    with torch.device('meta'):
        return cost(make().eval(), *(torch.empty(shape) for shape in inputs))[0].multiply_adds


@settings(max_examples=20, deadline=None)
@given(SIDES, SIDES, st.sampled_from([(7, 8), (8, 4), (14, 2)]))
def test_hierarchical_attention(height, width, sides):
    """TransCNN, HAT-Net: inside grids of g × g, linear; to the map pooled by r, quadratic over r²."""
    (g, r), dim, pixels = sides, 32, height * width
    in_grids = ceil(height / g) * ceil(width / g) * g * g  # with what pads them
    pooled = ceil(height / r) * ceil(width / r)
    layers = 3 * dim**2 * in_grids + dim**2 * pixels + 2 * dim**2 * pooled + dim**2 * pixels
    attention = 2 * in_grids * g * g * dim + 2 * pixels * pooled * dim
    counted = multiply_adds(
        lambda: HierarchicalAttention(dim, 16, g, r, nn.BatchNorm2d), (BATCH, dim, height, width)
    )
    assert counted == BATCH * (layers + attention)


@settings(max_examples=20, deadline=None)
@given(SIDES, SIDES)
def test_hierarchical_attention_of_one_step(height, width):
    """The last stage's: among all pixels."""
    dim, pixels = 32, height * width
    counted = multiply_adds(
        lambda: HierarchicalAttention(dim, 16, 1, 1, nn.BatchNorm2d), (BATCH, dim, height, width)
    )
    assert counted == BATCH * (4 * dim**2 * pixels + 2 * pixels**2 * dim)


@settings(max_examples=20, deadline=None)
@given(SIDES, SIDES)
def test_vicinity_attention(height, width):
    """VVT: linear in the pixels N: 2 · N · d² a head for the keys and values, as much for the queries."""
    dim, heads, pixels = 32, 2, height * width
    inner = dim // 2
    d = inner // heads
    layers = 4 * pixels * dim * inner + 2 * dim**2  # and the gate
    attention = 0
    for lines in (height, width):
        sums = pixels * d * d  # k vᵀ
        waves = 4 * lines * d * d + 4 * lines * d  # cosine and sine, there and back, of Σ k vᵀ and of Σ k
        answers = pixels * d * d + pixels * d  # q (k vᵀ) and q k
        attention += heads * (sums + waves + answers)
    counted = multiply_adds(lambda: VicinityAttention(dim, heads, 2, 1), (BATCH, height, width, dim))
    assert counted == BATCH * (layers + attention)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 3000))
def test_self_attention(tokens):
    """PiT: among all tokens of a stage."""
    counted = multiply_adds(lambda: SelfAttention(32, 4), (BATCH, tokens, 32))
    assert counted == BATCH * (4 * 32**2 * tokens + 2 * tokens**2 * 32)


@settings(max_examples=20, deadline=None)
@given(st.integers(10, 3000), st.sampled_from([0.3, 0.5, 0.75, 1]))
def test_a_block_that_prunes_pays_one_row_for_the_choice(tokens, keep_rate):
    """SuperViT: the class token's scores, then the MLP of the tokens that are kept."""
    dim = 32
    with torch.device('meta'):
        block = SuperBlock(dim, 4, 4.0, 0.0, prunes=True)
        counted = cost(block, Tokens(torch.empty(BATCH, tokens, dim), keep_rate))[0].multiply_adds
    kept = tokens if keep_rate == 1 else 1 + min(ceil(tokens * round(keep_rate * 100) / 100), tokens - 1)
    scores = 0 if keep_rate == 1 else tokens * dim
    attention = 4 * dim**2 * tokens + 2 * tokens**2 * dim
    assert counted == BATCH * (attention + scores + 8 * dim**2 * kept)


@settings(max_examples=20, deadline=None)
@given(SIDES, SIDES)
def test_window_attention(height, width):
    """DualToken-ViT's comparison."""
    dim = 32
    in_windows = ceil(height / 7) * ceil(width / 7) * 49
    counted = multiply_adds(lambda: WindowAttention(dim, 4), (BATCH, height, width, dim))
    assert counted == BATCH * (3 * dim**2 * in_windows + 2 * in_windows * 49 * dim)


@settings(max_examples=20, deadline=None)
@given(SIDES, SIDES, st.sampled_from(['mlp', 'mix']))
def test_position_aware_tokens(height, width, token_mlp):
    """DualToken-ViT: 49 tokens among themselves, and every pixel to 49 tokens: linear in the pixels."""
    dim, n, pixels = 32, 49, height * width
    half = ceil(height / 2), ceil(width / 2)
    with torch.device('meta'):
        module = PositionAwareTokens(dim, 4, n, token_mlp, 0.1, halvings=1, stepwise=True)
        x, g = torch.empty(BATCH, height, width, dim), torch.empty(BATCH, n, dim)
        to_grid = torch.empty(7, half[0]), torch.empty(7, half[1])
        counted = cost(module, x, x, g, to_grid)[0].multiply_adds
    to_tokens = (7 * half[0] * half[1] + 7 * 7 * half[1]) * dim
    enriched = 2 * n * dim**2 if token_mlp == 'mlp' else n * n * dim + n * dim**2
    layers = 3 * n * dim**2 + pixels * dim**2 + 2 * n * dim**2
    attention = 2 * n * n * dim + 2 * pixels * n * dim
    assert counted == BATCH * (to_tokens + enriched + layers + attention)


@pytest.mark.parametrize(
    ('make', 'linear'),
    [
        (lambda: VicinityAttention(32, 2, 2, 1), True),
        (lambda: HierarchicalAttention(32, 16, 8, 8, nn.BatchNorm2d), False),
    ],
    ids=['VVT', 'TransCNN'],
)
def test_what_is_linear_and_what_is_not(make, linear):
    """Sixteen times the pixels."""
    shapes = [
        (1, side, side, 32) if isinstance(make(), VicinityAttention) else (1, 32, side, side)
        for side in (256, 1024)
    ]
    small, large = (multiply_adds(make, shape) for shape in shapes)
    assert (large <= 16 * small) == linear
