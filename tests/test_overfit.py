"""Overfitting trains and scores the same eight images, always alike, and judges by the scores alone."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from mmengine.config import Config
from mmengine.registry import DATASETS, MODELS, init_default_scope
from small import CONFIGS

from vitdense import overfit
from vitdense.data.sample.use import use_sample_data
from vitdense.overfit import Fit, narrow, use_eight_of_sample


@pytest.mark.parametrize('name', ['retinanet_pit', 'mask_rcnn_vvt', 'pspnet_hatnet'])
def test_training_and_validation_read_the_same_eight_images_without_augmentation(name, tmp_path):
    cfg = Config.fromfile(CONFIGS / f'{name}.py')
    use_eight_of_sample(cfg, tmp_path)
    narrow(cfg)
    init_default_scope(cfg.default_scope)
    train, val = (DATASETS.build(cfg[f'{split}_dataloader'].dataset) for split in ('train', 'val'))
    assert len(train) == len(val) == 8
    paths = [[data[i]['data_samples'].img_path for i in range(8)] for data in (train, val)]
    assert paths[0] == paths[1]
    assert len(set(paths[0])) == 8
    for i in range(8):
        first, again = train[i]['inputs'], train[i]['inputs']
        assert first.equal(again)
        assert first.equal(val[i]['inputs'])
    if 'ann_file' in cfg.val_evaluator:
        assert cfg.val_evaluator.ann_file == cfg.val_dataloader.dataset.ann_file
        assert all(len(data[i]['data_samples'].gt_instances) for data in (train, val) for i in range(8))


@pytest.mark.parametrize(
    ('scores', 'fitted'),
    [
        (dict(bbox_mAP_50=0.9), True),
        (dict(bbox_mAP_50=0.899), False),
        (dict(bbox_mAP_50=0.95, segm_mAP_50=0.849), False),
        (dict(bbox_mAP_50=0.95, segm_mAP_50=0.85), True),
        (dict(mIoU=85.0), True),
        (dict(mIoU=84.99), False),
        (dict(mIoU=float('nan')), False),
        ({}, False),
    ],
)
def test_every_score_must_reach_its_goal(scores, fitted):
    assert Fit(scores, 400, 1.0).fitted is fitted


def test_no_dial_is_drawn_at_random():
    cfg = Config.fromfile(CONFIGS / 'pspnet_supervit.py')
    use_sample_data(cfg)
    assert len(MODELS.build(cfg.model.backbone).keep_rates) > 1
    narrow(cfg)
    backbone = MODELS.build(cfg.model.backbone)
    assert backbone.scales == backbone.keep_rates == [1]


@pytest.mark.parametrize('spawned', [False, pytest.param(True, marks=pytest.mark.nightly)])
def test_a_config_that_fails_is_named_and_does_not_end_the_others(call_tool, tmp_path, monkeypatch, spawned):
    if not spawned:
        monkeypatch.setattr(overfit, 'ProcessPoolExecutor', lambda count, **_: ThreadPoolExecutor(count))
    for name in ('first', 'second'):
        (tmp_path / f'{name}.py').write_text(f"raise RuntimeError('{name} is broken')\n")
    code, out, _ = call_tool('overfit', tmp_path / 'first.py', tmp_path / 'second.py')
    assert code == 1
    assert 'first is broken' in out
    assert 'second is broken' in out
    assert out.count(' NO ') == 2
