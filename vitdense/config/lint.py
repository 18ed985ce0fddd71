"""Every dict of a config against what it builds: an unknown key stops a run before it starts.

MMEngine finds such a mistake late, when the object is built, or never, if a constructor takes `**kwargs`.
"""

import ast
import difflib
import inspect
import textwrap
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from mmengine import registry
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.model.weight_init import BaseInit
from mmengine.optim import BaseOptimWrapper, _ParamScheduler
from mmengine.runner import BaseLoop, Runner
from mmengine.utils import get_object_from_string
from torch import nn

from ..console import display_path
from ..errors import UserError
from ..mmengine_internals import config_dict
from ..registered import import_all
from .settings import RUNNER_KEYS, settings

import_all()  # so that a name has the arguments of its class

REGISTRIES = [
    getattr(registry, name)
    for name in (
        *('MODELS', 'MODEL_WRAPPERS', 'TASK_UTILS', 'DATASETS', 'DATA_SAMPLERS', 'TRANSFORMS'),
        *('HOOKS', 'LOOPS', 'OPTIMIZERS', 'OPTIM_WRAPPERS', 'OPTIM_WRAPPER_CONSTRUCTORS', 'PARAM_SCHEDULERS'),
        *('EVALUATOR', 'METRICS', 'LOG_PROCESSORS', 'VISBACKENDS', 'VISUALIZERS', 'WEIGHT_INITIALIZERS'),
    )
]

# What builders take out of a dict before its class sees the rest, by what they build.
BUILDER_KEYS: dict[type, set[str]] = {
    object: {'type', '_scope_'},
    Hook: {'priority'},
    BaseLoop: {'by_epoch'},
    BaseInit: {'name', 'override'},  # parts, by name
    BaseOptimWrapper: {'constructor', 'optimizer', 'paramwise_cfg'},
    _ParamScheduler: {'convert_to_iter_based', 'epoch_length'},
    # norms; upsampling; convolutions of a backbone's stages, and their old name of groups; DETR's losses;
    # plug-ins, of one type in one place
    nn.Module: {
        *('requires_grad', 'scale_factor', 'fallback_on_stride', 'deformable_groups', 'bg_cls_weight'),
        'postfix',
    },
}

TYPO_CUTOFF = 0.9  # the likeness from which on an unknown key is a misspelt known one


class Arguments(NamedTuple):
    """What a constructor or a function takes.

    names: of its arguments, also those that it passes to the constructors that it inherits from.
    any: whether it takes any others, too.
    """

    names: set[str]
    any: bool

    def lacks(self, key: str) -> bool:
        """Whether an argument is a mistake: unknown, or where any are taken, a known one misspelt."""
        if key in self.names:
            return False
        return not self.any or bool(difflib.get_close_matches(key, self.names, cutoff=TYPO_CUTOFF))


def check_arguments(cfg: Config) -> None:
    """Find the keys that nothing reads.

    Raises:
        UserError: names each, the nearest known one, and the files that set it.
    """
    complaints = [
        f'{what}{_hint(key, known)}{_set_in(cfg, key)}'
        for what, key, known in (*_unknown_arguments(cfg), *_unknown_settings(cfg), *_misspelt_top_keys(cfg))
    ]
    if complaints:
        raise UserError('\n  '.join([f'{display_path(cfg.filename)}: unknown keys:', *complaints]))


Complaint = tuple[str, str, set[str]]  # what is wrong, the key, and the known keys


def _unknown_arguments(cfg: Config) -> Iterator[Complaint]:
    of_runner = arguments(Runner).names
    entries = {key: value for key, value in config_dict(cfg).items() if key in of_runner}
    for place, node, meant in _built(entries, '', cfg.get('default_scope', 'mmengine')):
        accepted = [arguments(kind) for kind in meant]
        for key in node.keys() - _builder_keys(meant):
            if all(candidate.lacks(key) for candidate in accepted):
                known = set().union(*(candidate.names for candidate in accepted))
                yield f'{place}: {meant[0].__name__} has no argument {key!r}', key, known


def _unknown_settings(cfg: Config) -> Iterator[Complaint]:
    for place, node, known in settings(cfg):
        for key in node.keys() - known:
            yield f'{place}: has no entry {key!r}', key, known


def _misspelt_top_keys(cfg: Config) -> Iterator[Complaint]:
    """Not every unknown entry: it may be a variable of the config, or a class that it imports."""
    known = arguments(Runner).names | RUNNER_KEYS
    for key, value in config_dict(cfg).items():
        misspelt = key not in known and difflib.get_close_matches(key, known, cutoff=TYPO_CUTOFF)
        if misspelt and not callable(value):
            yield f'{key}: nothing reads it', key, known


def _builder_keys(meant: Iterable[Any]) -> set[str]:
    classes = tuple(kind if inspect.isclass(kind) else object for kind in meant)
    return set().union(
        *(BUILDER_KEYS[base] for base in BUILDER_KEYS if any(issubclass(kind, base) for kind in classes))
    )


def _built(node: Any, place: str, scope: str) -> Iterator[tuple[str, dict, list[Any]]]:
    """Each dict that builds something: where it is, the dict, and what its type can mean."""
    if isinstance(node, dict):
        if meant := kinds(node.get('type'), node.get('_scope_', scope)):
            yield place, node, meant
        children: Iterable[tuple[Any, Any]] = node.items()
    elif isinstance(node, (list, tuple)):
        children = enumerate(node)
    else:
        return
    for key, child in children:
        yield from _built(child, f'{place}.{key}' if place else str(key), scope)


def kinds(kind: Any, scope: str) -> list[Any]:
    """What a dict's `type` can mean; a name can be in several registries."""
    if inspect.isclass(kind) or inspect.isfunction(kind):
        return [kind]
    if not isinstance(kind, str):
        return []
    found = []
    for entry in REGISTRIES:
        with entry.switch_scope_and_registry(scope) as own:
            kind_here = own.get(kind) if kind in own or '.' in kind else None
        if kind_here is not None and kind_here not in found:
            found.append(kind_here)
    if not found and '.' in kind:  # a class's whole name, as dumped configs have it
        try:
            found = [get_object_from_string(kind)]
        except (ImportError, AttributeError):
            return []
    return [kind for kind in found if callable(kind)]


def arguments(kind: Any) -> Arguments:
    """What a class or a function takes."""
    if not inspect.isclass(kind):
        parameters = inspect.signature(kind).parameters.values()
        return Arguments(names([parameters]), takes_any(parameters))
    inits = [vars(base)['__init__'] for base in kind.__mro__[:-1] if '__init__' in vars(base)]
    signatures = [inspect.signature(init).parameters.values() for init in inits]
    if signatures and not takes_any(signatures[0]):
        return Arguments(names(signatures[:1]), False)
    swallowed = False
    for init, parameters in zip(inits, signatures, strict=True):
        if not takes_any(parameters) or (swallowed := not _passes_on(init)):
            break
    else:
        swallowed = bool(inits)
    return Arguments(names(signatures), swallowed)


def _passes_on(init: Callable) -> bool:
    """Whether a constructor passes its `**kwargs` to another."""
    try:
        body = ast.parse(textwrap.dedent(inspect.getsource(init)))
    except (OSError, SyntaxError, TypeError):  # it has no source
        return True
    keywords = (node for node in ast.walk(body) if isinstance(node, ast.keyword))
    return any(keyword.arg is None and isinstance(keyword.value, ast.Name) for keyword in keywords)


def names(signatures: Iterable[Iterable[inspect.Parameter]]) -> set[str]:
    """What can be set by name."""
    by_name = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return {p.name for parameters in signatures for p in parameters if p.kind in by_name} - {'self'}


def takes_any(parameters: Iterable[inspect.Parameter]) -> bool:
    return any(p.kind is p.VAR_KEYWORD for p in parameters)


def _hint(key: str, accepted: set[str]) -> str:
    near = difflib.get_close_matches(str(key), accepted, n=2)
    return f'; did you mean {" or ".join(near)}?' if near else ''


def _set_in(cfg: Config, key: str) -> str:
    """The places in the config's files where an argument of this name is set."""
    places = [
        f'{display_path(file)}:{line}' for file in _files(Path(cfg.filename)) for line in _lines(file, key)
    ]
    return f' (set in {", ".join(places)})' if places else ''


def _files(file: Path) -> Iterator[Path]:
    """A config's file and those that it inherits from, as far as they are files beside it."""
    if not file.is_file() or file.suffix != '.py':
        return
    yield file
    for base in bases_beside(file):
        yield from _files(base)


def bases_beside(file: Path) -> Iterator[Path]:
    """The files that a config's file names as its bases.

    Not those of another package, as `mmdet::…` and `from mmdet.configs… import *` have it.
    """
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.With) and 'read_base' in ast.unparse(node.items[0]):
            for name in node.body:
                if isinstance(name, ast.ImportFrom) and name.module and name.level:
                    base = file.parents[name.level - 1].joinpath(*name.module.split('.'))
                    yield base.with_suffix('.py')
        elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == '_base_':
            for text in (one.value for one in ast.walk(node.value) if isinstance(one, ast.Constant)):
                yield (file.parent / str(text)).resolve()


def _lines(file: Path, key: str) -> Iterator[int]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.keyword) and node.arg == key:
            yield node.lineno
        elif isinstance(node, ast.Dict):
            yield from (k.lineno for k in node.keys if isinstance(k, ast.Constant) and k.value == key)
        elif isinstance(node, ast.Assign):
            yield from (node.lineno for target in node.targets if _last(target) == key)


def _last(target: ast.expr) -> str:
    """The last word of what is assigned to: `c` of `a.b.c = …`, of `a.b['c'] = …` and of `c = …`."""
    if isinstance(target, ast.Subscript):
        return str(getattr(target.slice, 'value', ''))
    return getattr(target, 'attr', getattr(target, 'id', ''))
