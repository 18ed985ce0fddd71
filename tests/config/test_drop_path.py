"""Stochastic depth is the published one of each variant, and none in a short training from random weights."""

import pytest
from mmengine.config import Config
from mmengine.registry import MODELS
from small import ARCH, CONFIGS
from small_backbones import SMALL

from vitdense.config.drop_path import follow_variant, keep_every_path
from vitdense.config.read import load_config
from vitdense.config.variant import set_arch
from vitdense.data.sample.use import use_sample_data
from vitdense.overfit import narrow, use_eight_of_sample

RATES = {
    'transcnn': dict(tiny=0.1, small=0.1, medium=0.3, large=0.3),
    'hatnet': dict(tiny=0.1, small=0.1, medium=0.3, large=0.3),
    'vvt': dict(tiny=0.1, small=0.3, medium=0.3, large=0.3),
    'supervit': dict(deit_s=0.1),
    'dualtoken_vit': dict(t=0.1, s=0.1),
    'pit': {f'{name}{kind}': 0.1 for name in ('ti', 'xs', 's', 'b') for kind in ('', '_distilled')},
}


def leaf(name):
    return load_config(str(CONFIGS / f'{name}.py'))


@pytest.mark.parametrize('backbone', RATES)
def test_every_variant_has_its_published_rate(backbone):
    cfg = leaf(f'retinanet_{backbone}')
    assert cfg.drop_path_rates == RATES[backbone]
    assert cfg.model.backbone.type.archs.keys() == RATES[backbone].keys()
    for arch, rate in RATES[backbone].items():
        set_arch(cfg, arch.upper())
        assert cfg.model.backbone.drop_path_rate == rate


def test_the_table_is_of_all_backbones():
    assert len(RATES) == len(SMALL)


def test_the_rate_of_a_fragment_reaches_the_last_block():
    cfg = leaf('retinanet_vvt')
    set_arch(cfg, 'small')
    network = MODELS.build(cfg.model.backbone)
    assert network.stages[-1].blocks[-1].drop_path.drop_prob == pytest.approx(0.3)
    assert network.stages[0].blocks[0].drop_path.drop_prob == 0


def test_a_dumped_config_follows_its_variant_too(tmp_path):
    leaf('pspnet_hatnet').dump(tmp_path / 'dumped.py')
    cfg = load_config(str(tmp_path / 'dumped.py'))
    set_arch(cfg, 'large')
    assert cfg.model.backbone.drop_path_rate == 0.3


@pytest.mark.parametrize('change', [set_arch, lambda cfg, _: keep_every_path(cfg), follow_variant])
def test_a_rate_of_ones_own_stays(change):
    cfg = leaf('retinanet_transcnn')
    cfg.model.backbone.drop_path_rate = 0.2
    change(cfg, 'large')
    assert cfg.model.backbone.drop_path_rate == 0.2


@pytest.mark.parametrize('words', [{}, dict(drop_path_rate=0.1)])
def test_a_config_without_a_table_stays_as_it_is(words):
    cfg = Config(dict(model=dict(backbone=dict(type='TransCNN', arch='tiny', **words))))
    set_arch(cfg, 'large')
    assert not keep_every_path(cfg)
    assert cfg.model.backbone == dict(type='TransCNN', arch='large', **words)


@pytest.mark.parametrize('name', ['retinanet_transcnn', 'pspnet_vvt', 'mask_rcnn_pit'])
def test_the_sample_is_trained_on_without_stochastic_depth(name):
    cfg = leaf(name)
    use_sample_data(cfg)
    assert cfg.model.backbone.drop_path_rate == 0


def test_also_an_architecture_of_ones_own_is():
    cfg = leaf('retinanet_transcnn')
    cfg.model.backbone.arch = ARCH
    use_sample_data(cfg)
    assert cfg.model.backbone.drop_path_rate == 0


def test_nothing_is_dropped_where_a_config_shall_overfit(tmp_path):
    cfg = leaf('retinanet_supervit')
    use_eight_of_sample(cfg, tmp_path)
    narrow(cfg)
    assert cfg.model.backbone.drop_path_rate == 0
