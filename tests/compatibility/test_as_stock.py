"""A config does with `vitdense train` and `test` what it does with MMEngine's own runner, bit for bit.

Images and their sizes, learning rates and all else of the optimizer at each step, losses, predictions,
scores, weights, checkpoints; then a checkpoint of each side is tested by the other. Or it is refused.
The table in `docs/reliability.md` has the same rows.
"""

import re

import pytest
from shrunk_configs import by_epoch, by_iteration, own, put_on_sample, shipped, traced
from small import REPOSITORY
from stock_and_ours import compare


def text(library, name, loop):
    """A text config of a library, small and on the sample; every box counts, so that there is a score."""

    def build():
        cfg = traced(loop(put_on_sample(shipped(library, name))))
        if 'score_thr' in (cfg.model.get('test_cfg') or {}):
            cfg.model.test_cfg.score_thr = 0.0
        return cfg

    return build


CONFIGS = {
    'RetinaNet on TransCNN': lambda: own('retinanet'),
    'Mask R-CNN on TransCNN': lambda: own('mask_rcnn'),
    'PSPNet on TransCNN': lambda: own('pspnet'),
    'DeepLabv3 on TransCNN': lambda: own('deeplabv3'),
    'MMDetection: retinanet_r18_fpn_1x_coco': text(
        'mmdet', 'retinanet/retinanet_r18_fpn_1x_coco.py', by_epoch
    ),
    'MMDetection: fcos_r50-caffe_fpn_gn-head_1x_coco': text(
        'mmdet', 'fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py', by_epoch
    ),
    'MMDetection: yolox_tiny_8xb8-300e_coco': text('mmdet', 'yolox/yolox_tiny_8xb8-300e_coco.py', by_epoch),
    'MMSegmentation: pspnet_r18-d8_4xb2-80k_cityscapes': text(
        'mmseg', 'pspnet/pspnet_r18-d8_4xb2-80k_cityscapes-512x1024.py', by_iteration
    ),
    'MMSegmentation: segformer_mit-b0_8xb2-160k_ade20k': text(
        'mmseg', 'segformer/segformer_mit-b0_8xb2-160k_ade20k-512x512.py', by_iteration
    ),
}
BY_DEFAULT = {'RetinaNet on TransCNN'}


def wrapped(cfg, **wrapper):
    cfg.train_dataloader.dataset = dict(wrapper, dataset=cfg.train_dataloader.dataset)


def concatenated(cfg, **wrapper):
    one = cfg.train_dataloader.dataset
    cfg.train_dataloader.dataset = dict(wrapper, datasets=[one, dict(one, indices=3)])


def hook(cfg, **added):
    cfg.custom_hooks.insert(0, added)


def cosine(cfg, **scheduler):
    cfg.param_scheduler = [dict(scheduler, by_epoch=False)]


def mixed(cfg):
    """MixUp, which takes a second image from the wrapper; it draws which with the image's seed."""
    flip = dict(type='RandomFlip', prob=0.5)
    pack = cfg.train_dataloader.dataset.pipeline.pop()
    cfg.train_dataloader.dataset.filter_cfg = None
    seed = dict(type='SeedSample')
    mix = dict(type='MixUp', img_scale=(64, 64))
    wrapped(cfg, type='MultiImageMixDataset', pipeline=[seed, mix, flip, pack])


WITH = {  # RetinaNet on TransCNN with one thing more
    'RepeatDataset': lambda cfg: wrapped(cfg, type='RepeatDataset', times=2),
    'ClassBalancedDataset': lambda cfg: wrapped(cfg, type='ClassBalancedDataset', oversample_thr=0.9),
    'MultiImageMixDataset with MixUp': mixed,
    "MMEngine's ConcatDataset": lambda cfg: concatenated(cfg, type='mmengine.ConcatDataset'),
    "MMDetection's ConcatDataset": lambda cfg: concatenated(cfg, type='ConcatDataset'),
    'EMAHook': lambda cfg: hook(cfg, type='EMAHook', momentum=0.2),
    "MMDetection's ExpMomentumEMA": lambda cfg: hook(
        cfg, type='EMAHook', ema_type='ExpMomentumEMA', momentum=0.2
    ),
    'EarlyStoppingHook': lambda cfg: hook(
        cfg, type='EarlyStoppingHook', monitor='coco/bbox_mAP', patience=1, min_delta=2.0, rule='greater'
    ),
    'PipelineSwitchHook': lambda cfg: hook(
        cfg,
        type='PipelineSwitchHook',
        switch_epoch=1,
        switch_pipeline=[one for one in cfg.train_dataloader.dataset.pipeline if one.type != 'RandomFlip'],
    ),
    'EmptyCacheHook and NumClassCheckHook': lambda cfg: [
        hook(cfg, type=kind) for kind in ('EmptyCacheHook', 'NumClassCheckHook')
    ],
    'DefaultSampler in place of AspectRatioBatchSampler': lambda cfg: cfg.train_dataloader.pop(
        'batch_sampler'
    ),
    'accumulated batches': lambda cfg: cfg.optim_wrapper.update(accumulative_counts=2),
    'clipped gradients': lambda cfg: cfg.optim_wrapper.update(clip_grad=dict(max_norm=0.1)),
    'learning rates by part': lambda cfg: cfg.optim_wrapper.update(
        paramwise_cfg=dict(
            custom_keys=dict(backbone=dict(lr_mult=0.1)), norm_decay_mult=0.0, bias_lr_mult=2.0
        )
    ),
    'auto_scale_lr': lambda cfg: cfg.update(auto_scale_lr=dict(enable=True, base_batch_size=16)),
    'CosineAnnealingLR': lambda cfg: cosine(cfg, type='CosineAnnealingLR', T_max=6),
    'OneCycleLR': lambda cfg: cosine(cfg, type='OneCycleLR', total_steps=6, eta_max=0.01),
    'LinearLR and ExponentialLR': lambda cfg: cfg.update(
        param_scheduler=[
            dict(type='LinearLR', start_factor=0.1, by_epoch=False, end=3),
            dict(type='ExponentialLR', gamma=0.5, by_epoch=True),
        ]
    ),
    'dynamic validation intervals': lambda cfg: cfg.train_cfg.update(
        dynamic_intervals=[(1, 1)], val_interval=2
    ),
    'val_begin': lambda cfg: cfg.train_cfg.update(val_begin=2),
    'activation_checkpointing': lambda cfg: cfg.update(activation_checkpointing=['neck']),
}
REFUSED = {  # and what the sentence names
    'AmpOptimWrapper without a GPU': (
        lambda cfg: cfg.optim_wrapper.update(type='AmpOptimWrapper'),
        'AmpOptimizerWrapper|AmpOptimWrapper',
    ),
    "MMDetection's layer decay": (
        lambda cfg: cfg.optim_wrapper.update(
            constructor='LearningRateDecayOptimizerConstructor',
            paramwise_cfg=dict(decay_rate=0.9, decay_type='layer_wise', num_layers=4),
        ),
        'cannot be built',
    ),
    'out_dir of CheckpointHook': (lambda cfg: cfg.default_hooks.checkpoint.update(out_dir='x'), 'out_dir'),
    'filename_tmpl of CheckpointHook': (
        lambda cfg: cfg.default_hooks.checkpoint.update(filename_tmpl='x_{}.pth'),
        'filename_tmpl',
    ),
}


@pytest.fixture
def compared(tmp_path, call_tool, monkeypatch, no_pictures):
    """What our side refused with, and what differs."""
    monkeypatch.setattr('time.sleep', lambda seconds: None)  # MMEngine's pause after an epoch
    monkeypatch.chdir(tmp_path)
    return lambda cfg, test=True: compare(cfg, tmp_path, call_tool, test)


@pytest.mark.parametrize(
    'name',
    [name if name in BY_DEFAULT else pytest.param(name, marks=pytest.mark.nightly) for name in CONFIGS],
)
def test_a_config_does_what_it_does_in_the_stock_runner(compared, name):
    assert compared(CONFIGS[name]()) == ('', [])


@pytest.mark.nightly
@pytest.mark.parametrize('name', WITH)
def test_an_option_does_what_it_does_in_the_stock_runner(compared, name):
    cfg = own('retinanet')
    WITH[name](cfg)
    assert compared(cfg, test='EMA' in name) == ('', [])


@pytest.mark.nightly
@pytest.mark.parametrize('name', REFUSED)
def test_what_is_refused_is_refused_in_a_sentence(call_tool, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    cfg = own('retinanet')
    change, named = REFUSED[name]
    change(cfg)
    cfg.dump('cfg.py')
    code, _, err = call_tool('train', 'cfg.py')
    assert (code, err.count('\n'), bool(re.search(named, err))) == (2, 1, True)


def test_the_table_of_the_docs_has_these_rows():
    page = (REPOSITORY / 'docs/reliability.md').read_text()
    table = page.partition("## As MMEngine's own runner")[2].partition('\n## ')[0]
    rows = re.findall(r'^\| (.+?) \| (equal|refused)', table, re.MULTILINE)
    assert dict(rows) == {
        **dict.fromkeys([*CONFIGS, *WITH], 'equal'),
        **dict.fromkeys(REFUSED, 'refused'),
    }
    assert len(rows) == len(CONFIGS) + len(WITH) + len(REFUSED)
