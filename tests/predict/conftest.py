"""Models small enough for a test, with random weights, and photos."""

import numpy as np
import pytest
from PIL import Image
from small import MASKS, SEGMENTOR, workplace

import vitdense


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
