"""ADE20K, 150 classes, with the crop and augmentation of MMSegmentation's 512 × 512 configs.

Under `data_root`: images/{training,validation}/, annotations/{training,validation}/. A label map has 0 for
no class, then 1 to 150; the dataset maps 0 to 255, which is ignored, and the rest to 0 to 149
(`reduce_zero_label`).
"""

from mmcv.transforms import LoadImageFromFile, RandomFlip, RandomResize, Resize
from mmengine.dataset import DefaultSampler, InfiniteSampler
from mmseg.datasets import ADE20KDataset
from mmseg.datasets.transforms import LoadAnnotations, PackSegInputs, PhotoMetricDistortion, RandomCrop

from vitdense.data.iou_metric import ClassIoUMetric

data_root = 'data/ade/ADEChallengeData2016/'
crop_size = (512, 512)

train_pipeline = [
    dict(type=LoadImageFromFile),
    dict(type=LoadAnnotations),
    dict(type=RandomResize, scale=(2048, 512), ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type=RandomCrop, crop_size=crop_size, cat_max_ratio=0.75),
    dict(type=RandomFlip, prob=0.5),
    dict(type=PhotoMetricDistortion),
    dict(type=PackSegInputs),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),  # by name, as MMSegmentation's `inference_model` looks for the two
    dict(type=Resize, scale=(2048, 512), keep_ratio=True),
    dict(type='LoadAnnotations'),  # after the resize: scored at the image's own size
    dict(type=PackSegInputs),
]
train_dataloader = dict(
    batch_size=4,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type=InfiniteSampler, shuffle=True),
    dataset=dict(
        type=ADE20KDataset,
        data_root=data_root,
        data_prefix=dict(img_path='images/training', seg_map_path='annotations/training'),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type=DefaultSampler, shuffle=False),
    dataset=dict(
        type=ADE20KDataset,
        data_root=data_root,
        data_prefix=dict(img_path='images/validation', seg_map_path='annotations/validation'),
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader

val_evaluator = dict(type=ClassIoUMetric, iou_metrics=['mIoU'])
test_evaluator = val_evaluator
