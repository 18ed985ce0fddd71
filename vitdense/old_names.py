"""Modules under the names of earlier versions, which work for one release more and say the new name."""

import sys
import warnings
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

MODULES = {
    'vitdense.data_check': 'vitdense.data.check',
    'vitdense.engine.memory': 'vitdense.memory',
    'vitdense.engine.coco_metric': 'vitdense.data.coco_metric',  # in the configs that earlier runs have saved
    'vitdense.data.sample.loss': 'vitdense.data.class_weights',  # likewise
    'vitdense.sample': 'vitdense.data.sample',
}


def install() -> None:
    """Import the old names from now on."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


class _Finder(MetaPathFinder, Loader):
    """Comes first: folders of the old names, with nothing but caches in them, may still be there."""

    def find_spec(self, fullname: str, path=None, target=None) -> ModuleSpec | None:
        return ModuleSpec(fullname, self) if fullname in MODULES else None

    def exec_module(self, module: ModuleType) -> None:
        new = MODULES[module.__name__]
        warnings.warn(f'{module.__name__} is now {new}', FutureWarning, stacklevel=2)
        contents = vars(import_module(new)).items()
        vars(module).update((name, value) for name, value in contents if not name.startswith('__'))
