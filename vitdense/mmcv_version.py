"""MMDetection 3.3 and MMSegmentation 1.2 beside MMCV 2.2, at whose version an assertion ends their import.

They use nothing that MMCV 2.2 has changed. Where that assertion fails, the package is imported once more, and
MMCV gives itself out for 2.1 until it is.
"""

import sys
from collections.abc import Callable
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

PACKAGES = ('mmdet', 'mmseg')
ACCEPTED = '2.1.0'


def install() -> None:
    """Let MMCV pass from now on. Imports nothing; twice is once."""
    if _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)


class _Finder(MetaPathFinder):
    """Finds the packages as the other finders do."""

    def find_spec(self, fullname: str, path=None, target=None) -> ModuleSpec | None:
        if fullname not in PACKAGES:
            return None
        others = (finder.find_spec(fullname, path, target) for finder in sys.meta_path if finder is not self)
        spec = next(filter(None, others), None)
        if spec and spec.loader:
            run = spec.loader.exec_module
            spec.loader.exec_module = lambda module: _run(run, module)  # type: ignore[method-assign]
        return spec


_finder = _Finder()


def _run(run: Callable[[ModuleType], None], module: ModuleType) -> None:
    try:
        run(module)
    except AssertionError as error:
        mmcv: Any = sys.modules.get('mmcv')
        if mmcv is None or not str(error).startswith('MMCV==') or mmcv.__version__.startswith(('0.', '1.')):
            raise
        own, mmcv.__version__ = mmcv.__version__, ACCEPTED
        try:
            run(module)
        finally:
            mmcv.__version__ = own
