"""What is tried on both sides, by name: `registry: class`, a comma, and what is special about the case."""

from copy import deepcopy
from typing import Any, NamedTuple

from mmengine.model import BaseModule
from mmengine.registry import MODELS
from shrunk_configs import SIDE, by_epoch, by_iteration, own, put_on_sample, shipped, traced
from small import HEADS
from torch import nn

from vitdense.config.tree import dicts


class Case(NamedTuple):
    config: Any
    """A function that makes it."""
    refused: str = ''
    """Words of the sentence that it is refused with."""
    test: bool = False
    """Whether the checkpoints are tested, too."""
    nightly: bool = True


def changed(change, base='retinanet'):
    """One of this project's configs with one thing changed."""

    def make():
        cfg = own(base)
        change(cfg)
        return cfg

    return make


def hook(base='retinanet', **settings):
    return changed(lambda cfg: cfg.custom_hooks.insert(0, settings), base)


def default_hook(name, **settings):
    return changed(lambda cfg: cfg.default_hooks[name].update(settings))


def without(name):
    return changed(lambda cfg: cfg.default_hooks.update({name: None}))


# ---- configs ----------------------------------------------------------------------------------------------


def library(name, library='mmdet', loop=by_epoch, change=None, **options):
    """A text config of a library, as it is but for sizes, data and length."""

    def make():
        cfg = put_on_sample(shipped(library, name), **options)
        _thin_resnet(cfg.model)
        if 'test_cfg' in cfg.model and 'score_thr' in cfg.model.test_cfg:
            cfg.model.test_cfg.score_thr = 0.0
        if 'rcnn' in (cfg.model.get('test_cfg') or {}):
            cfg.model.test_cfg.rcnn.update(score_thr=0.0, max_per_img=20)
            for proposals in (cfg.model.train_cfg.rpn_proposal, cfg.model.test_cfg.rpn):
                proposals.update(nms_pre=50, max_per_img=50)  # of 2,000, to save time
        if change:
            change(cfg)
        return traced(loop(cfg))

    return make


def _thin_resnet(model):
    """A ResNet of eighth the width."""
    for one in dicts(model):
        if str(one.get('type')) not in ('ResNet', 'ResNetV1c') or one.get('depth') != 50:
            continue
        one.update(base_channels=8, style='pytorch')
        one.pop('stem_channels', None)
    if 'ResNet' not in str(model.get('backbone', {}).get('type')):
        return
    if 'roi_head' in model:
        model.roi_head.bbox_head.fc_out_channels = 32
    if 'neck' in model:
        model.neck.update(in_channels=[32, 64, 128, 256])
    for name, width in (('decode_head', 256), ('auxiliary_head', 128)):
        if name in model:
            model[name].update(in_channels=width, channels=16, norm_cfg=dict(type='BN'))
            model.backbone.norm_cfg = dict(type='BN')


def _yolox(cfg):
    cfg.model.data_preprocessor.batch_augments[0].update(random_size_range=(32, 64), interval=2)
    for one in cfg.custom_hooks:
        if one.type == 'YOLOXModeSwitchHook':
            one.num_last_epochs = 0  # the last of two epochs


def _rtmdet(cfg):
    for one in cfg.custom_hooks:
        if one.type == 'PipelineSwitchHook':
            one.update(switch_epoch=1, switch_pipeline=[dict(type='SeedSample'), *one.switch_pipeline])
    cfg.model.backbone.norm_cfg = cfg.model.neck.norm_cfg = cfg.model.bbox_head.norm_cfg = dict(type='BN')


def _dynamic(cfg):
    cfg.model.train_cfg.rcnn.dynamic_rcnn.update_iter_interval = 2


def _segformer(cfg):
    cfg.model.backbone.update(embed_dims=8, num_heads=[1, 1, 2, 2])
    cfg.model.decode_head.update(in_channels=[8, 8, 16, 16], channels=16, norm_cfg=dict(type='BN'))


def _soft_teacher(cfg):
    for leaf in cfg.train_dataloader.dataset.datasets:
        leaf.filter_cfg = dict(filter_empty_gt=False)
    cfg.train_dataloader.sampler = dict(type='GroupMultiSourceSampler', batch_size=2, source_ratio=[1, 1])
    _thin_resnet(cfg.model.detector)


def _keeping_its_sampler(loop):
    def keeping(cfg):
        sampler, val = deepcopy(cfg.train_dataloader.sampler), cfg.val_cfg
        cfg = loop(cfg)
        cfg.train_dataloader.sampler, cfg.val_cfg = sampler, val
        return cfg

    return keeping


CONFIGS = {
    **{
        f'config: {head} on TransCNN': Case(
            changed(lambda cfg: None, head), test=True, nightly=head != 'retinanet'
        )
        for head in HEADS
    },
    'config: mmdet retinanet_r50': Case(library('retinanet/retinanet_r50_fpn_1x_coco.py'), test=True),
    'config: mmdet mask-rcnn_r50': Case(library('mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py')),
    'config: mmdet dynamic-rcnn_r50': Case(
        library('dynamic_rcnn/dynamic-rcnn_r50_fpn_1x_coco.py', change=_dynamic)
    ),
    'config: mmdet fcos_r50': Case(library('fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py'), test=True),
    'config: mmdet yolox_tiny': Case(library('yolox/yolox_tiny_8xb8-300e_coco.py', change=_yolox), test=True),
    'config: mmdet rtmdet_tiny': Case(
        library('rtmdet/rtmdet_tiny_8xb32-300e_coco.py', change=_rtmdet), test=True
    ),
    'config: mmdet soft-teacher': Case(
        library(
            'soft_teacher/soft-teacher_faster-rcnn_r50-caffe_fpn_180k_semi-0.1-coco.py',
            loop=_keeping_its_sampler(by_iteration),
            change=_soft_teacher,
        ),
        refused='has no backbone of its own',
    ),
    'config: mmseg pspnet_r50': Case(
        library('pspnet/pspnet_r50-d8_4xb4-80k_ade20k-512x512.py', 'mmseg', by_iteration), test=True
    ),
    'config: mmseg fcn_r50': Case(
        library('fcn/fcn_r50-d8_4xb2-40k_cityscapes-512x1024.py', 'mmseg', by_iteration)
    ),
    'config: mmseg segformer_mit-b0': Case(
        library('segformer/segformer_mit-b0_8xb2-160k_ade20k-512x512.py', 'mmseg', by_iteration, _segformer),
        test=True,
    ),
}

# ---- hooks ------------------------------------------------------------------------------------------------

LOAD = [dict(type='SeedSample'), dict(type='LoadImageFromFile'), dict(type='LoadAnnotations', with_bbox=True)]
PACK = [dict(type='Resize', scale=(SIDE, SIDE)), dict(type='PackDetInputs')]


def _stopped_early(cfg):
    by_epoch(cfg, 4)
    cfg.custom_hooks.insert(0, dict(type='EarlyStoppingHook', monitor='coco/bbox_mAP', patience=1))


def _drawn(cfg, name, visualizer):
    cfg.default_hooks.visualization = dict(type=name, draw=True, interval=1)
    cfg.val_dataloader.dataset.indices = 1
    cfg.visualizer.type = visualizer


def _tta(cfg):
    views = [[dict(type='Resize', scale=(SIDE, SIDE))], [dict(type='RandomFlip', prob=p) for p in (1.0, 0.0)]]
    keys = ('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor', 'flip', 'flip_direction')
    views += [[dict(type='PackDetInputs', meta_keys=keys)]]
    cfg.test_dataloader.dataset.pipeline = [*LOAD[:2], dict(type='TestTimeAug', transforms=views)]
    model = dict(type='DetTTAModel', tta_cfg=dict(nms=dict(type='nms', iou_threshold=0.6), max_per_img=50))
    cfg.custom_hooks.insert(0, dict(type='PrepareTTAHook', tta_cfg=model))


def _searched(cfg):
    search = dict(step=0, max_step=2, search_interval=1, exp_rate=0.5, init_alphas=0.01, mmin=1, mmax=4)
    search.update(num_branches=2, skip_layer=['stem', 'layer1', 'layer2', 'layer3'])
    cfg.custom_hooks = [dict(type='RFSearchHook', config=dict(search=search))]


def _switched_in_workers(cfg):
    switch = dict(type='PipelineSwitchHook', switch_epoch=1, switch_pipeline=[*LOAD, *PACK])
    cfg.custom_hooks.insert(0, switch)
    cfg.train_dataloader.update(num_workers=1, persistent_workers=True)


ALWAYS = 'in every config above'
HOOKS = {
    'hook: CheckpointHook, the best and one kept': Case(
        default_hook('checkpoint', save_best='coco/bbox_mAP', rule='greater', max_keep_ckpts=1)
    ),
    'hook: CheckpointHook, without optimizer and schedule': Case(
        default_hook('checkpoint', save_optimizer=False, save_param_scheduler=False)
    ),
    'hook: CheckpointHook, begun late': Case(default_hook('checkpoint', save_begin=2)),
    'hook: CheckpointHook, by iteration': Case(
        default_hook('checkpoint', by_epoch=False, interval=4, save_last=True)
    ),
    'hook: CheckpointHook, out_dir': Case(
        default_hook('checkpoint', out_dir='elsewhere'), refused='resume would not find'
    ),
    'hook: CheckpointHook, filename_tmpl': Case(
        default_hook('checkpoint', filename_tmpl='mine_{}.pth'), refused='resume would not find'
    ),
    'hook: CheckpointHook, removed': Case(without('checkpoint')),
    'hook: DistSamplerSeedHook, removed': Case(without('sampler_seed')),
    'hook: ParamSchedulerHook, removed': Case(without('param_scheduler')),
    'hook: LoggerHook, removed': Case(without('logger')),
    'hook: IterTimerHook, removed': Case(without('timer')),
    'hook: EMAHook': Case(hook(type='EMAHook', momentum=0.5), test=True),
    'hook: EMAHook, begun late, with buffers': Case(
        hook(type='EMAHook', begin_iter=2, update_buffers=True, momentum=0.5)
    ),
    'hook: EMAHook, momentum annealed': Case(hook(type='EMAHook', ema_type='MomentumAnnealingEMA')),
    'hook: EMAHook, stochastic weights': Case(hook(type='EMAHook', ema_type='StochasticWeightAverage')),
    "hook: EMAHook, MMDetection's": Case(hook(type='EMAHook', ema_type='ExpMomentumEMA', begin_epoch=1)),
    'hook: EarlyStoppingHook': Case(changed(_stopped_early)),
    'hook: EmptyCacheHook': Case(hook(type='EmptyCacheHook', before_epoch=True, after_iter=True)),
    'hook: ProfilerHook': Case(hook(type='ProfilerHook', by_epoch=False, profile_times=2)),
    'hook: PrepareTTAHook': Case(changed(_tta), test=True),
    'hook: RFSearchHook': Case(library('retinanet/retinanet_r50_fpn_1x_coco.py', change=_searched)),
    'hook: SyncBuffersHook': Case(hook(type='SyncBuffersHook')),
    'hook: mmdet.SyncNormHook': Case(hook(type='SyncNormHook')),
    'hook: mmdet.CheckInvalidLossHook': Case(hook(type='CheckInvalidLossHook', interval=1)),
    'hook: mmdet.NumClassCheckHook': Case(hook(type='NumClassCheckHook')),
    'hook: mmdet.PipelineSwitchHook': Case(
        hook(type='PipelineSwitchHook', switch_epoch=1, switch_pipeline=[*LOAD, *PACK]), nightly=False
    ),
    'hook: mmdet.PipelineSwitchHook, in persistent workers': Case(changed(_switched_in_workers)),
    'hook: mmdet.DetVisualizationHook': Case(
        changed(lambda cfg: _drawn(cfg, 'DetVisualizationHook', 'DetLocalVisualizer'))
    ),
    'hook: mmseg.SegVisualizationHook': Case(
        changed(lambda cfg: _drawn(cfg, 'SegVisualizationHook', 'SegLocalVisualizer'), 'pspnet')
    ),
    'hook: mmdet.MemoryProfilerHook': Case(
        hook(type='MemoryProfilerHook'), refused='memory_profiler is not installed'
    ),
}

# ---- data -------------------------------------------------------------------------------------------------


def wrapped(wrap, base='retinanet'):
    """The training's dataset inside others."""

    def change(cfg):
        cfg.train_dataloader.dataset = wrap(cfg.train_dataloader.dataset)

    return changed(change, base)


def concatenated(leaf, kind='ConcatDataset'):
    other = deepcopy(leaf)
    other.indices = 3
    return dict(type=kind, datasets=[leaf, other])


def _mosaic(leaf, pipeline, mix):
    leaf.pipeline = pipeline
    return dict(type='MultiImageMixDataset', dataset=leaf, pipeline=[dict(type='SeedSample'), *mix])


def _det_mosaic(leaf):
    return _mosaic(leaf, LOAD, [dict(type='Mosaic', img_scale=(SIDE, SIDE)), *PACK])


def _seg_mosaic(leaf):
    mix = [dict(type='RandomMosaic', prob=1.0, img_scale=(SIDE, SIDE)), dict(type='PackSegInputs')]
    resize = dict(type='Resize', scale=(SIDE // 2, SIDE // 2))
    wrapper = _mosaic(leaf, [*LOAD[:2], dict(type='LoadAnnotations'), resize], mix)
    return dict(wrapper, dataset=dict(type='ConcatDataset', datasets=[leaf]))


def sampled(sampler, several=False, loop=None, images=None, **loader):
    """The training's images in another order."""

    def change(cfg):
        if several:
            cfg.train_dataloader.dataset = concatenated(cfg.train_dataloader.dataset)
            for one in cfg.train_dataloader.dataset.datasets:
                one.indices = images or one.indices
        if loop:
            loop(cfg)
        for key, value in dict(loader, sampler=sampler).items():
            cfg.train_dataloader[key] = value

    return changed(change)


WIDE = [0, 2, 3, 4, 5, 6]  # of a sampler that draws which shape is next, with whatever random numbers
SHUFFLED = dict(type='DefaultSampler', shuffle=True)
BOTH = dict(batch_size=2, source_ratio=[1, 1])
DATA = {
    'dataset: RepeatDataset': Case(wrapped(lambda leaf: dict(type='RepeatDataset', times=2, dataset=leaf))),
    'dataset: ConcatDataset': Case(wrapped(lambda leaf: concatenated(leaf, 'mmengine.ConcatDataset'))),
    'dataset: mmdet.ConcatDataset': Case(wrapped(concatenated)),
    'dataset: ClassBalancedDataset': Case(
        wrapped(lambda leaf: dict(type='ClassBalancedDataset', oversample_thr=0.9, dataset=leaf))
    ),
    'dataset: RepeatDataset, of ConcatDataset': Case(
        wrapped(lambda leaf: dict(type='RepeatDataset', times=2, dataset=concatenated(leaf)))
    ),
    'dataset: mmdet.MultiImageMixDataset': Case(wrapped(_det_mosaic)),
    'dataset: mmseg.MultiImageMixDataset': Case(wrapped(_seg_mosaic, 'pspnet')),
    'sampler: DefaultSampler, not shuffled': Case(sampled(dict(type='DefaultSampler', shuffle=False))),
    'sampler: InfiniteSampler': Case(sampled(dict(type='InfiniteSampler'), loop=by_iteration)),
    'sampler: DefaultSampler, by iteration': Case(
        sampled(SHUFFLED, loop=lambda cfg: by_iteration(cfg, 8, 4))
    ),
    'sampler: MultiDataSampler': Case(sampled(dict(type='MultiDataSampler', dataset_ratio=[1, 2]), True)),
    'sampler: mmdet.ClassAwareSampler': Case(sampled(dict(type='ClassAwareSampler', num_sample_class=1))),
    'sampler: mmdet.CustomSampleSizeSampler': Case(
        sampled(dict(type='CustomSampleSizeSampler', dataset_size=[4, 2]), True)
    ),
    'sampler: mmdet.MultiSourceSampler': Case(
        sampled(dict(type='MultiSourceSampler', **BOTH), True, by_iteration)
    ),
    'sampler: mmdet.GroupMultiSourceSampler': Case(
        sampled(dict(type='GroupMultiSourceSampler', **BOTH), True, by_iteration, images=WIDE)
    ),
    'batch sampler: mmdet.AspectRatioBatchSampler': Case(
        sampled(SHUFFLED, batch_sampler=dict(type='AspectRatioBatchSampler', drop_last=True))
    ),
    'batch sampler: mmdet.MultiDataAspectRatioBatchSampler': Case(
        sampled(
            SHUFFLED,
            True,
            batch_sampler=dict(
                type='MultiDataAspectRatioBatchSampler', batch_size=[2, 1], num_datasets=2, drop_last=False
            ),
        )
    ),
    'loader: drop_last': Case(sampled(SHUFFLED, batch_size=4, batch_sampler=None, drop_last=True)),
    'loader: an epoch with a smaller last batch': Case(sampled(SHUFFLED, batch_size=4)),
    'loader: num_batch_per_epoch': Case(sampled(SHUFFLED, num_batch_per_epoch=2)),
    'loader: validation of two images at a time': Case(
        changed(lambda cfg: cfg.val_dataloader.update(batch_size=2))
    ),
}

# ---- schedules, optimizers and loops ----------------------------------------------------------------------

STEPS = dict(
    Constant=dict(factor=0.5, end=3),
    CosineAnnealing=dict(T_max=4, eta_min=0.01),
    CosineRestart=dict(periods=[2, 4], restart_weights=[1, 0.5], eta_min=0.01),
    Exponential=dict(gamma=0.9),
    Linear=dict(start_factor=0.1, end=4),
    MultiStep=dict(milestones=[2, 4], gamma=0.5),
    OneCycle=dict(eta_max=0.01, total_steps=6),
    Poly=dict(power=0.9, eta_min=0.001, end=6),
    ReduceOnPlateau=dict(monitor='coco/bbox_mAP', rule='greater', patience=0, by_epoch=True),
    Step=dict(step_size=2, gamma=0.5),
)
STEPS['mmdet.QuadraticWarmup'] = dict(begin=0, end=4)


def scheduled(kind, **settings):
    def change(cfg):
        cfg.optim_wrapper.optimizer = dict(type='SGD', lr=0.01, momentum=0.9, weight_decay=1e-4)
        own = dict(by_epoch=False) | settings
        if kind.endswith('ParamScheduler'):
            own['param_name'] = 'lr'
        cfg.param_scheduler = [dict(type=kind, **own)]

    return changed(change)


def optimized(**settings):
    return changed(lambda cfg: cfg.optim_wrapper.update(settings))


def looped(loop, **settings):
    def change(cfg):
        loop(cfg)
        cfg.train_cfg.update(settings)

    return changed(change)


@MODELS.register_module()
class SmallConvNeXt(BaseModule):
    """Parameters with the names of a ConvNeXt's, by which the libraries tell the layer."""

    def __init__(self):
        super().__init__()
        widths = [3, 8, 16, 24, 32]
        self.downsample_layers = nn.ModuleList(
            nn.Conv2d(a, b, k, k) for a, b, k in zip(widths, widths[1:], (4, 2, 2, 2), strict=False)
        )
        self.stages = nn.ModuleList(
            nn.ModuleList([nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width)])
            for width in widths[1:]
        )

    def forward(self, x):
        maps = []
        for smaller, (convolution, norm) in zip(self.downsample_layers, self.stages, strict=True):
            x = smaller(x)
            x = x + norm(convolution(x)).relu()
            maps.append(x)
        return tuple(maps)


def decayed(constructor, backbone=None, kind='layer_wise', base='retinanet', **settings):
    """The deeper a layer of the backbone, the higher its learning rate."""

    def change(cfg):
        decay = dict(num_layers=6, decay_rate=0.7, decay_type=kind, **settings)
        cfg.optim_wrapper.update(constructor=constructor, paramwise_cfg=decay)
        if backbone:
            cfg.model.backbone = dict(type=backbone)

    return changed(change, base)


BIASES = dict(bias_lr_mult=2.0, norm_decay_mult=0.0, custom_keys={'backbone.stem': dict(lr_mult=0.1)})
LEARNING = {
    **{
        f'schedule: {name}{end}': Case(scheduled(name + end, **settings))
        for name, settings in STEPS.items()
        for end in ('LR', 'Momentum', 'ParamScheduler')
        if (name, end) != ('OneCycle', 'Momentum')
    },
    'schedule: mmseg.PolyLRRatio': Case(scheduled('mmseg.PolyLRRatio', eta_min_ratio=0.1, end=6)),
    'schedule: CosineAnnealingLR, by epoch in iterations': Case(
        scheduled('CosineAnnealingLR', T_max=2, by_epoch=True, convert_to_iter_based=True)
    ),
    'optimizer wrapper: OptimWrapper, two batches accumulated': Case(optimized(accumulative_counts=2)),
    'optimizer wrapper: OptimWrapper, clipped by norm': Case(optimized(clip_grad=dict(max_norm=0.1))),
    'optimizer wrapper: OptimWrapper, clipped by value': Case(
        optimized(clip_grad=dict(type='value', clip_value=0.01), accumulative_counts=4)
    ),
    'optimizer wrapper: AmpOptimWrapper': Case(optimized(type='AmpOptimWrapper'), refused='gpu'),
    'optimizer wrapper: ApexOptimWrapper': Case(optimized(type='ApexOptimWrapper'), refused='apex'),
    'optimizer wrapper: ColossalAIOptimWrapper': Case(
        optimized(type='ColossalAIOptimWrapper'), refused='FlexibleRunner'
    ),
    'optimizer wrapper: DeepSpeedOptimWrapper': Case(
        optimized(type='DeepSpeedOptimWrapper'), refused='FlexibleRunner'
    ),
    'constructor: DefaultOptimWrapperConstructor': Case(optimized(paramwise_cfg=BIASES)),
    'constructor: mmseg.ForceDefaultOptimWrapperConstructor': Case(
        changed(
            lambda cfg: cfg.optim_wrapper.update(
                constructor='ForceDefaultOptimWrapperConstructor',
                paramwise_cfg=dict(BIASES, force_default_settings=True),
            ),
            'pspnet',
        )
    ),
    'constructor: mmdet.LearningRateDecayOptimizerConstructor': Case(
        decayed('LearningRateDecayOptimizerConstructor', 'SmallConvNeXt')
    ),
    'constructor: mmdet.LearningRateDecayOptimizerConstructor, by stage': Case(
        decayed('LearningRateDecayOptimizerConstructor', 'SmallConvNeXt', 'stage_wise')
    ),
    'constructor: mmdet.LearningRateDecayOptimizerConstructor, of TransCNN': Case(
        decayed('LearningRateDecayOptimizerConstructor'),
        refused='NotImplementedError in LearningRateDecayOptimizerConstructor',
    ),
    'constructor: mmseg.LearningRateDecayOptimizerConstructor': Case(
        decayed('LearningRateDecayOptimizerConstructor', 'SmallConvNeXt', base='pspnet')
    ),
    'constructor: mmseg.LayerDecayOptimizerConstructor': Case(
        decayed('LayerDecayOptimizerConstructor', 'SmallConvNeXt', base='pspnet', layer_decay_rate=0.7)
    ),
    'loop: EpochBasedTrainLoop, validated from the second on': Case(looped(by_epoch, val_begin=2)),
    'loop: EpochBasedTrainLoop, dynamic intervals': Case(
        looped(lambda cfg: by_epoch(cfg, 3), val_interval=5, dynamic_intervals=[(2, 1)])
    ),
    'loop: IterBasedTrainLoop, dynamic intervals': Case(
        looped(by_iteration, val_interval=3, dynamic_intervals=[(3, 1)])
    ),
    'loop: ValLoop, in half precision': Case(changed(lambda cfg: cfg.val_cfg.update(fp16=True), 'pspnet')),
    'loop: none for validation': Case(
        changed(lambda cfg: cfg.update(val_cfg=None, val_dataloader=None, val_evaluator=None))
    ),
    'key: auto_scale_lr': Case(
        changed(lambda cfg: cfg.update(auto_scale_lr=dict(enable=True, base_batch_size=16)))
    ),
    'key: activation_checkpointing': Case(
        changed(lambda cfg: cfg.update(activation_checkpointing=['backbone.stages.1.blocks.0']))
    ),
    'key: efficient_conv_bn_eval': Case(
        library(
            'retinanet/retinanet_r50_fpn_1x_coco.py',
            change=lambda cfg: cfg.update(efficient_conv_bn_eval=['backbone']),
        )
    ),
    'key: efficient_conv_bn_eval, of TransCNN': Case(
        changed(lambda cfg: cfg.update(efficient_conv_bn_eval=['backbone'])), refused='torch.fx can trace'
    ),
    'key: param_scheduler=None': Case(changed(lambda cfg: cfg.update(param_scheduler=None))),
}

CASES = CONFIGS | HOOKS | DATA | LEARNING

# ---- what is not tried ------------------------------------------------------------------------------------

NO_CHANGE = 'shows or measures a run, and changes nothing in it'
VIDEO = 'of tracking in videos, for which there is no config here'
UNTRIED = {
    'hook: RuntimeInfoHook': ALWAYS,
    'hook: NPUProfilerHook': 'needs an NPU',
    'hook: NaiveVisualizationHook': NO_CHANGE,
    'hook: mmdet.GroundingVisualizationHook': NO_CHANGE,
    'hook: mmdet.TrainAugmentDetVisualizationHook': NO_CHANGE,
    'hook: mmdet.TrackVisualizationHook': VIDEO,
    'hook: mmdet.SetEpochInfoHook': 'calls a method that no model of the installed libraries has',
    'hook: mmdet.YOLOXModeSwitchHook': 'in yolox_tiny',
    'hook: mmdet.MeanTeacherHook': 'of a model around two others, which is refused',
    'sampler: mmdet.TrackImgSampler': VIDEO,
    'sampler: mmdet.TrackAspectRatioBatchSampler': VIDEO,
    'optimizer wrapper: ScaledOptimWrapper': "vitdense's own, which --amp float16 builds",
    'loop: TestLoop': 'in every config that is tested',
    'loop: mmdet.TeacherStudentValLoop': 'of a model around two others, which is refused',
}


# ---- the table in docs/reliability.md ---------------------------------------------------------------------


def table():
    """Its lines: what is equal by kind, each refusal with its words, and each that is not tried."""
    equal, refused = {}, []
    for name, case in CASES.items():
        kind, _, what = name.partition(': ')
        if case.refused:
            refused.append(f'| {kind} | {what} | “… {case.refused} …” |')
        else:
            equal.setdefault(kind, []).append(what)
    yield '| | equal | |'
    yield '|---|---|---|'
    for kind, names in equal.items():
        yield f'| {kind} | {len(names)} | {"; ".join(names)} |'
    yield f'| all | {len(CASES) - len(refused)} | different: 0 |'
    yield ''
    yield '| | refused | with the words |'
    yield '|---|---|---|'
    yield from refused
    yield ''
    yield '| | not tried | because |'
    yield '|---|---|---|'
    for name, reason in UNTRIED.items():
        yield '| {} | {} | {} |'.format(*name.split(': '), reason)
