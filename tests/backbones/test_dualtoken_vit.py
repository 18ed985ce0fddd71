"""DualToken-ViT: LightViT's parts as published, the article's equations and figures, and its ablations."""

from functools import cache
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from vitdense.backbones.dualtoken_vit import DualTokenViT, State, WindowAttention
from vitdense.layers.interpolation import interpolation, resample
from vitdense.layers.lightvit import BiDimensionalAttention, PatchMerging, Stem

ARCH = dict(
    dims=(16, 24, 32),
    depths=(1, 2, 1),
    heads=(2, 3, 4),
    mlp_ratios=(2, 2, 2),
    kernel_sizes=(5, 7, 0),
    token_grid=(7, 7),
    alpha=0.1,
    token_mlp='mlp',
)
ABLATIONS = [
    dict(),
    dict(token_mlp='mix'),
    dict(token_grid=0),
    dict(token_grid=(3, 5), token_mlp='mix'),
    dict(downsampling='one_step'),
    dict(local='window'),
]


def small(**ablation) -> DualTokenViT:
    torch.manual_seed(0)
    return DualTokenViT(ARCH, **ablation).eval()


@torch.no_grad()
def shaken(backbone: DualTokenViT) -> DualTokenViT:
    """Parameters as if trained: none is small, 0 or 1."""
    for parameter in backbone.parameters():
        parameter.add_(0.2 * torch.randn_like(parameter))
    return backbone


# ---- LightViT's parts, as the authors' code computes them ----

REFERENCE = load_file(Path(__file__).parents[1] / 'reference' / 'lightvit_parts.safetensors')


def published(part: str, names: dict[str, str]) -> dict[str, torch.Tensor]:
    """The published state dict of a part, under our names: `names` replaces prefixes, the first that fits."""
    state = {}
    for key, tensor in REFERENCE.items():
        if key.startswith(f'{part}.state_dict.'):
            key = key.removeprefix(f'{part}.state_dict.')
            old = next((old for old in names if key.startswith(old)), '')
            state[names.get(old, '') + key.removeprefix(old)] = tensor
    return state


def assert_equal(ours: torch.Tensor, theirs: torch.Tensor):
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4 * theirs.std().item())


def tokens(x: torch.Tensor) -> torch.Tensor:
    return x.permute(0, 2, 3, 1).flatten(1, 2)


@pytest.mark.parametrize('case', [0, 1])
@torch.no_grad()
def test_stem_is_the_published(case):
    stem = Stem(3, 32, tokens=0).eval()
    stem.load_state_dict(published('stem', {'stem.': 'convs.'}))
    x, g = stem(REFERENCE[f'stem.input.{case}'])
    assert_equal(tokens(x), REFERENCE[f'stem.output.{case}'])
    assert g is None


@pytest.mark.parametrize('case', [0, 1])  # the second has odd sides
@torch.no_grad()
def test_merging_is_the_published(case):
    merge = PatchMerging(32, 48, with_tokens=True)
    names = {'norm2.': 'tokens.0.', 'proj.': 'tokens.1.', 'res_proj.': 'pool_proj.'}
    merge.load_state_dict(published('merge', names))
    height, width, *merged = REFERENCE[f'sizes.{case}'].tolist()
    x = REFERENCE[f'merge.input.{case}.tokens'].unflatten(1, (height, width)).permute(0, 3, 1, 2)
    x, g = merge(x, REFERENCE[f'merge.input.{case}.global'])
    assert x.shape[2:] == tuple(merged)
    assert_equal(tokens(x), REFERENCE[f'merge.output.{case}.tokens'])
    assert_equal(g, REFERENCE[f'merge.output.{case}.global'])


@pytest.mark.parametrize('case', [0, 1])
@torch.no_grad()
def test_bidimensional_attention_is_the_published(case):
    attention = BiDimensionalAttention(32)
    attention.load_state_dict(published('bi_attention', {}))
    x = REFERENCE[f'bi_attention.input.{case}'].unflatten(1, REFERENCE[f'sizes.{case}'][:2].tolist())
    assert_equal(attention(x).flatten(1, 2), REFERENCE[f'bi_attention.output.{case}'])


# ---- the article's equations, written out ----


def attention(q, k, v, heads):
    """Softmax attention of (B, N, C), head by head."""
    heads_of = [x.chunk(heads, 2) for x in (q, k, v)]
    return torch.cat(
        [
            (q @ k.transpose(1, 2) / q.shape[2] ** 0.5).softmax(2) @ v
            for q, k, v in zip(*heads_of, strict=True)
        ],
        2,
    )


def to_map(x, size):
    return x.transpose(1, 2).unflatten(2, size)


def to_tokens(x):
    return x.flatten(2).transpose(1, 2)


def block_by_hand(p, state, stage, heads, token_mlp):
    """Equations (1) to (6) and the block around them, from the parameters `p` by name; tokens (B, N, C)."""

    def linear(x, name):
        return F.linear(x, p[f'{name}.weight'], p.get(f'{name}.bias'))

    def norm(x, name):
        return F.layer_norm(x, x.shape[-1:], p[f'{name}.weight'], p[f'{name}.bias'])

    x_in, g, _ = state
    size = x_in.shape[2:]
    x_in = to_tokens(x_in)
    dim = x_in.shape[2]
    x = norm(x_in, 'norm1')

    x_local = x
    if stage < 2:  # (1)
        weight = p['local.conv.weight']
        y = F.conv2d(to_map(x, size), weight, p['local.conv.bias'], padding=weight.shape[2] // 2, groups=dim)
        y = F.gelu(linear(norm(to_tokens(y), 'local.norm'), 'local.expand'))
        x_local = x + linear(y, 'local.reduce')

    x_ds = to_map(x_local, size)  # (2): a 2 × 2 average, then M times a convolution and an average
    if stage < 2:
        x_ds = F.avg_pool2d(x_ds, 2)
        for _ in range(1 - stage):
            convolution = p['tokens.downsample.steps.1.weight'], p['tokens.downsample.steps.1.bias']
            x_ds = F.avg_pool2d(F.conv2d(x_ds, *convolution, padding=1), 2)
    if x_ds.shape[2:] != (7, 7):
        x_ds = F.interpolate(x_ds, (7, 7), mode='bilinear', antialias=True)

    x_ga = attention(*linear(to_tokens(x_ds), 'tokens.qkv').chunk(3, 2), heads)  # (3)

    enriched = norm(g, 'tokens.enrich.0')  # (4)
    if token_mlp == 'mlp':
        enriched = linear(F.gelu(linear(enriched, 'tokens.enrich.1')), 'tokens.enrich.3')
    else:
        mixed = linear(enriched.transpose(1, 2), 'tokens.enrich.1.mix').transpose(1, 2)
        enriched = linear(F.gelu(mixed), 'tokens.enrich.1.proj')
    g_new = 0.1 * enriched + 0.9 * x_ga

    x_global = attention(linear(x, 'tokens.q'), *linear(g_new, 'tokens.kv').chunk(2, 2), heads)  # (5)

    y = x_in + linear(x_local + x_global, 'proj')  # (6)
    z = linear(F.gelu(linear(norm(y, 'norm2'), 'mlp.0')), 'mlp.2')
    t = norm(z, 'mlp.3.norm')
    for_image = F.gelu(linear(t.mean(1, keepdim=True), 'mlp.3.global_reduce'))
    for_pixel = F.gelu(linear(t, 'mlp.3.local_reduce'))
    both = torch.cat([for_pixel, for_image.expand(-1, for_pixel.shape[1], -1)], 2)
    z = z * linear(for_image, 'mlp.3.channel_select').sigmoid()
    z = z * linear(both, 'mlp.3.spatial_select').sigmoid()
    return to_map(y + z, size), g + g_new


# At 224² the map divides to 7 × 7; at 736 × 1120 it does not, and is larger, as in detection. The weights of
# the interpolation are float32, hence the second tolerance.
@pytest.mark.parametrize(('base', 'tolerance'), [((7, 7), 1e-12), ((23, 35), 1e-6)])
@pytest.mark.parametrize('stage', [0, 1, 2])
@pytest.mark.parametrize('token_mlp', ['mlp', 'mix'])
@torch.no_grad()
def test_block_is_the_equations(base, tolerance, stage, token_mlp):
    backbone = shaken(small(token_mlp=token_mlp)).double()
    block = backbone.stages[stage].blocks[0]
    size = [side * 2 ** (2 - stage) for side in base]
    x, g = (
        torch.randn(2, *shape, dtype=torch.float64)
        for shape in ((ARCH['dims'][stage], *size), (49, ARCH['dims'][stage]))
    )
    state = State(x, g, tuple(interpolation(x, length, 7) for length in base))
    expected = block_by_hand(dict(block.named_parameters()), state, stage, ARCH['heads'][stage], token_mlp)
    for ours, theirs in zip(block(state)[:2], expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=tolerance * theirs.std().item())


@given(st.integers(1, 60), st.integers(1, 60))
@settings(max_examples=20, deadline=None)
def test_resampling_is_antialiased_bilinear(height, width):
    x = torch.randn(1, height, width, 3)
    expected = F.interpolate(x.permute(0, 3, 1, 2), (7, 5), mode='bilinear', antialias=True)
    ours = resample(x, (interpolation(x, height, 7), interpolation(x, width, 5)))
    torch.testing.assert_close(ours, expected.permute(0, 2, 3, 1), rtol=0, atol=1e-5)


@torch.no_grad()
def test_windows_over_the_edge_see_real_pixels_only():
    torch.manual_seed(0)
    window = WindowAttention(16, heads=2)
    x = torch.randn(1, 9, 7, 16)
    out = window(x)
    for rows in (slice(0, 7), slice(7, 9)):
        alone = attention(*window.qkv(x[:, rows].flatten(1, 2)).chunk(3, 2), heads=2)
        torch.testing.assert_close(out[:, rows].flatten(1, 2), alone)


# ---- the published figures, and ours ----


def variant(*args, **kwargs) -> DualTokenViT:
    """A variant of which only the shapes exist."""
    with torch.device('meta'):
        return DualTokenViT(*args, **kwargs)


def multiply_adds(backbone: nn.Module, size: tuple[int, int]) -> float:
    """Of one image: convolutions, linear layers and attention."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        backbone(torch.empty(1, 3, *size, device='meta'))
    return counter.get_total_flops() / 2


@cache
def figures(arch: str, **ablation) -> tuple[int, float]:
    """Parameters of a variant, and its multiply-adds at 224 × 224."""
    backbone = variant(arch, **ablation)
    return sum(p.numel() for p in backbone.parameters()), multiply_adds(backbone, (224, 224))


def lightvit_head(dim: int) -> tuple[int, int]:
    """Parameters of LightViT's norm, neck (1280 channels, batch norm) and classifier; multiply-adds."""
    norm, neck, classifier = 2 * dim, (dim + 1) * 1280 + 2 * 1280, (1280 + 1) * 1000
    return norm + neck + classifier, 49 * dim * 1280 + 1280 * 1000


@pytest.mark.parametrize(
    ('arch', 'token_mlp', 'published_m', 'published_g', 'ours_m', 'ours_g'),
    [
        ('s', 'mlp', 11.9, 1.1, 11.838, 1.026),
        ('s', 'mix', 11.4, 1.0, 11.370, 1.008),
        ('t', 'mix', 5.8, 0.5, 5.806, 0.522),
    ],
)
def test_size_of_the_variants(arch, token_mlp, published_m, published_g, ours_m, ours_g):
    parameters, counted = figures(arch, token_mlp=token_mlp)
    head_parameters, head_multiply_adds = lightvit_head(DualTokenViT.archs[arch]['dims'][-1])
    millions = (parameters + head_parameters) / 1e6
    billions = (counted + head_multiply_adds) / 1e9
    assert millions == pytest.approx(ours_m, abs=0.0005)
    assert millions == pytest.approx(published_m, rel=0.01)
    assert billions == pytest.approx(ours_g, rel=0.005)
    assert billions == pytest.approx(published_g, rel=0.07)  # S is 0.07 G short


def test_names_are_the_papers():
    assert variant('s').arch.token_mlp == 'mlp'
    assert variant('t').arch.token_mlp == 'mix'


@pytest.mark.parametrize(
    ('kept', 'ablated', 'published_m', 'published_g', 'ours_m', 'ours_g'),
    [
        (dict(token_mlp='mlp'), dict(token_grid=0), 1.1, 0.06, 1.054, 0.051),
        (dict(token_mlp='mix'), dict(token_mlp='mix', downsampling='one_step'), 0.1, 0.03, 0.074, 0.0145),
        (dict(token_mlp='mix'), dict(token_mlp='mix', local='window'), None, None, 0.580, 0.114),
    ],
)
def test_cost_of_what_the_article_ablates(kept, ablated, published_m, published_g, ours_m, ours_g):
    kept, ablated = figures('s', **kept), figures('s', **ablated)
    millions, billions = (kept[0] - ablated[0]) / 1e6, (kept[1] - ablated[1]) / 1e9
    assert millions == pytest.approx(ours_m, abs=0.0005)
    assert billions == pytest.approx(ours_g, abs=0.0005)
    if published_m is not None:
        assert millions == pytest.approx(published_m, abs=0.05)
        assert billions == pytest.approx(published_g, abs=0.016)


@pytest.mark.parametrize(
    ('arch', 'ablation'),
    [
        ('s', dict()),
        (ARCH, dict(token_mlp='mix')),
        (ARCH, dict(token_grid=0)),
        (ARCH, dict(downsampling='one_step')),
    ],
    ids=['s', 'mix', 'no tokens', 'one step'],
)
def test_cost_grows_linearly_with_pixels(arch, ablation):
    backbone = variant(arch, **ablation)
    small_image, large_image = multiply_adds(backbone, (512, 512)), multiply_adds(backbone, (2048, 2048))
    assert large_image / small_image <= 16.5
    # what does not grow is the work on the global tokens: with it taken out, 16 times is 16 times
    assert (large_image - small_image) / (multiply_adds(backbone, (1024, 1024)) - small_image) == (
        pytest.approx(5, rel=0.01)
    )


# ---- what every backbone promises, for this one and its ablations ----


@pytest.mark.parametrize('ablation', ABLATIONS, ids=str)
@torch.no_grad()
def test_any_size(ablation):
    backbone = small(**ablation)
    assert (backbone.channels, backbone.strides) == ([16, 24, 32], [8, 16, 32])

    @given(st.integers(1, 3), st.integers(1, 120), st.integers(1, 120))
    @settings(max_examples=15, deadline=None)
    def check(batch, height, width):
        pyramid = backbone(torch.randn(batch, 3, height, width))
        assert [tuple(x.shape) for x in pyramid] == [
            (batch, c, -(-height // s), -(-width // s)) for c, s in ((16, 8), (24, 16), (32, 32))
        ]
        assert all(x.isfinite().all() for x in pyramid)
        assert all(x.is_contiguous(memory_format=torch.channels_last) for x in pyramid)

    check()
    backbone(torch.randn(1, 3, 1, 1))


@pytest.mark.parametrize('ablation', ABLATIONS, ids=str)
@torch.no_grad()
def test_alone_is_as_in_a_batch(ablation):
    backbone = small(**ablation)
    images = torch.randn(3, 3, 75, 131)
    for batched, alone in zip(backbone(images), backbone(images[1:2]), strict=True):
        torch.testing.assert_close(batched[1:2], alone, rtol=0, atol=1e-5)


@pytest.mark.parametrize('out_indices', [(0,), (0, 1), (0, 1, 2)])
@pytest.mark.parametrize('ablation', ABLATIONS, ids=str)
def test_every_parameter_learns(ablation, out_indices):
    backbone = small(out_indices=out_indices, **ablation).train()
    sum(x.square().mean() for x in backbone(torch.randn(2, 3, 90, 70))).backward()
    assert [name for name, p in backbone.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_freezing_the_stem_freezes_the_global_tokens():
    backbone = small(frozen_stages=0).train()
    assert not backbone.stem.tokens.requires_grad
    assert all(p.requires_grad for p in backbone.stages.parameters())


def test_recomputed_blocks_give_the_same_gradients():
    image = torch.randn(2, 3, 90, 70)
    gradients = []
    for with_cp in (False, True):
        backbone = small(with_cp=with_cp).train()
        sum(x.square().mean() for x in backbone(image)).backward()
        gradients.append([p.grad for p in backbone.parameters()])
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize('grid', [5, (3, 9)])
@torch.no_grad()
def test_number_of_global_tokens(grid):
    rows, columns = (grid, grid) if isinstance(grid, int) else grid
    backbone = small(token_grid=grid)
    x, g, _ = nn.Sequential(*backbone.stages)(backbone.initial_state(torch.randn(2, 3, 64, 96)))
    assert (x.shape, g.shape) == ((2, 32, 2, 3), (2, rows * columns, 32))


@torch.no_grad()
def test_global_tokens_know_their_place():
    """The image does not change and the set of tokens does not, only their order, and the maps do."""
    backbone = shaken(small())
    image = torch.randn(1, 3, 224, 224)
    before = backbone(image)[-1]
    backbone.stem.tokens.copy_(backbone.stem.tokens.flip(0))
    assert not torch.allclose(before, backbone(image)[-1], atol=1e-4)


@pytest.mark.parametrize('ablation', ABLATIONS, ids=str)
@torch.no_grad()
def test_autocast_on_the_cpu(ablation):
    backbone = small(**ablation)
    image = torch.randn(1, 3, 150, 200)
    with torch.autocast('cpu', torch.bfloat16):
        half = backbone(image)
    for ours, theirs in zip(half, backbone(image), strict=True):
        torch.testing.assert_close(ours.float(), theirs, rtol=0, atol=0.1 * theirs.std().item())


@pytest.mark.parametrize(
    ('wrong', 'message'),
    [
        (dict(token_mlp='conv'), 'token_mlp'),
        (dict(downsampling='none'), 'downsampling'),
        (dict(local='swin'), 'local'),
        (dict(token_grid=(7, 0)), 'token_grid'),
        (dict(token_grid=(7, 7, 7)), 'token_grid'),
    ],
)
def test_wrong_words_are_named(wrong, message):
    with pytest.raises(ValueError, match=message):
        DualTokenViT('t', **wrong)
