"""The pyramid with one level finer than the backbone's."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.registry import MODELS
from small_backbones import SMALL

from vitdense.necks import ExtraLevelFPN

CHANNELS = [16, 24, 32]
MAPS = [torch.randn(2, c, *s) for c, s in zip(CHANNELS, [(13, 18), (7, 9), (4, 5)], strict=True)]


@torch.no_grad()
def test_the_extra_level_is_the_upsampled_finest_lateral():
    neck = ExtraLevelFPN(CHANNELS, 8)
    levels = neck(MAPS)
    assert [x.shape for x in levels] == [(2, 8, *s) for s in [(26, 36), (13, 18), (7, 9), (4, 5), (2, 3)]]

    lateral = [conv(x) for conv, x in zip(neck.lateral_convs, MAPS, strict=True)]
    lateral[1] = lateral[1] + F.interpolate(lateral[2], (7, 9))
    lateral[0] = lateral[0] + F.interpolate(lateral[1], (13, 18))
    torch.testing.assert_close(levels[0], neck.fpn_convs[0](neck.up(lateral[0])))


@torch.no_grad()
def test_the_other_levels_are_those_of_mmdetections_fpn():
    fpn = pytest.importorskip('mmdet.models.necks').FPN(CHANNELS, 8, num_outs=4)
    neck = ExtraLevelFPN(CHANNELS, 8)
    for i in range(3):
        neck.lateral_convs[i].load_state_dict(fpn.lateral_convs[i].conv.state_dict())
        neck.fpn_convs[i + 1].load_state_dict(fpn.fpn_convs[i].conv.state_dict())
    for ours, theirs in zip(neck(MAPS)[1:], fpn(MAPS), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_parameters_are_those_of_lightvits_neck():
    """LightViT-T's Mask R-CNN has 28.05 M, of which 17.54 M are RPN and heads and 7.77 M the backbone."""
    neck = ExtraLevelFPN([64, 128, 256])
    assert sum(p.numel() for p in neck.parameters()) == (
        (64 + 128 + 256 + 3) * 256 + (4 * 256 + 1) * 256 + 4 * (9 * 256 + 1) * 256
    )


def test_every_parameter_gets_a_gradient():
    neck = MODELS.build(dict(type='ExtraLevelFPN', in_channels=CHANNELS, out_channels=8))
    neck.init_weights()
    sum(x.square().sum() for x in neck(MAPS)).backward()
    assert [name for name, p in neck.named_parameters() if p.grad is None] == []


def test_errors_say_what_was_expected():
    with pytest.raises(ValueError, match='make at least 4'):
        ExtraLevelFPN(CHANNELS, num_outs=3)
    with pytest.raises(ValueError, match='expected 3 maps, got 2'):
        ExtraLevelFPN(CHANNELS)(MAPS[:2])


@pytest.mark.nightly  # by day, test_drop_in.py trains it under two backbones
def test_mask_rcnn_trains_on_a_backbone_of_three_stages():
    """With it Mask R-CNN reads a PiT: MMDetection's own detector, losses and gradients included."""
    mmdet = pytest.importorskip('mmdet')
    from mmdet.registry import MODELS as DETECTORS
    from mmdet.testing import demo_mm_inputs
    from mmdet.utils import register_all_modules

    register_all_modules()
    base = Path(mmdet.__file__).parent / '.mim/configs/_base_/models/mask-rcnn_r50_fpn.py'
    cfg = Config.fromfile(base).model
    pit = SMALL['PiT']
    cfg.backbone = dict(type='PiT', arch=pit.arch)
    cfg.neck = dict(type='ExtraLevelFPN', in_channels=pit.channels, out_channels=256, num_outs=5)
    detector = DETECTORS.build(cfg).train()
    data = detector.data_preprocessor(demo_mm_inputs(1, [[3, 96, 160]], with_mask=True), True)
    losses, _ = detector.parse_losses(detector(**data, mode='loss'))
    losses.backward()
    assert losses.isfinite()
    assert all(p.grad.isfinite().all() for p in detector.neck.parameters())
