"""`--sample` changes the data and the schedule of a config, and of its model only what is named here."""

from copy import deepcopy

import mmseg
import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.logging import MessageHub
from mmengine.registry import MODELS, DefaultScope
from mmengine.runner import Runner
from mmengine.utils import digit_version
from small import CONFIGS

from vitdense.data.dataset import build_dataset
from vitdense.data.sample import CLASSES, SEG_CLASSES, SIZE
from vitdense.data.sample.use import CROP, use_sample_data
from vitdense.errors import UserError


def test_a_dataset_inside_another_cannot_be_replaced():
    cfg = Config.fromfile(CONFIGS / 'retinanet_pit.py')
    cfg.train_dataloader.dataset = dict(type='RepeatDataset', dataset=cfg.train_dataloader.dataset, times=3)
    with pytest.raises(UserError, match=r'--sample: .*train_dataloader\.dataset is a RepeatDataset'):
        use_sample_data(cfg)
    cfg.train_dataloader = None
    with pytest.raises(UserError, match=r'--sample: .*train_dataloader\.dataset'):
        use_sample_data(cfg)


def flat(node, name=''):
    """Every leaf of a tree of dicts and lists by its place."""
    if isinstance(node, dict) or (isinstance(node, (list, tuple)) and any(isinstance(n, dict) for n in node)):
        for key, value in node.items() if isinstance(node, dict) else enumerate(node):
            yield from flat(value, f'{name}.{key}')
    else:
        yield name, node


def initialization(head, **outputs):
    """What is new in a dense head without norms, by its place."""
    small = dict(type='mmengine.model.NormalInit', std=0.01)
    override = [dict(small, name=name, **more) for name, more in outputs.items()]
    whole = dict(type='mmengine.model.KaimingInit', layer='Conv2d', mode='fan_in', override=override)
    return dict(flat(whole, f'{head}.init_cfg'))


@pytest.mark.parametrize(
    ('name', 'changed'),
    [
        (
            'retinanet_hatnet',
            {
                '.bbox_head.num_classes': len(CLASSES),
                **initialization('.bbox_head', retina_cls=dict(bias_prob=0.01), retina_reg={}),
            },
        ),
        (
            'mask_rcnn_pit',
            {
                '.roi_head.bbox_head.num_classes': len(CLASSES),
                '.roi_head.mask_head.num_classes': len(CLASSES),
                '.train_cfg.rcnn.sampler.num': 16,
                **initialization('.rpn_head', rpn_cls={}, rpn_reg={}),
            },
        ),
        (
            'deeplabv3_vvt',
            {
                '.data_preprocessor.size': (CROP, CROP),
                '.decode_head.num_classes': len(SEG_CLASSES),
                '.decode_head.loss_decode.class_weight': [0.2] * 4 + [1.0] * 5,
                '.auxiliary_head.num_classes': len(SEG_CLASSES),
                '.auxiliary_head.loss_decode.class_weight': [0.2] * 4 + [1.0] * 5,
            },
        ),
        (
            'semantic_fpn_pit',
            {
                '.data_preprocessor.size': (CROP, CROP),
                '.decode_head.num_classes': len(SEG_CLASSES),
                '.decode_head.loss_decode.class_weight': [0.2] * 4 + [1.0] * 5,
            },
        ),
    ],
)
def test_of_the_model_only_this_changes(name, changed):
    cfg = Config.fromfile(CONFIGS / f'{name}.py')
    before = dict(flat(deepcopy(cfg.model)))
    use_sample_data(cfg)
    after = dict(flat(cfg.model))
    if 'class_weight' in str(changed) and digit_version(mmseg.__version__) < digit_version('1.3'):
        loss = 'vitdense.data.class_weights.WeightedCrossEntropyLoss'
        changed = changed | {
            key.replace('class_weight', 'type'): loss for key in changed if key.endswith('class_weight')
        }
    changed = changed | {'.backbone.drop_path_rate': 0}  # the published rate is for long schedules
    assert {key: after[key] for key in after if after[key] != before.get(key)} == changed
    assert before.keys() <= after.keys()


def test_no_process_loads_the_small_images():
    cfg = Config.fromfile(CONFIGS / 'retinanet_pit.py')
    cfg.train_dataloader.update(prefetch_factor=4, multiprocessing_context='fork')
    use_sample_data(cfg)
    for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        assert cfg[name].num_workers == 0
    with DefaultScope.overwrite_default_scope('mmdet'):
        loader = Runner.build_dataloader(cfg.train_dataloader)
    assert len(next(iter(loader))['inputs']) == cfg.train_dataloader.batch_size


@pytest.mark.parametrize(('name', 'place'), [('retinanet_pit', 'bbox_head'), ('mask_rcnn_pit', 'rpn_head')])
@torch.no_grad()
def test_a_head_without_norms_keeps_the_size_of_the_signal(name, place):
    """And its outputs begin as the library's: near zero, the scores of RetinaNet at 0.01."""
    import mmdet.models  # noqa: F401 (registers them)

    cfg = Config.fromfile(CONFIGS / f'{name}.py')
    use_sample_data(cfg)
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmdet'):
        head = MODELS.build(dict(cfg.model[place], train_cfg=None, test_cfg=cfg.model.test_cfg))
    head.init_weights()
    x = torch.randn(1, 256, 32, 32)
    scores, boxes = (maps[0] for maps in head([x]))
    assert max(scores.std(), boxes.std()) < 0.5
    if place == 'bbox_head':
        assert scores.mean().sigmoid() == pytest.approx(0.01, rel=0.2)
        for layer in head.cls_convs:
            x = layer(x)
        assert x.square().mean() == pytest.approx(1, rel=0.5)
    cfg = Config.fromfile(CONFIGS / f'{name}.py')
    cfg.model[place].init_cfg = own = dict(type='Normal', layer='Conv2d')
    use_sample_data(cfg)
    assert cfg.model[place].init_cfg == own  # a config's own stays


def test_the_loss_for_an_older_mmsegmentation_is_that_of_the_newer():
    from vitdense.data.class_weights import CrossEntropyLoss, WeightedCrossEntropyLoss

    torch.manual_seed(0)
    scores, labels = torch.randn(2, 3, 4, 5), torch.randint(0, 3, (2, 4, 5))
    labels[0, 0] = 255
    weights = [0.2, 1.0, 1.0]
    expected = F.cross_entropy(scores, labels, torch.tensor(weights), ignore_index=255)
    ours = WeightedCrossEntropyLoss(class_weight=weights)(scores, labels, ignore_index=255)
    torch.testing.assert_close(ours, expected)
    if digit_version(mmseg.__version__) >= digit_version('1.3'):
        theirs = CrossEntropyLoss(class_weight=weights)(scores, labels, ignore_index=255)
        assert torch.equal(ours, theirs)


def test_a_segmentor_with_other_losses_and_without_a_second_head_is_taken_too():
    cfg = Config.fromfile(CONFIGS / 'pspnet_transcnn.py')
    del cfg.model['auxiliary_head']
    sigmoid = dict(type='CrossEntropyLoss', use_sigmoid=True, loss_weight=1.0)
    dice = dict(type='DiceLoss', loss_weight=3.0)
    cfg.model.decode_head.loss_decode = [sigmoid, dice, dict(type='mmseg.CrossEntropyLoss')]
    use_sample_data(cfg)
    first, second, third = cfg.model.decode_head.loss_decode
    assert (first, second) == (sigmoid, dice)
    assert len(third['class_weight']) == len(SEG_CLASSES)
    assert cfg.test_dataloader.dataset.pipeline[1].scale == (SIZE, SIZE)


def shapes(cfg, loader):
    """Of what the network gets of the first eight images, each alone; an odd one has 96 to 160 pixels."""
    MessageHub.get_current_instance().update_info('iter', 0)  # which a batch of random size reads
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        dataset = build_dataset(cfg[loader].dataset)
        preprocessor = MODELS.build(cfg.model.data_preprocessor)
        batches = [preprocessor(pseudo_collate([dataset[i]]), loader == 'train_dataloader') for i in range(8)]
    return {tuple(batch['inputs'].shape[2:]) for batch in batches}


FIXED = {(SIZE, SIZE)}
RTMDET = [
    dict(type='CachedMosaic', img_scale=(640, 640), pad_val=114.0, max_cached_images=4),
    dict(type='RandomResize', scale=(1280, 1280), ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type='RandomCrop', crop_size=(640, 640)),
    dict(type='Pad', size=(640, 640), pad_val=dict(img=(114, 114, 114))),
    dict(type='CachedMixUp', img_scale=(640, 640), ratio_range=(1.0, 1.0), max_cached_images=4),
]
RELATIVE = dict(type='RandomCrop', crop_type='relative_range', crop_size=(0.3, 0.9))
DETR = dict(
    type='RandomChoice',
    transforms=[
        [dict(type='RandomChoiceResize', scales=[(480, 1333), (800, 1333)], keep_ratio=True)],
        [
            dict(type='RandomChoiceResize', scales=[(400, 4200), (600, 4200)], keep_ratio=True),
            dict(type='RandomCrop', crop_type='absolute_range', crop_size=(384, 600)),
            dict(type='RandomChoiceResize', scales=[(480, 1333), (800, 1333)], keep_ratio=True),
        ],
    ],
)


@pytest.mark.parametrize(
    ('transforms', 'smallest'),
    [
        ([dict(type='RandomChoiceResize', scales=[(1333, 640), (1333, 800)], keep_ratio=True)], 96),
        ([dict(type='RandomResize', scale=[(1333, 640), (1333, 800)], keep_ratio=True)], 96),
        ([dict(type='FixShapeResize', width=1024, height=1024, keep_ratio=False)], SIZE),
        ([dict(type='Resize', scale=(800, 800)), dict(type='Pad', size_divisor=640)], SIZE),
        (RTMDET, SIZE),
        ([dict(type='Resize', scale=(1333, 800)), RELATIVE], 32),
        ([DETR], 32),
    ],
    ids=['choice', 'range', 'fixed', 'divisor', 'rtmdet', 'relative crop', 'detr'],
)
def test_a_detector_trains_on_images_of_the_samples_size(transforms, smallest):
    cfg = Config.fromfile(CONFIGS / 'retinanet_transcnn.py')
    pipeline = cfg.train_dataloader.dataset.pipeline
    cfg.train_dataloader.dataset.pipeline = [*pipeline[:2], *transforms, pipeline[-1]]
    use_sample_data(cfg)
    got = shapes(cfg, 'train_dataloader')
    assert all(smallest <= side <= SIZE for shape in got for side in shape)
    assert any(SIZE in shape for shape in got)  # the others are of other proportions or smaller by chance
    assert smallest < SIZE or got == FIXED
    if RELATIVE in transforms:
        assert cfg.train_dataloader.dataset.pipeline[3].crop_size == (0.3, 0.9)


def test_a_mosaic_is_cut_back_and_validation_padded_to_the_samples_size():
    cfg = Config.fromfile(CONFIGS / 'retinanet_transcnn.py')
    affine = dict(type='RandomAffine', scaling_ratio_range=(0.1, 2.0), border=(-320, -320))
    cfg.custom_hooks = [
        dict(type='PipelineSwitchHook', switch_pipeline=[dict(type='Resize', scale=(640, 640))])
    ]
    cfg.train_dataloader.dataset.pipeline.insert(2, affine)
    cfg.val_dataloader.dataset.pipeline.insert(-1, dict(type='Pad', size=(1333, 1333)))
    use_sample_data(cfg)
    assert shapes(cfg, 'val_dataloader') == FIXED
    assert cfg.train_dataloader.dataset.pipeline[2] == affine | dict(border=(-SIZE // 2, -SIZE // 2))
    assert cfg.custom_hooks[0].switch_pipeline[0].scale == (SIZE, SIZE)


@pytest.mark.parametrize(
    ('augment', 'resized'),
    [
        (dict(type='BatchFixedSizePad', size=(1024, 1024)), FIXED),
        (dict(type='BatchResize', scale=(1400, 800), pad_size_divisor=64), FIXED),
        (
            dict(type='BatchSyncRandomResize', random_size_range=(480, 800), interval=1),
            {(64, 64), (96, 96)} | FIXED,
        ),
    ],
    ids=lambda value: value.get('type') if isinstance(value, dict) else '',
)
def test_what_makes_a_batch_makes_it_of_the_samples_size(augment, resized):
    cfg = Config.fromfile(CONFIGS / 'retinanet_transcnn.py')
    cfg.model.data_preprocessor.batch_augments = [augment]
    pipeline = cfg.train_dataloader.dataset.pipeline
    pipeline.insert(-1, dict(type='Pad', size=(1333, 1333)))
    use_sample_data(cfg)
    assert shapes(cfg, 'train_dataloader') <= resized


@pytest.mark.parametrize(
    'transforms',
    [
        [
            dict(
                type='RandomChoiceResize',
                scales=[256, 512, 1024],
                resize_type='ResizeShortestEdge',
                max_size=2048,
            ),
            dict(type='RandomCrop', crop_size=(512, 512)),
        ],
        [
            dict(type='RandomResize', scale=(2048, 512), ratio_range=(0.5, 2.0), keep_ratio=True),
            dict(type='RandomCrop', crop_size=(512, 1024)),
            dict(type='Pad', size=(512, 1024)),
        ],
    ],
    ids=['choice', 'pad'],
)
def test_a_segmentor_trains_on_crops_and_is_validated_on_whole_images(transforms):
    cfg = Config.fromfile(CONFIGS / 'pspnet_transcnn.py')
    pipeline = cfg.train_dataloader.dataset.pipeline
    cfg.train_dataloader.dataset.pipeline = [*pipeline[:2], *transforms, pipeline[-1]]
    cfg.val_dataloader.dataset.pipeline.insert(-1, dict(type='Pad', size=(512, 512)))
    cfg.model.data_preprocessor.test_cfg = dict(size_divisor=640)
    cfg.model.test_cfg = dict(mode='slide', crop_size=(512, 1024), stride=(341, 768))
    use_sample_data(cfg)
    assert shapes(cfg, 'train_dataloader') == {(CROP, CROP)}
    assert shapes(cfg, 'val_dataloader') == FIXED
    assert cfg.model.test_cfg == dict(mode='slide', crop_size=(CROP, CROP), stride=(42, 48))
