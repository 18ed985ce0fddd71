"""`--arch NAME` changes the backbone and every number that repeats its channels."""

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from small import CONFIGS

from vitdense.backbones import PiT, TransCNN
from vitdense.config.variant import set_arch
from vitdense.errors import UserError

LEAF = CONFIGS / 'retinanet_transcnn.py'


@pytest.fixture(params=['a Python-style config', 'its dumped text'])
def cfg(request, tmp_path):
    cfg = Config.fromfile(LEAF)
    if request.param == 'its dumped text':
        cfg.dump(tmp_path / 'dumped.py')
        cfg = Config.fromfile(tmp_path / 'dumped.py')
    return cfg


@pytest.mark.parametrize('name', TransCNN.archs)
def test_the_neck_follows_every_variant(name):
    cfg = Config.fromfile(LEAF)
    set_arch(cfg, name)
    init_default_scope(cfg.default_scope)
    with torch.device('meta'):
        model = MODELS.build(cfg.model)
        levels = model.extract_feat(torch.zeros(1, 3, 64, 64))
    assert cfg.model.backbone.arch == name
    assert model.backbone.channels == cfg.model.neck.in_channels == list(TransCNN.archs[name]['dims'])
    assert len(levels) == 5


def test_a_variant_is_named_in_any_case(cfg):
    set_arch(cfg, 'Medium')
    assert cfg.model.neck.in_channels == [64, 128, 320, 640]


def test_the_config_can_still_be_dumped_to_text_that_reloads(cfg, tmp_path):
    set_arch(cfg, 'large')
    cfg.dump(tmp_path / 'large.py')
    reloaded = Config.fromfile(tmp_path / 'large.py')
    assert reloaded.model.neck.in_channels == [64, 128, 384, 768]
    assert reloaded.model.backbone.arch == 'large'


def test_lists_of_channels_follow_wherever_they_are_and_other_lists_stay():
    heads = [dict(in_channels=[64, 128, 256, 512], strides=[4, 8, 16, 32]), dict(in_channels=[256, 512])]
    cfg = Config(dict(model=dict(backbone=dict(type=TransCNN, arch='tiny'), decode_head=heads)))
    set_arch(cfg, 'large')
    assert cfg.model.decode_head[0].in_channels == [64, 128, 384, 768]
    assert cfg.model.decode_head[0].strides == [4, 8, 16, 32]
    assert cfg.model.decode_head[1].in_channels == [256, 512]


def test_a_segmentation_head_takes_the_channels_of_the_maps_that_it_reads():
    heads = dict(
        decode_head=dict(in_index=[-3, -2, -1], in_channels=[128, 256, 512]),
        auxiliary_head=dict(in_index=2, in_channels=256),
    )
    cfg = Config(dict(model=dict(backbone=dict(type=TransCNN, arch='tiny'), **heads)))
    set_arch(cfg, 'large')
    assert cfg.model.decode_head.in_channels == [128, 384, 768]
    assert cfg.model.auxiliary_head.in_channels == 384


@pytest.mark.parametrize(
    ('name', 'arch'),
    [('semantic_fpn_vvt', 'large'), ('semantic_fpn_pit', 'b'), ('upernet_dualtoken_vit', 's')],
)
def test_a_segmentor_of_all_levels_takes_every_variant(name, arch):
    cfg = Config.fromfile(CONFIGS / f'{name}.py')
    set_arch(cfg, arch)
    init_default_scope(cfg.default_scope)
    with torch.device('meta'):
        model = MODELS.build(cfg.model).eval()
        levels = model.extract_feat(torch.zeros(1, 3, 112, 112))
        scores = model.decode_head(levels)
    assert scores.shape == (1, 150, *levels[0].shape[2:])
    if name.startswith('semantic_fpn'):  # behind the neck nothing changes
        assert cfg.model.neck.in_channels == model.backbone.channels
        assert cfg.model.decode_head.in_channels == [256] * 4
    else:
        assert cfg.model.decode_head.in_channels == model.backbone.channels


def test_anchors_and_regions_follow_the_strides():
    anchors = dict(prior_generator=dict(strides=[4, 8, 16, 32, 64]))
    cfg = Config(dict(model=dict(backbone=dict(type=PiT, arch='s'), head=dict(anchors, featmap_strides=[8]))))
    set_arch(cfg, 'b')
    assert cfg.model.head.prior_generator.strides == [3.5, 7, 14, 28, 56]
    assert cfg.model.head.featmap_strides == [7]


def test_an_unknown_variant_is_answered_with_the_known_ones(cfg):
    with pytest.raises(UserError, match=r"'huge'; .*tiny, small, medium, large$"):
        set_arch(cfg, 'huge')


@pytest.mark.parametrize('kind', [torch.nn.Identity, 'mmdet.ResNet', 'NoSuchBackbone'])
def test_another_librarys_backbone_has_no_variants(kind):
    cfg = Config(dict(model=dict(backbone=dict(type=kind))))
    name = kind.__name__ if isinstance(kind, type) else kind.split('.')[-1]
    with pytest.raises(UserError, match=f'--arch: {name} '):
        set_arch(cfg, 'small')
