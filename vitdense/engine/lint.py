"""Every dict of a config against what it builds: a misspelt argument stops a run before it begins.

MMEngine finds such a mistake late, where the object is built, or never, where a constructor takes any words.
"""

import ast
import difflib
import inspect
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from mmengine import registry
from mmengine.config import Config
from mmengine.runner import Runner
from mmengine.utils import get_object_from_string

from .console import shown
from .errors import UserError

REGISTRIES = [
    getattr(registry, name)
    for name in (
        *('MODELS', 'MODEL_WRAPPERS', 'TASK_UTILS', 'DATASETS', 'DATA_SAMPLERS', 'TRANSFORMS'),
        *('HOOKS', 'LOOPS', 'OPTIMIZERS', 'OPTIM_WRAPPERS', 'OPTIM_WRAPPER_CONSTRUCTORS', 'PARAM_SCHEDULERS'),
        *('EVALUATOR', 'METRICS', 'LOG_PROCESSORS', 'VISBACKENDS', 'VISUALIZERS', 'WEIGHT_INITIALIZERS'),
    )
]

# What builders take out of a dict before its class sees the rest: of any dict, hooks, optimizers' wrappers,
# schedules, loops, norms.
TAKEN = {
    'type',
    '_scope_',
    'priority',
    'constructor',
    'paramwise_cfg',
    'optimizer',
    'convert_to_iter_based',
    'epoch_length',
    'by_epoch',
    'requires_grad',
    'fallback_on_stride',
    'scale_factor',
}

SLIP = 0.85  # from which likeness on a word is one that was meant


class Arguments(NamedTuple):
    """What a constructor or a function takes.

    names: of its arguments, also those that it hands to the constructors it inherits from.
    any: whether it takes others, too.
    """

    names: set[str]
    any: bool

    def lacks(self, key: str) -> bool:
        """Whether an argument is a mistake: unknown, or where any are taken, a known one with a slip."""
        if key in self.names:
            return False
        return not self.any or bool(difflib.get_close_matches(key, self.names, cutoff=SLIP))


def check_arguments(cfg: Config) -> None:
    """Find the arguments that nothing takes.

    Raises:
        UserError: names each, the nearest that there is, and the files that set it.
    """
    complaints = []
    of_runner = arguments(Runner).names
    read = {key: value for key, value in cfg._cfg_dict.items() if key in of_runner}
    for place, node, meant in _built(read, '', cfg.get('default_scope', 'mmengine')):
        accepted = [arguments(kind) for kind in meant]
        for key in node.keys() - TAKEN:
            if all(candidate.lacks(key) for candidate in accepted):
                hint = _hint(key, set().union(*(candidate.names for candidate in accepted)))
                name = meant[0].__name__
                complaints.append(f'{place}: {name} has no argument {key!r}{hint}{_set_in(cfg, key)}')
    if complaints:
        raise UserError('\n  '.join([f'{shown(cfg.filename)}: what it sets and nothing takes:', *complaints]))


def _built(node: Any, place: str, scope: str) -> Iterator[tuple[str, dict, list[Any]]]:
    """Each dict that builds something: where it is, the dict, and what its type can mean."""
    if isinstance(node, dict):
        if meant := kinds(node.get('type'), node.get('_scope_', scope)):
            yield place, node, meant
        children = node.items()
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
    signatures = constructors(kind)
    if signatures and not takes_any(signatures[0]):
        signatures = signatures[:1]
    return Arguments(names(signatures), bool(signatures) and all(map(takes_any, signatures)))


def constructors(kind: type) -> list[Iterable[inspect.Parameter]]:
    """The parameters of a class's constructor and of those that it inherits, its own first."""
    inits = [base.__init__ for base in kind.__mro__[:-1] if '__init__' in vars(base)]
    return [inspect.signature(init).parameters.values() for init in inits]


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
    places = [f'{shown(file)}:{line}' for file in _files(Path(cfg.filename)) for line in _lines(file, key)]
    return f' (set in {", ".join(places)})' if places else ''


def _files(file: Path) -> Iterator[Path]:
    """A config's file and those that it inherits from."""
    yield file
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.With) and 'read_base' in ast.unparse(node.items[0]):
            for name in node.body:
                base = file.parents[name.level - 1].joinpath(*name.module.split('.')).with_suffix('.py')
                yield from _files(base)
        elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == '_base_':
            bases = ast.literal_eval(node.value)
            for base in [bases] if isinstance(bases, str) else bases:
                path = (file.parent / base).resolve()
                if path.is_file():  # and not in another package, as `mmdet::…` is
                    yield from _files(path)


def _lines(file: Path, key: str) -> Iterator[int]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.keyword) and node.arg == key:
            yield node.lineno
        elif isinstance(node, ast.Dict):
            yield from (k.lineno for k in node.keys if isinstance(k, ast.Constant) and k.value == key)
