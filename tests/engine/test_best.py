"""The weights with the best score are kept by every config, unless it says otherwise."""

import pytest
from mmengine.config import Config

from vitdense.config.bundled import config_names
from vitdense.config.read import load_config
from vitdense.engine.best import keep_best

VAL = dict(val_dataloader=dict(batch_size=1))


@pytest.mark.parametrize(
    ('hooks', 'expected'),
    [
        ({}, dict(type='CheckpointHook', interval=1, save_best='auto', rule='greater')),
        (dict(default_hooks=None), dict(type='CheckpointHook', interval=1, save_best='auto', rule='greater')),
        (
            dict(default_hooks=dict(checkpoint=dict(type='CheckpointHook', interval=5))),
            dict(type='CheckpointHook', interval=5, save_best='auto', rule='greater'),
        ),
        (dict(default_hooks=dict(checkpoint=dict(save_best='mIoU'))), dict(save_best='mIoU')),
        (dict(default_hooks=dict(checkpoint=dict(save_best=None))), dict(save_best=None)),
        (dict(default_hooks=dict(checkpoint=None)), None),
    ],
)
def test_a_config_that_says_nothing_of_it_keeps_the_best(hooks, expected):
    cfg = Config(VAL | hooks)
    keep_best(cfg)
    assert cfg.default_hooks.checkpoint == expected


@pytest.mark.parametrize(
    ('metric', 'expected'),
    [
        (dict(type='IoUMetric'), 'mIoU'),
        ([dict(type='CityscapesMetric'), dict(type='IoUMetric', iou_metrics=['mDice', 'mIoU'])], 'mIoU'),
        (dict(type='IoUMetric', iou_metrics=['mDice']), 'auto'),
        (dict(type='IoUMetric', prefix='a'), 'a/mIoU'),
        (dict(type='CocoMetric'), 'auto'),
    ],
)
def test_a_segmentor_keeps_the_best_by_its_miou(metric, expected):
    cfg = Config(VAL | dict(val_evaluator=metric))
    keep_best(cfg)
    assert cfg.default_hooks.checkpoint.save_best == expected


def test_without_a_validation_there_is_no_best():
    cfg = Config(dict(default_hooks=dict(checkpoint=dict(interval=1))))
    keep_best(cfg)
    assert cfg.default_hooks.checkpoint == dict(interval=1)


@pytest.mark.parametrize('kind', ['retinanet', 'mask_rcnn', 'pspnet', 'deeplabv3'])
def test_the_configs_of_the_project_keep_it_themselves(kind):
    for name in config_names():
        if name.startswith(kind):
            hook = load_config(name).default_hooks.checkpoint
            own = 'auto' if 'rcnn' in kind or 'retina' in kind else 'mIoU'
            assert (hook.save_best, hook.rule) == (own, 'greater'), name
