"""COCO 2017 boxes and masks: `coco_boxes`, with the masks loaded and scored as well."""

from mmengine.config import read_base

with read_base():
    from .coco_boxes import *

# the two LoadAnnotations
train_dataloader.dataset.pipeline[1].update(with_mask=True)
val_dataloader.dataset.pipeline[2].update(with_mask=True)
val_evaluator.update(metric=['bbox', 'segm'])
test_dataloader = val_dataloader
test_evaluator = val_evaluator
