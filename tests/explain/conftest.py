"""Small models of every backbone, with random weights, and a photo whose sides nothing divides."""

from functools import cache

import numpy as np
import pytest
from PIL import Image
from small import CONFIGS
from small_backbones import SMALL, build

from vitdense.predict.load import load
from vitdense.predict.sources import Photo


@pytest.fixture(scope='session')
def photo():
    """An image 61 pixels high and 90 wide."""
    coarse = np.random.default_rng(0).integers(0, 256, (6, 9, 3)).astype(np.uint8)
    return Photo('photo.png', np.asarray(Image.fromarray(coarse).resize((90, 61), Image.Resampling.BICUBIC)))


@pytest.fixture(scope='session')
def predictor(tmp_path_factory):
    """A RetinaNet by the name of its backbone."""
    folder = tmp_path_factory.mktemp('explained')
    (folder / 'configs').symlink_to(CONFIGS)

    @cache
    def predictor(name):
        file = folder / f'{name}.py'
        stem = 'dualtoken_vit' if name == 'DualTokenViT' else name.lower()
        channels = SMALL[name].channels[1:] if name == 'SuperViT' else SMALL[name].channels
        file.write_text(
            f'"""Small."""\nfrom mmengine.config import read_base\nwith read_base():\n'
            f'    from .configs.retinanet_{stem} import *\n'
            f'model.backbone.update(arch={SMALL[name].arch})\n'
            f'model.neck.update(in_channels={channels}, out_channels=16)\n'
            f'model.bbox_head.update(in_channels=16, feat_channels=16, stacked_convs=1)\n'
            f'test_dataloader.dataset.pipeline[1].update(scale=(180, 122))\n'
        )
        found = load(file)
        found.model.backbone.load_state_dict(build(name).state_dict(), strict=False)
        return found

    return predictor
