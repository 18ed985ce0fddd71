"""SuperViT: the paper's numbers at every setting of its dials, and dense maps from which nothing is lost."""

import json
import random
from itertools import product
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from small_backbones import SMALL
from torch.utils.flop_counter import FlopCounterMode

from vitdense.backbones.supervit import SuperViT, Tokens
from vitdense.checkpoint import load_released

REFERENCE = Path(__file__).parents[1] / 'reference'
ARCH = SMALL['SuperViT'].released_arch


@pytest.fixture(scope='module')
def reference() -> dict:
    """The authors' tensors: 'state_dict.*', 'input.0', 'output.0.*'."""
    return load_file(REFERENCE / 'supervit.safetensors')


@pytest.fixture
def backbone(reference) -> SuperViT:
    """The authors' weights, in eval mode."""
    backbone = SuperViT(ARCH).eval()
    load_released(backbone, weights(reference))
    return backbone


def weights(reference: dict) -> dict:
    return {k.removeprefix('state_dict.'): v for k, v in reference.items() if k.startswith('state_dict.')}


def matches(ours: torch.Tensor, theirs: torch.Tensor) -> bool:
    return ours.shape == theirs.shape and (ours - theirs).abs().max() <= 1e-4 * theirs.std()


# ---- the paper's numbers -----------------------------------------------------------------------------------


@pytest.mark.parametrize(('size', 'keep_rate'), product([48, 64, 96], [0.5, 0.7, 1]))
@torch.no_grad()
def test_class_tokens_are_those_of_the_authors_code(backbone, reference, size, keep_rate):
    token = backbone.class_token(reference['input.0'], size, keep_rate)
    output = f'output.0.size{size}.keep{keep_rate}'
    assert matches(token, reference[f'{output}.class_token'])
    logits = F.linear(token, reference['state_dict.head.weight'], reference['state_dict.head.bias'])
    assert matches(logits, reference[f'{output}.logits'])


@pytest.mark.parametrize('size', [48, 64, 96])
@torch.no_grad()
def test_maps_are_the_patch_tokens_of_the_authors_code(backbone, reference, size):
    image = F.interpolate(reference['input.0'], (size, size), mode='bilinear', align_corners=True)
    tokens = reference[f'output.0.size{size}.keep1.tokens']
    assert matches(backbone(image)[2].flatten(2).transpose(1, 2), tokens[:, 1:])


def test_parameters_are_as_many_as_the_authors():
    counts = json.loads((REFERENCE / 'parameters.json').read_text())
    with torch.device('meta'):
        ours = {name: p.numel() for name, p in SuperViT('DeiT_S').named_parameters()}
    of_levels = sum(count for name, count in ours.items() if name.startswith('levels.'))
    assert sum(ours.values()) - of_levels == counts['SuperViT-DeiT-S']


@pytest.mark.parametrize(
    ('size', 'published'),
    [
        (128, {0.5: 0.74, 0.7: 0.97, 1: 1.44}),
        pytest.param(160, {0.5: 1.16, 0.7: 1.51, 1: 2.27}, marks=pytest.mark.nightly),
        pytest.param(192, {0.5: 1.67, 0.7: 2.19, 1: 3.32}, marks=pytest.mark.nightly),
        (224, {0.5: 2.30, 0.7: 3.01, 1: 4.60}),
    ],
)
@torch.no_grad()
def test_published_multiply_adds(size, published):
    with torch.device('meta'):  # counts without computing
        backbone, image = SuperViT().eval().requires_grad_(False), torch.empty(1, 3, 224, 224)
    for keep_rate, billions in published.items():
        with FlopCounterMode(display=False) as counter:
            backbone.class_token(image, size, keep_rate)
        assert counter.get_total_flops() / 2e9 == pytest.approx(billions, rel=0.01), keep_rate


# ---- dropping tokens ---------------------------------------------------------------------------------------


def test_pruning_keeps_the_best_patches_and_the_class_token():
    x = torch.randn(2, 11, 4)
    scores = torch.stack([torch.arange(10.0), -torch.arange(10.0)])
    tokens = Tokens(x, 0.5).prune(scores)
    # half of 11 tokens, rounded up, and the class token
    assert tokens.active.shape == (2, 7, 4)
    assert torch.equal(tokens.active[:, 0], x[:, 0])
    assert sorted(tokens.places[0].tolist()) == [4, 5, 6, 7, 8, 9]
    assert sorted(tokens.places[1].tolist()) == [0, 1, 2, 3, 4, 5]
    # the others wait in their places
    assert torch.equal(tokens.patches(), x[:, 1:])

    moved = tokens._replace(active=tokens.active + 1)
    again = moved.prune(torch.arange(6.0).expand(2, -1))
    assert again.active.shape == (2, 5, 4)  # half of 7
    for image in range(2):
        kept = tokens.places[image]
        expected = x[image, 1:].clone()
        expected[kept] += 1
        assert torch.equal(again.patches()[image], expected)
        assert set(again.places[image].tolist()) == set(kept[2:].tolist())


@torch.no_grad()
def test_patches_are_kept_by_the_class_tokens_attention(backbone):
    block = backbone.stages[1][0]
    x = torch.randn(2, 10, 32)
    q, k, _ = block.attn.split(block.norm1(x))
    scores = (q @ k.transpose(2, 3) / 4).softmax(-1).mean(1)[:, 0, 1:]  # of the whole attention matrix
    after = block(Tokens(x, 0.5))
    best = scores.topk(5).indices
    assert after.places.sort().values.tolist() == best.sort().values.tolist()


@pytest.mark.parametrize('count', [2, 3, 4])
def test_a_few_tokens_are_enough(count):
    tokens = Tokens(torch.randn(1, count, 4), 0.9).prune(torch.randn(1, count - 1))
    assert tokens.active.shape == (1, count, 4)


@torch.no_grad()
def test_waiting_tokens_return_as_they_were_when_dropped(backbone):
    """Half the tokens leave in block 3; the later blocks, made to do nothing, leave all as they were."""
    for stage in backbone.stages[1:]:
        for block in stage:
            for part in (block.attn.proj, block.mlp.fc2):
                part.weight.zero_()
                part.bias.zero_()
    image = torch.randn(2, 3, 96, 96)
    whole = backbone(image)
    backbone.keep_rate = 0.5
    assert all(torch.equal(a, b) for a, b in zip(whole, backbone(image), strict=True))


# ---- the dials ---------------------------------------------------------------------------------------------


@torch.no_grad()
def test_the_dials_turn_between_two_calls_on_one_set_of_weights(backbone):
    image = torch.randn(2, 3, 90, 131)
    plain, plain_cost = measured(backbone, image)
    backbone.keep_rate = 0.5
    pruned, pruned_cost = measured(backbone, image)
    backbone.scale = 0.5
    small, small_cost = measured(backbone, image)
    assert small_cost < pruned_cost < plain_cost
    sizes = [(23, 33), (12, 17), (6, 9), (3, 5)]
    for maps in (plain, pruned, small):
        assert [x.shape[2:] for x in maps] == sizes
        assert all(x.isfinite().all() for x in maps)
    backbone.scale = backbone.keep_rate = 1
    assert all(torch.equal(a, b) for a, b in zip(plain, backbone(image), strict=True))


def measured(backbone: SuperViT, image: torch.Tensor) -> tuple[tuple[torch.Tensor, ...], int]:
    """The maps and what they cost."""
    backbone.requires_grad_(False)
    with FlopCounterMode(display=False) as counter:
        maps = backbone(image)
    return maps, counter.get_total_flops()


@torch.no_grad()
def test_training_draws_both_dials_and_evaluation_none(monkeypatch):
    backbone = SuperViT(ARCH, scales=(0.5, 1), keep_rates=(0.5, 0.7, 1))
    seen = []

    def encode(image, keep_rate, encode=backbone.encode):
        seen.append((image.shape[-1], keep_rate))
        return encode(image, keep_rate)

    monkeypatch.setattr(backbone, 'encode', encode)
    image = torch.randn(1, 3, 64, 64)
    random.seed(0)
    for _ in range(60):
        backbone(image)
    assert set(seen) == set(product((32, 64), (0.5, 0.7, 1)))

    seen.clear()
    backbone.eval()
    for _ in range(5):
        backbone(image)
    assert set(seen) == {(64, 1)}


def test_training_without_lists_keeps_the_dials_settings():
    backbone = SuperViT(ARCH, scale=0.75, keep_rate=0.7)
    assert (backbone.scales, backbone.keep_rates) == ([0.75], [0.7])


@pytest.mark.parametrize('bad', [dict(scale=0), dict(keep_rate=1.5), dict(scales=(1, -1))])
def test_a_dial_out_of_range_is_an_error(bad):
    with pytest.raises(ValueError, match='above 0 and at most 1'):
        SuperViT(ARCH, **bad)


def test_a_dial_turned_out_of_range_is_an_error(backbone):
    backbone.keep_rate = 0
    with pytest.raises(ValueError, match='above 0 and at most 1, got 0'):
        backbone(torch.randn(1, 3, 32, 32))


# ---- positions, gradients, weights -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('size', 'table'), [((3, 3), 0), ((3, 4), 0), ((2, 5), 0), ((4, 4), 1), ((13, 2), 1), ((5, 6), 2)]
)
def test_positions_come_from_the_table_of_the_nearest_number_of_patches(backbone, size, table):
    side = (3, 4, 6)[table]
    chosen = backbone.stem.positions[table]
    grid = chosen[:, 1:].unflatten(1, (side, side)).permute(0, 3, 1, 2)
    if size != (side, side):
        grid = F.interpolate(grid, size, mode='bicubic', align_corners=False)
    expected = torch.cat([chosen[:, :1], grid.flatten(2).transpose(1, 2)], dim=1)
    assert torch.equal(backbone.stem.position(size), expected)


@pytest.mark.parametrize('keep_rate', [0.5, 1])
def test_every_parameter_gets_a_gradient_also_a_table_not_in_use(keep_rate):
    backbone = SuperViT(ARCH, scale=0.75, keep_rate=keep_rate)
    sum(x.square().sum() for x in backbone(torch.randn(2, 3, 64, 64))).backward()
    assert [name for name, p in backbone.named_parameters() if p.grad is None] == []
    assert [bool(p.grad.any()) for p in backbone.stem.positions] == [True, False, False]


def test_only_the_levels_asked_for_are_built():
    assert [name for name, _ in SuperViT(ARCH, out_indices=(2, 3)).levels.named_parameters()] == []
    backbone = SuperViT(ARCH, out_indices=(1,))
    assert (backbone.channels, backbone.strides) == ([16], [8])
    (x,) = backbone(torch.randn(1, 3, 1, 20))
    assert x.shape == (1, 16, 1, 3)


def test_the_levels_keep_their_initialisation_and_all_else_is_loaded_or_nothing(reference):
    backbone = SuperViT(ARCH)
    before = {name: p.clone() for name, p in backbone.named_parameters()}
    incomplete = weights(reference)
    del incomplete['pos_embed_list.1']
    with pytest.raises(ValueError, match=r'missing \(1\): stem.positions.1'):
        load_released(backbone, incomplete)
    assert all(torch.equal(p, before[name]) for name, p in backbone.named_parameters())

    load_released(backbone, weights(reference))
    same = {name for name, p in backbone.named_parameters() if torch.equal(p, before[name])}
    assert same == {name for name in before if name.startswith('levels.')}


def test_released_position_tables_are_fitted_to_the_backbone(reference):
    theirs = weights(reference)
    backbone = SuperViT(ARCH | dict(image_sizes=(48, 80, 128)))
    load_released(backbone, theirs)
    tables = [backbone.stem.positions[i] for i in range(3)]
    assert torch.equal(tables[0], theirs['pos_embed_list.0'])
    assert [table.shape for table in tables] == [(1, 10, 32), (1, 26, 32), (1, 65, 32)]
    assert torch.equal(tables[1][:, 0], theirs['pos_embed_list.1'][:, 0])


def test_the_weights_of_a_plain_deit_load_into_a_backbone_of_one_size(reference):
    theirs = weights(reference)
    plain = {k: v for k, v in theirs.items() if 'pos_embed' not in k}
    plain['pos_embed'] = theirs['pos_embed_list.2']
    backbone = SuperViT(ARCH | dict(image_sizes=(96,)))
    load_released(backbone, plain)
    assert torch.equal(backbone.stem.positions[0], theirs['pos_embed_list.2'])


@pytest.mark.parametrize('frozen', [0, 2, 4])
def test_frozen_stages_are_the_blocks_before_a_pruning(reference, frozen):
    backbone = SuperViT(ARCH, frozen_stages=frozen).train()
    assert [len(stage) for stage in backbone.stages] == [3, 3, 3, 3]
    trained = {name.split('.')[1] for name, p in backbone.stages.named_parameters() if p.requires_grad}
    names = [name for name, p in backbone.named_parameters() if p.requires_grad]
    assert not any(name.startswith('stem.') for name in names)
    assert {int(name.split('.')[1]) for name in names if name.startswith('stages.')} == set(range(frozen, 4))
    assert trained or frozen == 4
