"""A training from scratch: what changes, and that a config's own rules stay."""

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS as SEGMENTORS

from vitdense.config.read import load_config
from vitdense.data.scratch import BETAS, HEAD_RATE, initialize_heads, set_rates

REGISTRIES = dict(mmdet=MODELS, mmseg=SEGMENTORS)


def test_the_signal_keeps_its_size_through_a_head_without_norms():
    import mmdet.models  # noqa: F401

    init_default_scope('mmdet')
    sizes = []
    for prepare in (lambda model: None, initialize_heads):
        cfg = load_config('retinanet_transcnn')
        prepare(cfg.model)
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


@pytest.mark.parametrize('name', ['retinanet_pit', 'mask_rcnn_pit', 'pspnet_pit'])
def test_rates_of_backbone_and_heads(name):
    import mmseg.models  # noqa: F401

    cfg = load_config(name)
    scope = 'mmseg' if name.startswith('pspnet') else 'mmdet'
    init_default_scope(scope)
    before = dict(cfg.optim_wrapper.get('paramwise_cfg') or {})
    set_rates(cfg, 4e-4)
    model = (
        MODELS.build(cfg.model)
        if scope == 'mmdet'
        else __import__('mmseg.registry').registry.MODELS.build(cfg.model)
    )
    optimizer = build_optim_wrapper(model, cfg.optim_wrapper).optimizer
    rates = {id(p): group['lr'] for group in optimizer.param_groups for p in group['params']}
    for part, parameter in model.named_parameters():
        head = part.split('.')[0] in ('bbox_head', 'rpn_head', 'roi_head')
        assert rates[id(parameter)] == pytest.approx(4e-4 * (HEAD_RATE if head else 1))
    assert tuple(optimizer.defaults['betas']) == BETAS
    after = cfg.optim_wrapper.paramwise_cfg if before else {}
    assert {key: after[key] for key in before if key != 'custom_keys'} == {
        key: value for key, value in before.items() if key != 'custom_keys'
    }
