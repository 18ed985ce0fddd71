"""The folders of docs/awkward_inputs.md: predict names what it cannot read, and changes nothing."""

import os

import pytest
from awkward_inputs import CASES, UNPREDICTABLE

pytestmark = pytest.mark.nightly  # sixty commands


@pytest.mark.parametrize('name', CASES)
def test_an_awkward_folder_is_predicted_on(name, models, call_tool, tmp_path, monkeypatch):
    monkeypatch.setattr('vitdense.predict.load.load', lambda model, config, device: models['boxes'])
    _, make, *_ = CASES[name]
    folder = tmp_path / 'data'
    make(folder)
    before = {path: path.lstat().st_mtime_ns for path in folder.rglob('*')}
    try:
        code, out, err = call_tool('predict', 'best.pth', folder, '--out', tmp_path / 'out')
        assert code == int(name in UNPREDICTABLE), out + err
        assert ('photo-a.png' in err) == (name in UNPREDICTABLE)
        assert {path: path.lstat().st_mtime_ns for path in folder.rglob('*')} == before
    finally:
        os.chmod(folder, 0o755)
