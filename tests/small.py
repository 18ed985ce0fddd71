"""Models small enough for a test, a folder to run it in, and a hostile file's heart."""

from pathlib import Path

import mmengine
import pytest
from mmengine.utils import digit_version

REPOSITORY = Path(__file__).parents[1]
CONFIGS = REPOSITORY / 'configs'
HEADS = dict(  # the first part of a config's name, and the library that trains it
    retinanet='mmdet',
    mask_rcnn='mmdet',
    deeplabv3='mmseg',
    pspnet='mmseg',
    semantic_fpn='mmseg',
    upernet='mmseg',
)
ARCH = dict(
    dims=[8, 16, 24, 32],
    depths=[1, 1, 1, 1],
    head_dim=8,
    expansions=[2, 2, 2, 2],
    grid_sizes=[8, 8, 8, 1],
    pool_ratios=[8, 4, 2, 1],
    kernel_sizes=[3, 3, 3, 3],
)
TINY = f'''"""RetinaNet on a TransCNN small enough for a test; every box counts, so that scores come early."""

from mmengine.config import read_base

with read_base():
    from .configs.retinanet_transcnn import *

model.backbone.update(arch={ARCH})
model.neck.update(in_channels={ARCH['dims']}, out_channels=16)
model.bbox_head.update(in_channels=16, feat_channels=16, stacked_convs=1)
model.test_cfg.update(score_thr=0.0)
for loader in (train_dataloader, val_dataloader, test_dataloader):
    loader.update(num_workers=0, persistent_workers=False)
for loader in (val_dataloader, test_dataloader):
    loader.dataset.update(indices=24)
'''
SEGMENTOR = f'''"""PSPNet small enough for a test."""
from mmengine.config import read_base
with read_base():
    from .configs.pspnet_transcnn import *
model.backbone.update(arch={ARCH})
model.decode_head.update(in_channels={ARCH['dims'][1:]}, channels=16)
model.auxiliary_head.update(in_channels={ARCH['dims'][2]}, channels=16)
test_dataloader.dataset.pipeline[1].update(scale=(256, 64))
'''
MASKS = f'''"""Mask R-CNN small enough for a test."""
from mmengine.config import read_base
with read_base():
    from .configs.mask_rcnn_transcnn import *
model.backbone.update(arch={ARCH})
model.neck.update(in_channels={ARCH['dims']}, out_channels=16)
model.rpn_head.update(in_channels=16, feat_channels=16)
for extractor in (model.roi_head.bbox_roi_extractor, model.roi_head.mask_roi_extractor):
    extractor.update(out_channels=16)
model.roi_head.bbox_head.update(in_channels=16, fc_out_channels=16)
model.roi_head.mask_head.update(in_channels=16, conv_out_channels=16)
model.test_cfg.rcnn.update(score_thr=0.0, max_per_img=20)
test_dataloader.dataset.pipeline[1].update(scale=(256, 128))
'''


NEWER_MMENGINE = pytest.mark.skipif(
    digit_version(mmengine.__version__) < digit_version('0.10.9'),
    reason='classes and calls in a Python-style config: onedl-mmengine 0.10.9',
)


def workplace(folder):
    """A folder with the small config, which inherits from the repository's."""
    (folder / 'configs').symlink_to(CONFIGS)
    (folder / 'tiny.py').write_text(TINY)
    return folder


class Hostile:
    """Unpickled without care, it writes a file with the number of the process."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return exec, (f'import os, pathlib\npathlib.Path({str(self.marker)!r}).write_text(str(os.getpid()))',)
