"""PiT: the paper's numbers, and its way from classification to maps of any size."""

import json
from pathlib import Path

import pytest
import timm
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from small_backbones import SMALL
from torch.utils.flop_counter import FlopCounterMode

from vitdense.backbones.pit import PiT
from vitdense.checkpoint import load_released

REFERENCE = Path(__file__).parents[1] / 'reference'
ARCH = SMALL['PiT'].released_arch


@pytest.fixture(scope='module')
def reference() -> dict:
    """The authors' tensors: 'state_dict.*', 'input.i', 'output.i.*'."""
    return load_file(REFERENCE / 'pit.safetensors')


def weights(reference: dict) -> dict:
    return {k.removeprefix('state_dict.'): v for k, v in reference.items() if k.startswith('state_dict.')}


def matches(ours: torch.Tensor, theirs: torch.Tensor) -> bool:
    return ours.shape == theirs.shape and (ours - theirs).abs().max() <= 1e-4 * theirs.std()


@pytest.mark.parametrize('i', [0, 1])
@torch.no_grad()
def test_numbers_are_those_of_the_authors_code(reference, i):
    pit = PiT(ARCH, padded=False).eval()
    theirs = weights(reference)
    load_released(pit, theirs)
    image = reference[f'input.{i}']

    maps = pit(image)
    assert len(maps) == 3
    for stage, ours in enumerate(maps, 1):
        assert matches(ours, reference[f'output.{i}.stage{stage}'])

    state = pit.initial_state(image)
    for stage in pit.stages:
        state = stage(state)
    token = F.layer_norm(state[1], (64,), theirs['norm.weight'], theirs['norm.bias'], 1e-6)
    assert matches(token, reference[f'output.{i}.class_token'])
    logits = F.linear(token[:, 0], theirs['head.weight'], theirs['head.bias'])
    assert matches(logits, reference[f'output.{i}.logits'])


@pytest.mark.parametrize('arch', ['Ti', 'XS', 'S', 'B'])
def test_parameters_are_as_many_as_the_authors(arch):
    counts = json.loads((REFERENCE / 'parameters.json').read_text())
    with torch.device('meta'):
        assert sum(p.numel() for p in PiT(arch).parameters()) == counts[f'PiT-{arch}']


@pytest.mark.parametrize(
    ('arch', 'millions', 'billions'),  # as published, with the classifiers
    [
        ('ti', 4.85, 0.70),
        ('xs', 10.62, 1.39),
        ('s', 23.46, 2.87),
        ('b', 73.76, 12.40),
        ('ti_distilled', 5.10, 0.71),
        ('xs_distilled', 11.00, 1.41),
        ('s_distilled', 24.04, 2.90),
        ('b_distilled', 74.79, 12.48),
    ],
)
@torch.no_grad()
def test_published_parameters_and_multiply_adds(arch, millions, billions):
    with torch.device('meta'):  # counts without computing
        pit, image = PiT(arch, padded=False).eval().requires_grad_(False), torch.empty(1, 3, 224, 224)
    dim, heads = pit.channels[-1], pit.stem.tokens.shape[1]
    head = 2 * dim + heads * (dim + 1) * 1000  # norm and classifiers
    assert round((sum(p.numel() for p in pit.parameters()) + head) / 1e6, 2) == millions
    with FlopCounterMode(display=False) as counter:
        pit(image)
    assert counter.get_total_flops() / 2e9 == pytest.approx(billions, rel=0.01)


def test_strides_of_the_variants():
    with torch.device('meta'):
        small, base, one = PiT('s'), PiT('b'), PiT('ti', out_indices=(1,))
    assert (small.channels, small.strides) == ([144, 288, 576], [8, 16, 32])
    assert (base.channels, base.strides) == ([256, 512, 1024], [7, 14, 28])
    assert (one.channels, one.strides) == ([128], [16])


@torch.no_grad()
def test_a_padded_stem_adds_patches_and_keeps_the_papers(reference):
    """At the size of the position table every patch of the paper's stem is there, with its position."""
    plain, padded = PiT(ARCH, padded=False), PiT(ARCH)
    padded.load_state_dict(plain.state_dict())
    (ours, _), (theirs, _) = padded.stem(reference['input.0']), plain.stem(reference['input.0'])
    assert ours.shape[2:] == (10, 10)
    assert theirs.shape[2:] == (9, 9)
    torch.testing.assert_close(ours[:, :, 1:, 1:], theirs)


@pytest.mark.parametrize(('arch', 'stride'), [('ti', 8), ('b', 7)])
def test_a_padded_patch_is_centred_where_detectors_put_its_anchor(arch, stride):
    stem = PiT(arch, out_indices=(0,)).stem
    image = torch.randn(1, 3, 61, 90, requires_grad=True)
    stem(image)[0][0, :, 2, 3].sum().backward()
    seen = image.grad.abs().sum((0, 1)).nonzero()
    assert seen.amin(0).tolist() == [2 * stride - stride, 3 * stride - stride]
    assert seen.amax(0).tolist() == [2 * stride + stride - 1, 3 * stride + stride - 1]


@pytest.mark.parametrize('size', [(80, 80), (72, 80), (80, 88), (73, 75)])
def test_positions_are_resampled_when_either_side_of_the_grid_differs(size):
    stem = PiT(ARCH, padded=False).stem
    torch.nn.init.zeros_(stem.conv.weight)
    torch.nn.init.zeros_(stem.conv.bias)
    x, _ = stem(torch.zeros(1, 3, *size))
    grid = x.shape[-2:]
    expected = stem.position
    if grid != (9, 9):
        expected = F.interpolate(expected, grid, mode='bicubic', align_corners=False)
    assert torch.equal(x, expected)


def test_without_padding_an_image_smaller_than_a_patch_is_refused():
    with pytest.raises(ValueError, match=r'\(1, 3, 16, 15\), is smaller than a patch of 16 pixels'):
        PiT(ARCH, padded=False)(torch.zeros(1, 3, 16, 15))


@torch.no_grad()
def test_the_class_token_is_seen_by_the_pixels(reference):
    pit = PiT(ARCH).eval()
    load_released(pit, weights(reference))
    before = pit(reference['input.0'])
    pit.stem.tokens.mul_(-2)
    assert all((a - b).abs().max() > 1e-3 for a, b in zip(before, pit(reference['input.0']), strict=True))


@torch.no_grad()
def test_distilled_weights_load_and_their_second_token_takes_part():
    with_two = timm.create_model('pit_ti_distilled_224').eval()
    pit = PiT('TI_distilled', padded=False).eval()
    load_released(pit, with_two.state_dict())
    image = torch.randn(1, 3, 224, 224)
    expected = with_two.forward_intermediates(image, intermediates_only=True)
    assert all(matches(a, b) for a, b in zip(pit(image), expected, strict=True))
    with pytest.raises(ValueError, match='misshapen'):
        load_released(PiT('ti'), with_two.state_dict())


@torch.no_grad()
def test_weights_under_timms_names_give_timms_numbers():
    theirs = timm.create_model('pit_ti_224').eval()
    pit = PiT('ti', padded=False).eval()
    load_released(pit, theirs.state_dict())
    image = torch.randn(1, 3, 224, 224)
    expected = theirs.forward_intermediates(image, intermediates_only=True)
    assert all(matches(a, b) for a, b in zip(pit(image), expected, strict=True))


def test_a_model_that_timm_has_not_is_an_error():
    with pytest.raises(ValueError, match='pit_xxl_224'):
        load_released(PiT(ARCH), 'timm:pit_xxl_224')


def test_a_released_position_table_is_fitted_to_the_backbone(reference):
    theirs = weights(reference)
    pit = PiT(ARCH | dict(image_size=112))
    load_released(pit, theirs)
    expected = F.interpolate(theirs['pos_embed'], (13, 13), mode='bicubic', align_corners=False)
    assert torch.equal(pit.stem.position, expected)


def test_stages_that_are_not_needed_are_not_built(reference):
    pit = PiT(ARCH, out_indices=(1,))
    load_released(pit, weights(reference))
    assert len(pit.stages) == 2
    (ours,) = pit(torch.randn(2, 3, 50, 70))
    ours.square().sum().backward()
    assert ours.shape == (2, 32, 4, 5)
    assert [name for name, p in pit.named_parameters() if p.grad is None] == []


def test_drop_path_rates_are_those_of_the_authors_code():
    pit = PiT('ti', drop_path_rate=0.12)
    drops = [block.drop_path.drop_prob for stage in pit.stages for block in stage.blocks]
    assert drops == pytest.approx([0.12 * i / 12 for i in range(12)])
