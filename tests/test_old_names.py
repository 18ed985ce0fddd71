"""A module's name of an earlier version works, and its warning has the new one."""

import sys
from importlib import import_module

import pytest

from vitdense.old_names import MODULES


@pytest.mark.parametrize('old', MODULES)
def test_an_old_module_is_the_new_one_with_a_warning(old, monkeypatch):
    monkeypatch.delitem(sys.modules, old, raising=False)
    with pytest.warns(FutureWarning, match=f'{old} is now {MODULES[old]}'):
        module = import_module(old)
    new = import_module(MODULES[old])
    assert all(getattr(module, name) is value for name, value in vars(new).items() if name[0] != '_')
