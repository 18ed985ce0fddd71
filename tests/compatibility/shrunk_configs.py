"""Configs of this project and of the libraries, made small and put on the built-in sample."""

from copy import deepcopy
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from mmengine.config import Config
from mmengine.runner import Runner
from small import ARCH, CONFIGS

from vitdense.config.lint import arguments
from vitdense.config.read import leaves
from vitdense.config.settings import LOADERS, RUNNER_KEYS
from vitdense.config.tree import dicts
from vitdense.data.sample import CLASSES, SEG_CLASSES, SEG_PALETTE, THING_PALETTE, root

READ = arguments(Runner).names | RUNNER_KEYS | {'auto_scale_lr'}
SIDE = 64  # pixels of an image
SIZES = ('scale', 'img_scale', 'crop_size', 'size', 'pad_shape')
TAKEN_OVER = ('pipeline', 'filter_cfg', 'test_mode')  # by a dataset of the sample from the config's


def shipped(library, name):
    """A text config that came with a library."""
    return Config.fromfile(Path(find_spec(library).origin).parent / '.mim/configs' / name)


def put_on_sample(cfg, images=6, side=SIDE, batch=2):
    """The sample's first images in place of a config's data, as a copy that has names for its classes."""
    cfg = Config({key: value for key, value in deepcopy(cfg.to_dict()).items() if key in READ})
    segments = 'decode_head' in cfg.model
    for loader in LOADERS:
        train = loader == LOADERS[0]
        for leaf in leaves(cfg[loader]):
            kept = {key: leaf[key] for key in TAKEN_OVER if key in leaf}
            leaf.clear()
            leaf.update(kept, indices=images if train else 2, **_data(segments, train))
        cfg[loader].update(num_workers=0, persistent_workers=False)
        cfg[loader].pop('prefetch_factor', None)
    cfg.train_dataloader.batch_size = batch
    for part in dicts(cfg.model):
        if 'num_classes' in part:
            part.num_classes = len(SEG_CLASSES if segments else CLASSES)
        if str(part.get('init_cfg', {})).find('Pretrained') >= 0:
            part.init_cfg = None
        if 'checkpoint_file' in part:
            part.checkpoint_file = None
        if 'pretrained' in part:
            part.pretrained = None
    for node in dicts(
        [cfg[loader] for loader in LOADERS] + [cfg.model.get('data_preprocessor'), cfg.get('custom_hooks')]
    ):
        _resize(node, side)
    if 'size' in (cfg.model.get('data_preprocessor') or {}):
        cfg.model.data_preprocessor.size = (side, side)
    for name in ('val_evaluator', 'test_evaluator'):
        for metric in dicts(cfg[name]):
            if 'ann_file' in metric:
                metric.ann_file = f'{root()}/coco/annotations/instances_val2017.json'
    cfg.default_hooks.logger.interval = 1
    return cfg


def _data(segments, train):
    if segments:
        split = 'training' if train else 'validation'
        return dict(
            type='mmseg.BaseSegDataset',
            data_root=f'{root()}/ade/ADEChallengeData2016/',
            data_prefix=dict(img_path=f'images/{split}', seg_map_path=f'annotations/{split}'),
            metainfo=dict(classes=SEG_CLASSES, palette=list(SEG_PALETTE)),
            img_suffix='.png',
            reduce_zero_label=True,
        )
    split = 'train2017' if train else 'val2017'
    return dict(
        type='mmdet.CocoDataset',
        data_root=f'{root()}/coco/',
        ann_file=f'annotations/instances_{split}.json',
        data_prefix=dict(img=f'{split}/'),
        metainfo=dict(classes=CLASSES, palette=list(THING_PALETTE)),
    )


def _resize(node, side):
    for key in SIZES:
        if isinstance(node.get(key), (list, tuple)):
            several = isinstance(node[key][0], (list, tuple))
            node[key] = [(side, side)] * len(node[key]) if several else (side, side)
    if 'scales' in node:
        node.scales = [(side, side)]
    if 'border' in node:
        node.border = (-side // 2, -side // 2)


def by_epoch(cfg, epochs=2):
    """Two epochs, each validated and saved."""
    cfg.train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=epochs, val_interval=1)
    cfg.param_scheduler = [dict(type='MultiStepLR', by_epoch=True, milestones=[1], gamma=0.1)]
    cfg.default_hooks.checkpoint.update(by_epoch=True, interval=1)
    cfg.default_hooks.logger.update(log_metric_by_epoch=True)
    cfg.log_processor.by_epoch = True
    cfg.train_dataloader.sampler = dict(type='DefaultSampler', shuffle=True)
    return cfg


def by_iteration(cfg, iterations=4, every=2):
    """Four iterations, validated and saved after two."""
    cfg.train_cfg = dict(type='IterBasedTrainLoop', max_iters=iterations, val_interval=every)
    cfg.param_scheduler = [dict(type='PolyLR', by_epoch=False, power=0.9, begin=0, end=iterations)]
    cfg.default_hooks.checkpoint.update(by_epoch=False, interval=every)
    cfg.default_hooks.logger.update(log_metric_by_epoch=False)
    cfg.log_processor.by_epoch = False
    cfg.train_dataloader.sampler = dict(type='InfiniteSampler', shuffle=True)
    return cfg


def traced(cfg):
    """Both sides draw the same, and are recorded."""
    for loader in LOADERS:
        for node in dicts(cfg[loader].dataset):
            if 'pipeline' in node:
                node.pipeline = [dict(type='SeedSample'), *node.pipeline]
    cfg.custom_hooks = [*(cfg.get('custom_hooks') or ()), dict(type='SeedIteration'), dict(type='Trace')]
    cfg.custom_imports = dict(imports=['vitdense'])
    cfg.randomness = dict(seed=3)
    return cfg


@cache
def _own(name):
    return Config.fromfile(CONFIGS / f'{name}.py')


def own(head):
    """One of this project's configs, on the smallest TransCNN."""
    cfg = put_on_sample(_own(f'{head}_transcnn'))
    model = cfg.model
    model.backbone.arch = ARCH
    if 'neck' in model:
        model.neck.update(in_channels=ARCH['dims'], out_channels=16)
        for part in dicts([model.get(name) for name in ('bbox_head', 'rpn_head', 'roi_head')]):
            for key, width in dict(
                in_channels=16,
                feat_channels=16,
                conv_out_channels=16,
                out_channels=16,
                fc_out_channels=32,
                stacked_convs=1,
            ).items():
                if key in part:
                    part[key] = width
    if head == 'mask_rcnn':
        model.test_cfg.rcnn.score_thr = 0.0
    elif head == 'retinanet':
        model.test_cfg.score_thr = 0.0
    if 'decode_head' not in model:
        return traced(by_epoch(cfg))
    maps = [16] * model.neck.num_outs if 'neck' in model else ARCH['dims']
    for name in model.keys() & {'decode_head', 'auxiliary_head'}:
        index = model[name].in_index
        several = isinstance(index, (list, tuple))
        channels = [maps[i] for i in index] if several else maps[index]
        model[name].update(in_channels=channels, channels=16)
    return traced(by_iteration(cfg))
