"""Backbones need torch and MMEngine alone: who uses one imports nothing else."""

import ast
import sys
from pathlib import Path

import pytest

import vitdense

PACKAGE = Path(vitdense.__file__).parent
FILES = [
    PACKAGE / 'checkpoint.py',
    *(path for room in ('backbones', 'layers', 'necks') for path in sorted((PACKAGE / room).glob('*.py'))),
]


@pytest.mark.parametrize('path', FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_at_import_a_file_needs_torch_and_mmengine_alone(path):
    imports = [
        node for node in ast.parse(path.read_text()).body if isinstance(node, (ast.Import, ast.ImportFrom))
    ]
    own = [node for node in imports if isinstance(node, ast.ImportFrom) and node.level]
    others = {
        name.split('.')[0]
        for node in imports
        if node not in own
        for name in (
            [node.module] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
        )
    }
    assert others - sys.stdlib_module_names <= {'torch', 'mmengine', 'safetensors'}

    if path.parent.name == 'layers':  # the ground floor
        assert all(node.level == 1 for node in own)
    elif path.parent.name == 'backbones' and path.name != '__init__.py':  # a backbone needs no other
        assert {node.module for node in own if node.level == 1} <= {'pyramid', 'variants', 'checks'}
        assert all(node.module.startswith('layers.') for node in own if node.level > 1)
