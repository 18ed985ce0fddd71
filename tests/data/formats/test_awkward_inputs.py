"""Sixty awkward folders: a training names what it leaves out, a check exits with 1, nothing is changed."""

import os

import pytest
from awkward_inputs import CASES, call_words

pytestmark = pytest.mark.nightly  # a hundred and thirty commands


def contents(folder):
    return {path: path.lstat().st_mtime_ns for path in folder.rglob('*')}


@pytest.mark.parametrize('name', CASES)
def test_an_awkward_folder_has_its_exit_codes_and_its_word(name, call_tool, tmp_path):
    head, make, train, check, word = CASES[name]
    folder = tmp_path / 'data'
    make(folder)
    before = contents(folder)
    said = ''
    try:
        for command, expected in (('train', train), ('check_data', check)):
            code, out, err = call_tool(command, *call_words(command, head, folder, tmp_path / 'run'))
            assert code == expected, out + err
            said += out + err
        assert contents(folder) == before
    finally:
        os.chmod(folder, 0o755)
        os.chmod(folder / 'images', 0o755) if (folder / 'images').is_dir() else None
    assert word in ' '.join(said.split())
