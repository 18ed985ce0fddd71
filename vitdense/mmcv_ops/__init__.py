"""mmcv's compiled ops on torchvision's kernels, for an mmcv that came without its own.

pip builds mmcv without the extension module `mmcv._ext`, after which `import mmdet.models` fails. `install()`
puts a finder at the very end of `sys.meta_path`, where Python asks it for `mmcv._ext` only when every other
finder has given up: a compiled one always wins. What the module then holds is in `kernels.py`.
"""

import importlib.util
import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType


def install() -> None:
    """Answer for `mmcv._ext` from now on, unless mmcv has its own. Does not import mmcv; twice is once."""
    if _finder not in sys.meta_path:
        sys.meta_path.append(_finder)
    _replace_stubs()


def describe() -> str:
    """One log line: which ops mmcv uses. Imports mmcv."""
    try:
        spec = importlib.util.find_spec('mmcv._ext')
    except ModuleNotFoundError:
        return 'mmcv ops: none (mmcv is not installed)'
    if spec is None:
        return 'mmcv ops: none (mmcv came without its compiled ops)'
    if spec.loader is _finder:
        return 'mmcv ops: torchvision kernels (mmcv came without its compiled ops)'
    return 'mmcv ops: compiled'


class _Finder(MetaPathFinder, Loader):
    """Finds and fills the module `mmcv._ext`, and no other."""

    def find_spec(self, fullname: str, path=None, target=None) -> ModuleSpec | None:
        return ModuleSpec(fullname, self, origin='vitdense.mmcv_ops') if fullname == 'mmcv._ext' else None

    def exec_module(self, module: ModuleType) -> None:
        from .kernels import OPS, absent_op  # torch and torchvision, which take seconds

        vars(module).update(OPS, __getattr__=absent_op)


_finder = _Finder()


def _replace_stubs() -> None:
    """Hand the ops to those modules of mmdet that looked for them before `install()`.

    mmdet's own tools import parts of mmdet before they read the config that imports vitdense, and where
    `mmcv.ops` fails to import, mmdet defines functions of the same names that only raise.
    """
    stubs = [
        (module, op)
        for name, module in list(sys.modules.items())
        if name.startswith('mmdet.')
        for op in ('roi_align', 'nms', 'batched_nms', '_sigmoid_focal_loss')
        if getattr(getattr(module, op, None), '__module__', None) == name
    ]
    if stubs:
        import mmcv.ops

        for module, op in stubs:
            setattr(module, op, getattr(mmcv.ops, op.removeprefix('_')))
