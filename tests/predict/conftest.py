"""Models small enough for a test, with random weights, and photos."""

import numpy as np
import pytest
from PIL import Image
from small import ARCH, workplace

import vitdense

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


@pytest.fixture(scope='session')
def models(tmp_path_factory):
    """Predictors by the kind of what they find."""
    folder = workplace(tmp_path_factory.mktemp('models'))
    (folder / 'segmentor.py').write_text(SEGMENTOR)
    (folder / 'masks.py').write_text(MASKS)
    (folder / 'boxes.py').write_text(
        (folder / 'tiny.py').read_text() + '\ntest_dataloader.dataset.pipeline[1].update(scale=(256, 128))\n'
    )
    return {name: vitdense.load(folder / f'{name}.py') for name in ('boxes', 'masks', 'segmentor')}


@pytest.fixture(scope='session')
def photo():
    """An image (90, 120, 3), RGB, with other values in each channel."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (6, 8, 3)).astype(np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((120, 90), Image.Resampling.BICUBIC))
