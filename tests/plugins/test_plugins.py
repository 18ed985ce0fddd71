"""Attention as parts of other networks: nothing changes at first, and then all of a part learns."""

import subprocess
import sys
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small import REPOSITORY
from torch import nn

from vitdense.complexity import Cost, cost, model_cost
from vitdense.config.lint import check_arguments
from vitdense.config.read import load_config
from vitdense.layers import hierarchical, vicinity
from vitdense.plugins import HierarchicalAttention, VicinityAttention

PARTS = {
    'hierarchical': partial(HierarchicalAttention, head_dim=8),
    'vicinity': partial(VicinityAttention, head_dim=4),
}
each_part = pytest.mark.parametrize('make', PARTS.values(), ids=PARTS)
SIDES = st.integers(1, 20)


def awake(part):
    """With a scale and weights as a training may leave them."""
    torch.manual_seed(0)
    for parameter in part.parameters():
        nn.init.normal_(parameter, std=0.3)
    return part


@each_part
@settings(max_examples=20, deadline=None)
@given(batch=st.integers(1, 2), height=SIDES, width=SIDES)
def test_a_part_is_the_identity_at_first_on_any_map(make, batch, height, width):
    x = torch.randn(batch, 16, height, width)
    assert make(16)(x).equal(x)


@each_part
@settings(max_examples=20, deadline=None)
@given(height=SIDES, width=SIDES)
@torch.no_grad()
def test_later_it_is_the_layer_of_its_paper_beside_the_identity(make, height, width):
    part, x = awake(make(16)), torch.randn(2, 16, height, width)
    if isinstance(part, HierarchicalAttention):
        layer = hierarchical.HierarchicalAttention(16, 8, 8, 4, partial(nn.GroupNorm, 1))
        layer.load_state_dict(part.attn.state_dict())
        seen = layer(x)
    else:
        layer = vicinity.VicinityAttention(16, 2, 2, 1)
        layer.load_state_dict(part.attn.state_dict())
        seen = layer(part.norm(x.permute(0, 2, 3, 1))).permute(0, 3, 1, 2)
    assert part(x).equal(x + part.scale * seen)


@each_part
def test_the_scale_learns_first_and_then_all_of_the_part(make):
    torch.manual_seed(0)
    part, x, wanted = make(16), *torch.randn(2, 2, 16, 11, 13)
    optimizer = torch.optim.SGD(part.parameters(), lr=0.1)
    moved = []
    for _ in range(2):
        optimizer.zero_grad()
        (part(x) - wanted).square().sum().backward()
        assert all(p.grad is not None for p in part.parameters())
        moved.append({name for name, p in part.named_parameters() if p.grad.any()})
        optimizer.step()
    assert moved[0] == {'scale'}
    assert moved[1] == {name for name, _ in part.named_parameters()}


@each_part
def test_an_image_alone_is_as_in_a_batch_and_a_part_keeps_the_dtype(make):
    part, x = awake(make(16)).eval(), torch.randn(3, 16, 9, 10)
    torch.testing.assert_close(part(x)[1:2], part(x[1:2]))
    with torch.autocast('cpu', torch.bfloat16):
        assert part(x.bfloat16()).dtype is torch.bfloat16
        assert part(x).dtype is torch.float32


@pytest.mark.parametrize(
    ('kind', 'words'),
    [
        (HierarchicalAttention, dict(in_channels=96)),
        (HierarchicalAttention, dict(in_channels=64, head_dim=0)),
        (VicinityAttention, dict(in_channels=96)),
    ],
)
def test_channels_that_make_no_whole_heads_are_refused(kind, words):
    with pytest.raises(ValueError, match='head_dim='):
        kind(**words)


@pytest.mark.parametrize('name', ['feature_reduction', 'gate_reduction'])
@pytest.mark.parametrize('divisor', [0, 5, 128])
def test_reductions_that_divide_no_channels_are_refused(name, divisor):
    with pytest.raises(ValueError, match=f'{name}={divisor}: expected a divisor of the 64 channels'):
        VicinityAttention(64, **{name: divisor})


@pytest.mark.parametrize(('height', 'width'), [(32, 24), (33, 23)])
def test_costs_are_those_of_the_layers(height, width):
    """Counted: linear layers and products; H-MHSA pads to grids of 8 and pools windows of 4."""
    channels, pixels = 64, height * width
    padded = (-(-height // 8) * 8) * (-(-width // 8) * 8)
    windows = -(-height // 4) * -(-width // 4)
    with torch.device('meta'):
        part, x = HierarchicalAttention(channels).eval(), torch.empty(1, channels, height, width)
        counted = cost(part, x)[0]
    square = channels**2
    assert counted.layers == 3 * square * padded + 2 * square * pixels + 2 * square * windows
    assert counted.attention == 2 * channels * (64 * padded + pixels * windows)
    # norms 3 · 2C, qkv, q, kv and proj with their biases, and the scale
    assert counted.parameters == 6 * channels + 7 * square + 7 * channels + channels

    with torch.device('meta'):
        counted = cost(VicinityAttention(channels).eval(), x)[0]
    reduced = channels // 2
    assert counted.layers == 4 * channels * reduced * pixels + 2 * square
    # a norm, four layers with biases, a gate without, and the scale
    assert counted.parameters == 4 * channels + 4 * channels * reduced + 3 * reduced + 2 * square


# ---- in the networks of the libraries ----------------------------------------------------------------------


def build(library, **backbone):
    registry = pytest.importorskip(f'{library}.registry')
    from mmengine.registry import DefaultScope

    with DefaultScope.overwrite_default_scope(library):
        network = registry.MODELS.build(backbone)
        network.init_weights()
    network.eval()  # which does not return it
    return network


PLUGINS = {
    'HierarchicalAttention': dict(type='HierarchicalAttention'),
    'VicinityAttention': dict(type='VicinityAttention'),
}
each_plugin = pytest.mark.parametrize('name', PLUGINS)
LATER = (False, True, True, True)


@each_plugin
@pytest.mark.parametrize('library', ['mmdet', 'mmseg'])
def test_a_resnet_with_plugins_computes_at_first_what_it_did_before(library, name):
    """Also after the initialization of a ResNet, which is one of everything that is inside it."""
    plugin = dict(cfg=PLUGINS[name], stages=LATER, position='after_conv2')
    plugged = build(library, type='ResNet', depth=50, plugins=[plugin])
    plain = build(library, type='ResNet', depth=50)
    left, unknown = plain.load_state_dict(plugged.state_dict(), strict=False)
    assert left == []
    assert {key.split('.')[2] for key in unknown} == {name.replace('Attention', '_attention').lower()}
    assert {key.split('.')[0] for key in unknown} == {'layer2', 'layer3', 'layer4'}
    image = torch.randn(1, 3, 65, 97)
    with torch.no_grad():
        for ours, theirs in zip(plugged(image), plain(image), strict=True):
            assert ours.equal(theirs)


@each_plugin
@pytest.mark.parametrize(
    ('library', 'network'), [('mmdet', dict(network='ResNet')), ('mmseg', dict(network='ResNetV1c'))]
)
def test_a_part_behind_a_stage_of_basic_blocks_feeds_the_next_stage(library, network, name):
    words = dict(network, depth=18)
    plugged = build(library, type='PluggedBackbone', plugins=[dict(cfg=PLUGINS[name], stages=LATER)], **words)
    plain = build(library, type=words.pop('network'), **words)
    assert type(plugged) is type(plain)
    left, unknown = plain.load_state_dict(plugged.state_dict(), strict=False)
    assert left == []
    assert {key[:8] for key in unknown} == {'layer2.2', 'layer3.2', 'layer4.2'}
    image = torch.randn(2, 3, 65, 97)
    with torch.no_grad():
        before = plain(image)
        for ours, theirs in zip(plugged(image), before, strict=True):
            assert ours.equal(theirs)
        nn.init.ones_(plugged.layer2[2].scale)
        after = plugged(image)
    changed = [not ours.equal(theirs) for ours, theirs in zip(after, before, strict=True)]
    assert changed == [False, True, True, True]


@pytest.mark.parametrize('network', ['ResNeXt', 'RegNet', 'Res2Net', 'ResNeSt', 'ResNetV1d'])
def test_every_network_that_is_named_takes_parts(network):
    words = dict(arch='regnetx_3.2gf') if network == 'RegNet' else dict(depth=50)
    part = dict(type='VicinityAttention', head_dim=8)
    plugged = build(
        'mmdet', type='PluggedBackbone', network=network, plugins=[dict(cfg=part, stages=LATER)], **words
    )
    with torch.no_grad():
        maps = plugged(torch.randn(1, 3, 64, 64))
    assert [len(stage[-1].scale) for stage in (plugged.layer2, plugged.layer3, plugged.layer4)] == [
        map.shape[1] for map in maps[1:]
    ]


def test_a_plugin_of_mmcv_can_stand_behind_a_stage_too():
    parts = [
        dict(cfg=dict(type='ContextBlock', ratio=1 / 16), stages=(False, False, True, True)),
        dict(cfg=dict(type='HierarchicalAttention', pool_ratio=1), stages=(False, False, False, True)),
    ]
    plugged = build('mmdet', type='PluggedBackbone', network='ResNet', depth=18, plugins=parts)
    names = [type(part).__name__ for part in list(plugged.layer4)[2:]]
    assert names == ['ContextBlock', 'HierarchicalAttention']
    assert [len(plugged.layer2), len(plugged.layer3)] == [2, 3]
    with torch.no_grad():
        assert plugged(torch.randn(1, 3, 64, 96))[-1].shape == (1, 512, 2, 3)


def test_a_part_in_a_frozen_stage_is_frozen():
    plugin = dict(cfg=dict(type='VicinityAttention'))
    plugged = build(
        'mmdet', type='PluggedBackbone', network='ResNet', depth=18, frozen_stages=1, plugins=[plugin]
    )
    learns = [{p.requires_grad for p in getattr(plugged, f'layer{i}')[2].parameters()} for i in (1, 2, 3, 4)]
    assert learns == [{False}, {True}, {True}, {True}]


@pytest.mark.parametrize(
    ('words', 'about'),
    [
        (dict(network='VGG', plugins=[]), 'VGG'),
        (dict(network='ResNet', plugins=[dict(cfg={}, position='after_conv3')]), 'position'),
        (dict(network='ResNet', plugins=[dict(stages=LATER)]), 'cfg'),
        (dict(network='ResNet', plugins=[dict(cfg={}, stages=(True,))]), '4 stages'),
    ],
)
def test_what_cannot_be_plugged_is_refused(words, about):
    with pytest.raises(ValueError, match=about):
        build('mmdet', type='PluggedBackbone', depth=18, **words)


# ---- in a stock text config --------------------------------------------------------------------------------

TEXT = """
_base_ = 'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py'
custom_imports = dict(imports=['vitdense'])
model = dict(
    backbone=dict(
        init_cfg=None,
        plugins=[dict(cfg=dict(type={name!r}), stages=(False, True, True, True), position='after_conv3')],
    )
)
"""
SHORT = [
    *('train_cfg.max_iters=2', 'train_cfg.val_interval=2', 'train_dataloader.batch_size=1'),
    *('val_dataloader.dataset.indices=2', 'default_hooks.logger.interval=1'),
    'default_hooks.checkpoint.interval=2',
]


NARROW = [  # a quarter as wide, with a small head: for the time
    *('model.backbone.base_channels=16', 'model.neck.in_channels=[64,128,256,512]'),
    *('model.neck.out_channels=16', 'model.bbox_head.in_channels=16', 'model.bbox_head.feat_channels=16'),
    'model.bbox_head.stacked_convs=1',
]


@pytest.mark.parametrize('options', [NARROW, pytest.param([], marks=pytest.mark.nightly)], ids=['narrow', ''])
@each_plugin
def test_a_stock_retinanet_with_a_plugin_trains(name, options, call_tool, no_pictures, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'own.py').write_text(TEXT.format(name=name))
    words = ['own.py', '--sample', '--work-dir', 'run', '--cfg-options', *SHORT, *options]
    code, _, err = call_tool('train', *words)
    assert code == 0, err
    saved = torch.load(tmp_path / 'run/iter_2.pth', weights_only=False)['state_dict']
    scales = {name: value for name, value in saved.items() if name.endswith('_attention.scale')}
    assert len(scales) == 4 + 6 + 3  # blocks of the three stages
    assert all(value.any() for value in scales.values())  # they have learned


EXAMPLES = sorted((REPOSITORY / 'examples/plugins').glob('*.py'))


@pytest.mark.parametrize('example', EXAMPLES, ids=lambda path: path.stem)
def test_an_example_costs_what_the_documentation_says(example):
    cfg = load_config(str(example))
    check_arguments(cfg)
    whole = sum(model_cost(cfg).values(), Cost())
    row = f'{whole.parameters / 1e6:.2f} M | {whole.multiply_adds / 1e9:.1f} G'
    assert row in (REPOSITORY / 'docs/plugins.md').read_text()


ALONE = """
import sys
import mmdet.registry
from mmcv.cnn import build_plugin_layer
import vitdense
assert 'vitdense.plugins' not in sys.modules
first = build_plugin_layer(dict(type='HierarchicalAttention'), in_channels=64, postfix=1)
again = build_plugin_layer(dict(type='HierarchicalAttention'), in_channels=64, postfix=1)
print(first[0], again[0], type(first[1]) is type(again[1]) is vitdense.plugins.HierarchicalAttention)
"""


def test_a_plugin_has_one_name_before_and_after_its_class_is_imported():
    done = subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', ALONE], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    name = 'hierarchical_attention1'
    assert done.stdout.splitlines()[-1] == f'{name} {name} True'
