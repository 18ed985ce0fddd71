"""A backbone's file is its paper alone."""

import ast
from importlib.util import find_spec
from pathlib import Path

import pytest

from vitdense.backbones import FILES


@pytest.mark.parametrize('file', FILES.values())
def test_no_backbone_imports_another_one(file):
    source = Path(find_spec(f'vitdense.backbones.{file}').origin).read_text()
    imported = {node.module for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom)}
    assert 'pyramid' in imported
    assert not imported & set(FILES.values())
