"""Small models that are sure of what they find, so that there is something to compare."""

import pytest
from small import MASKS, SEGMENTOR, workplace
from sure import make_sure

import vitdense
from vitdense.config.read import load_config
from vitdense.data.sample.use import use_sample_data


@pytest.fixture(scope='session')
def predictors(tmp_path_factory, libraries):
    """Predictors by what they find."""
    folder = workplace(tmp_path_factory.mktemp('models'))
    (folder / 'segmentor.py').write_text(SEGMENTOR)
    (folder / 'masks.py').write_text(MASKS)
    (folder / 'boxes.py').write_text(
        (folder / 'tiny.py').read_text()
        + '\nmodel.test_cfg.update(nms_pre=100, max_per_img=20)'
        + '\ntest_dataloader.dataset.pipeline[1].update(scale=(160, 96))\n'
    )
    (folder / 'sample').mkdir()
    found = {}
    for name in ('boxes', 'masks', 'segmentor'):
        cfg = load_config(folder / f'{name}.py')
        use_sample_data(cfg)
        (folder / f'sample/{name}.py').write_text(cfg.pretty_text)
        found[name] = vitdense.load(folder / f'sample/{name}.py')
    for predictor in found.values():
        make_sure(predictor.model)
    return found
