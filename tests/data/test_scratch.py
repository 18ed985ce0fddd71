"""A training from scratch: what changes, and that a config's own rules stay."""

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.registry import init_default_scope

from vitdense.config.read import load_config
from vitdense.data.scratch import initialize_heads, rate_for, set_optimizer


def test_the_signal_keeps_its_size_through_a_head_without_norms():
    import mmdet.models  # noqa: F401

    init_default_scope('mmdet')
    sizes = []
    for prepare in (lambda cfg: None, initialize_heads):
        cfg = load_config('retinanet_transcnn')
        prepare(cfg)
        torch.manual_seed(0)
        head = MODELS.build(
            dict(cfg.model.bbox_head, train_cfg=cfg.model.train_cfg, test_cfg=cfg.model.test_cfg)
        )
        head.init_weights()
        x = torch.randn(1, 256, 16, 16)
        for conv in head.cls_convs:
            x = conv(x)
        sizes.append(x.std().item())
        assert torch.sigmoid(head.retina_cls.bias).mean().item() == pytest.approx(0.01, rel=1e-3)
        assert head.retina_cls.weight.std().item() == pytest.approx(0.01, rel=0.1)
    assert sizes[0] < 0.02  # a third in each of four convolutions
    assert 0.5 < sizes[1] < 2


def test_the_optimizer_keeps_the_configs_own_rules():
    cfg = load_config('retinanet_transcnn')
    rules = cfg.optim_wrapper.paramwise_cfg
    set_optimizer(cfg, rate_for(1))
    assert cfg.optim_wrapper.optimizer.lr == rate_for(4) / 2
    assert cfg.optim_wrapper.paramwise_cfg == rules


def test_a_detector_without_batch_norms_has_half_of_the_rate():
    rates = {}
    for name in (
        'retinanet_transcnn',
        'retinanet_hatnet',
        'mask_rcnn_pit',
        'pspnet_hatnet',
        'pspnet_transcnn',
    ):
        cfg = load_config(name)
        set_optimizer(cfg, 1e-3)
        rates[name] = cfg.optim_wrapper.optimizer.lr
    assert rates.pop('retinanet_hatnet') == rates.pop('mask_rcnn_pit') == 5e-4
    assert set(rates.values()) == {1e-3}
