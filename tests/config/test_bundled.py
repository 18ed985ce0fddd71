"""The project's own configs are found by their names, wherever a command runs."""

import pytest
from small import CONFIGS, HEADS

from vitdense import backbones
from vitdense.config.bundled import bundled_config, config_names
from vitdense.config.read import load_config
from vitdense.errors import UserError


def test_every_config_has_a_name():
    names = config_names()
    assert len(names) == len(HEADS) * len(backbones.__all__)
    assert names == sorted(path.stem for path in CONFIGS.glob('*.py'))


@pytest.mark.parametrize('name', ['retinanet_transcnn', 'retinanet_transcnn.py'])
def test_a_config_is_found_by_its_name(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = CONFIGS / 'retinanet_transcnn.py'
    assert bundled_config(name).samefile(path)
    assert load_config(name).to_dict() == load_config(str(path)).to_dict()


@pytest.mark.parametrize('name', ['retinanet', 'configs/retinanet_transcnn.py', '../retinanet_transcnn', ''])
def test_a_path_and_an_unknown_name_are_no_bundled_config(name):
    assert bundled_config(name) is None


def test_a_file_of_ones_own_comes_before_a_bundled_config(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'retinanet_transcnn.py').write_text('model = dict(mine=True)')
    assert load_config('retinanet_transcnn.py').model.mine


def test_a_misspelt_name_is_answered_with_the_nearest(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match='retinanet_transcnn'):
        load_config('retinanet_transcn')
