"""Where the numbers of a config are from: what its files say."""

import ast
from pathlib import Path

import pytest
from small import CONFIGS

from vitdense.config.sources import config_sources


def docstring(file):
    return ast.get_docstring(ast.parse(file.read_text()))


@pytest.mark.parametrize('leaf', ['retinanet_transcnn.py', 'deeplabv3_pit.py'])
def test_the_files_of_a_leaf_are_named_with_their_docstrings(leaf):
    found = dict(config_sources(CONFIGS / leaf))
    assert next(iter(found)) == leaf
    head, backbone = leaf.removesuffix('.py').split('_')
    files = {path.relative_to(CONFIGS).as_posix(): path for path in CONFIGS.rglob('*.py')}
    read = [CONFIGS / leaf, files[f'_base_/backbones/{backbone}.py'], files[f'_base_/heads/{head}.py']]
    for file in read:
        (name,) = {file.name, f'{file.parent.name}/{file.name}'} & set(found)
        assert found[name] == docstring(file)
    assert any(name.startswith('schedules/') for name in found)  # which the head reads
    known = {docstring(path) for path in files.values()}
    assert set(found.values()) <= known


def test_a_file_read_twice_is_named_once_and_one_that_reads_itself_ends(tmp_path):
    read = 'from mmengine.config import read_base\nwith read_base():\n'
    (tmp_path / 'leaf.py').write_text(
        f'"""Leaf."""\n{read}    from .one import *\n    from .other import *\n'
    )
    (tmp_path / 'one.py').write_text(
        f'"""One."""\n{read}    from .parts.base import *\n    from .one import *\n'
    )
    (tmp_path / 'other.py').write_text(f'{read}    from .parts.base import *\n    from .absent import *\n')
    (tmp_path / 'parts').mkdir()
    (tmp_path / 'parts/base.py').write_text('"""Base."""')
    found = config_sources(tmp_path / 'leaf.py')
    assert found == [['leaf.py', 'Leaf.'], ['one.py', 'One.'], ['parts/base.py', 'Base.']]


@pytest.mark.parametrize(('name', 'text'), [('a.yaml', 'a: 1'), ('a.py', 'no python('), ('a.py', 'a = 1')])
def test_other_files_have_no_docstrings(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    assert config_sources(tmp_path / name) == []
    assert config_sources(Path('absent.py')) == config_sources('') == []
