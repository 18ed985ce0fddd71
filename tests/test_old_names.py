"""Modules under the names of earlier versions still import, and warn with the new name."""

import sys
from importlib import import_module

import pytest

from vitdense.old_names import MODULES


@pytest.mark.parametrize(('old', 'new'), MODULES.items())
def test_an_old_module_imports_with_a_warning_that_names_the_new_one(monkeypatch, old, new):
    monkeypatch.delitem(sys.modules, old, raising=False)
    with pytest.warns(FutureWarning, match=f'{old} .*{new}'):
        module = import_module(old)
    here = vars(import_module(new))
    assert {name for name in here if not name.startswith('_')} <= vars(module).keys()
    assert all(vars(module)[name] is here[name] for name in here if not name.startswith('_'))


def test_a_module_that_never_was_does_not_import():
    with pytest.raises(ModuleNotFoundError):
        import_module('vitdense.engine.nothing')
