"""COCO 2017 boxes; the augmentation and the image size of MMDetection's 1× configs.

Expects, under `data_root`: annotations/instances_{train,val}2017.json, train2017/, val2017/.
"""

from mmcv.transforms import LoadImageFromFile, RandomFlip, Resize
from mmdet.datasets import AspectRatioBatchSampler, CocoDataset
from mmdet.datasets.transforms import LoadAnnotations, PackDetInputs
from mmdet.evaluation import CocoMetric
from mmengine.dataset import DefaultSampler

data_root = 'data/coco/'
image_scale = (1333, 800)

train_pipeline = [
    dict(type=LoadImageFromFile),
    dict(type=LoadAnnotations, with_bbox=True),
    dict(type='Resize', scale=image_scale, keep_ratio=True),
    dict(type='RandomFlip', prob=0.5),
    dict(type=PackDetInputs),
]
