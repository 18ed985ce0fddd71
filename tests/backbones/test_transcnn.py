"""TransCNN: the numbers of the authors' code, and the facts of the paper."""

import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from torch import Tensor, nn

from vitdense.backbones import TransCNN
from vitdense.backbones.transcnn import InvertedResidual, TwoBranchDownsample
from vitdense.checkpoint import load_released

REFERENCE = Path(__file__).parents[1] / 'reference'
FULL_SIZE = ['tiny', 'small', 'medium', 'large']


@pytest.fixture(scope='module')
def reference() -> dict[str, Tensor]:
    """The authors' tensors: `state_dict.*`, `input.i`, `output.i.stageN`."""
    with safe_open(REFERENCE / 'transcnn.safetensors', 'pt') as file:
        return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (it is no mapping)


@pytest.fixture(scope='module')
def transcnn(reference) -> TransCNN:
    """The network of the reference, in eval mode, with the authors' weights."""
    with safe_open(REFERENCE / 'transcnn.safetensors', 'pt') as file:
        words = {key: json.loads(value) for key, value in file.metadata().items()}
    arch = words['kwargs']
    arch['pool_ratios'] = arch.pop('ds_ratios')
    network = TransCNN({**arch, 'kernel_sizes': words['kernel_sizes']})
    prefix = 'state_dict.'
    load_released(network, {k.removeprefix(prefix): v for k, v in reference.items() if k.startswith(prefix)})
    return network.eval()


def full_size(arch: str, **words) -> TransCNN:
    """A variant of the paper without numbers, which takes no time to build."""
    with torch.device('meta'):
        return TransCNN(arch, **words)


def randomise(module: nn.Module) -> nn.Module:
    """Random parameters and statistics, in float64 and eval mode."""
    torch.manual_seed(0)
    module = module.double().eval()
    for tensor in (*module.parameters(), *module.buffers()):
        if tensor.is_floating_point():
            tensor.data.uniform_(0.5, 1.5).sub_(0.0 if tensor.ndim == 1 else 1.0)
    return module


# ---- the authors' numbers ----------------------------------------------------------------------------------


@pytest.mark.parametrize('i', [0, 1])
@torch.no_grad()
def test_the_maps_are_those_of_the_authors_code(transcnn, reference, i):
    """The root of the mean square of the difference is within 1e-4 of a map's standard deviation.

    Not the worst element: with random weights the last stage amplifies rounding so much that the authors'
    float32 maps are themselves up to 1.5e-4 from those of their code in float64. The next test looks at the
    worst element where rounding has not added up.
    """
    maps = transcnn(reference[f'input.{i}'])
    assert len(maps) == 4
    for stage, ours in enumerate(maps, 1):
        theirs = reference[f'output.{i}.stage{stage}']
        assert ours.shape == theirs.shape
        assert (ours - theirs).square().mean().sqrt() <= 1e-4 * theirs.std()


@pytest.mark.parametrize('i', [0, 1])
@pytest.mark.parametrize('stage', [1, 2, 3, 4])
@torch.no_grad()
def test_each_stage_makes_the_authors_map_from_the_authors_map_before(transcnn, reference, i, stage):
    """The worst element is within 1e-4 of the map's standard deviation."""
    before = (
        reference[f'output.{i}.stage{stage - 1}'] if stage > 1 else transcnn.stem(reference[f'input.{i}'])
    )
    ours, theirs = transcnn.stages[stage - 1](before), reference[f'output.{i}.stage{stage}']
    assert ours.shape == theirs.shape
    assert (ours - theirs).abs().max() <= 1e-4 * theirs.std()


# ---- the paper's tables ------------------------------------------------------------------------------------


@pytest.mark.parametrize('arch', FULL_SIZE)
def test_parameters_are_as_many_as_the_authors(arch):
    counts = json.loads((REFERENCE / 'parameters.json').read_text())
    ours = sum(p.numel() for p in full_size(arch).parameters())
    assert ours == counts[f'TransCNN-{arch.capitalize()}']


@pytest.mark.parametrize(('arch', 'millions'), zip(FULL_SIZE, (13.3, 26.5, 48.3, 80.0), strict=True))
def test_with_the_classifier_parameters_are_as_many_as_published(arch, millions):
    backbone = full_size(arch)
    ours = sum(p.numel() for p in backbone.parameters())
    classifier = (backbone.channels[-1] + 1) * 1000
    assert round((ours + classifier) / 1e6, 1) == millions


def test_the_variants_are_four():
    assert list(TransCNN.archs) == FULL_SIZE


@pytest.mark.parametrize('out_indices', [(0, 1, 2, 3), (1,)])
def test_drop_path_grows_linearly_over_all_blocks_built_or_not(out_indices):
    backbone = full_size('tiny', drop_path_rate=0.9, out_indices=out_indices)
    blocks = [block for stage in backbone.stages for block in stage.blocks]
    assert len(blocks) == sum(backbone.arch.depths[: out_indices[-1] + 1])
    rates = [block.drop_path.drop_prob for block in blocks]
    assert rates == pytest.approx([0.1 * i for i in range(len(blocks))])  # 10 blocks: 0, 0.1, …, 0.9


# ---- the paper's equations ---------------------------------------------------------------------------------


@settings(max_examples=20, deadline=None)
@given(height=st.integers(1, 12), width=st.integers(1, 12))
@torch.no_grad()
def test_downsampling_adds_a_strided_convolution_and_a_max_pool(height, width):
    """SiLU(BN(conv 3×3, stride 2) + BN(conv 1×1 (max pool 2×2))), the windows' real pixels only."""
    module = randomise(TwoBranchDownsample(3, 5))
    x = torch.randn(2, 3, height, width, dtype=torch.float64)

    rows, columns = -(-height // 2), -(-width // 2)
    padded = F.pad(x, (1, 1, 1, 1))
    conv, pool = torch.empty(2, 2, 5, rows, columns, dtype=torch.float64)
    for i in range(rows):
        for j in range(columns):
            window = padded[:, :, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3]
            conv[..., i, j] = torch.einsum('bcij,ocij->bo', window, module.conv.weight) + module.conv.bias
            largest = x[:, :, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2].amax((2, 3))
            pool[..., i, j] = largest @ module.pool_conv.weight[:, :, 0, 0].T + module.pool_conv.bias
    total = normed(conv, module.conv_norm) + normed(pool, module.pool_norm)
    torch.testing.assert_close(module(x), total * total.sigmoid())


@pytest.mark.parametrize('kernel_size', [3, 5])
@torch.no_grad()
def test_the_inverted_residual_expands_mixes_and_projects(kernel_size):
    """Bias-free 1×1, depthwise k×k and 1×1 convolutions, each with a norm, SiLU after the first two."""
    module = randomise(InvertedResidual(3, 4, kernel_size))
    x = torch.randn(2, 3, 7, 6, dtype=torch.float64)
    expand, norm1, _, mix, norm2, _, project, norm3 = module
    assert expand.bias is mix.bias is project.bias is None

    y = normed(torch.einsum('bchw,oc->bohw', x, expand.weight[:, :, 0, 0]), norm1)
    y = y * y.sigmoid()
    padded = F.pad(y, (kernel_size // 2,) * 4)
    y = sum(
        mix.weight[:, 0, i, j, None, None] * padded[:, :, i : i + 7, j : j + 6]
        for i in range(kernel_size)
        for j in range(kernel_size)
    )
    y = normed(y, norm2)
    y = y * y.sigmoid()
    y = normed(torch.einsum('bchw,oc->bohw', y, project.weight[:, :, 0, 0]), norm3)
    torch.testing.assert_close(module(x), y)


def normed(x: Tensor, norm: nn.BatchNorm2d) -> Tensor:
    """A batch norm with its stored statistics, written out."""
    mean, var, weight, bias = (
        t[:, None, None] for t in (norm.running_mean, norm.running_var, norm.weight, norm.bias)
    )
    return (x - mean) / (var + 1e-5).sqrt() * weight + bias
