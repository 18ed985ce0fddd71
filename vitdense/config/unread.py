"""Variables of a config that nothing reads, such as `train_pipeline`: a change of one alone changes nothing.

A config's file puts such a variable into what the runner reads. In the config that comes of it they are two
values, of which the second counts.
"""

import ast
import difflib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.runner import Runner

from ..console import display_path
from ..errors import UserError
from ..findings import first_few
from ..mmengine_internals import base_paths, config_dict
from .lint import arguments, bases_beside
from .settings import RUNNER_KEYS


def refuse_unread(cfg: Config, name: str) -> None:
    """An option of the command line that would set a variable of the config.

    Raises:
        UserError: it would; the message names where its value is read, if it is.
    """
    variable, *rest = name.split('.')
    read = _read(cfg)
    if variable in read or variable not in config_dict(cfg):
        return
    node: Any = {variable: config_dict(cfg)[variable]}
    places: list[str] = []
    for depth, part in enumerate([variable, *rest[:-1]]):
        try:
            node = node[int(part) if isinstance(node, (list, tuple)) else part]
        except (IndexError, KeyError, TypeError, ValueError):
            break
        places = ['.'.join([place, *rest[depth:]]) for place in _places(cfg, node, part)]
        if places:
            break
    near = difflib.get_close_matches(variable, read, n=1, cutoff=0.5)
    instead = f'; set {first_few(places)}' if places else f'; did you mean {near[0]}?' if near else ''
    raise UserError(
        f'--cfg-options {name}: {variable} is a variable of the config that nothing reads any more{instead}'
    )


def check_variables(cfg: Config) -> None:
    """Find variables that a config's file sets anew, while the runner still reads what its base made of them.

    Raises:
        UserError: names each, its place, and what is read.
    """
    complaints = dict(_overridden_in_vain(cfg, Path(cfg.filename), set()))
    if complaints:
        raise UserError('\n  '.join([f'{display_path(cfg.filename)}: has no effect:', *complaints.values()]))


def _overridden_in_vain(cfg: Config, file: Path, used_below: set[str]) -> Iterator[tuple[str, str]]:
    """Of a file of the config and those that it inherits from, as far as they are beside it."""
    if file.suffix != '.py' or not file.is_file():
        return
    text = file.read_text()
    tree = ast.parse(text)
    used = used_below | _used(tree) | set(re.findall(r'_base_\W+(\w+)', text))
    beside = list(bases_beside(file))
    lines = {name: line for name, line in _set(tree) if name in cfg and name not in used | _read(cfg)}
    for base in base_paths(file) or beside if lines else ():
        inherited = Config.fromfile(base, import_custom_modules=False)
        for name, line in lines.items():
            old = inherited.get(name)
            # a number may be equal by chance
            if isinstance(old, (str, list, tuple, dict)) and old and _plain(old) != _plain(cfg[name]):
                stay = set(_places(inherited, old, name)).intersection(_places(cfg, old, name))
                if stay and not list(_places(cfg, cfg[name], name)):
                    yield (
                        name,
                        f'{display_path(file)}:{line}: {name} is read by nothing: {first_few(sorted(stay))} '
                        f'has the value that {Path(base).name} gives it; set that as well',
                    )
    for other in beside:
        yield from _overridden_in_vain(cfg, other, used)


def _read(cfg: Config) -> set[str]:
    """The keys that the runner reads; a `data_preprocessor` only where the model has none of its own."""
    own = {'data_preprocessor'} if 'data_preprocessor' in cfg.get('model', {}) else set()
    return (arguments(Runner).names | RUNNER_KEYS) - own


def _set(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """The variables that a file sets, as a whole or an entry of."""
    for node in tree.body:
        if isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(root := _root(target), ast.Name):
                    yield root.id, node.lineno


def _used(tree: ast.Module) -> set[str]:
    """The variables that a file puts into others."""
    assignments = (node for node in tree.body if isinstance(node, ast.Assign))
    only_set = {_root(target) for node in assignments for target in node.targets}
    names = (node for node in ast.walk(tree) if isinstance(node, ast.Name) and node not in only_set)
    return {name.id for name in names}


def _root(target: ast.expr) -> ast.expr:
    while isinstance(target, (ast.Attribute, ast.Subscript)):
        target = target.value
    return target


def _places(cfg: Config, value: Any, name: str) -> Iterator[str]:
    """Where in what the runner reads a value is; numbers, which are often equal, under this name alone."""
    distinct = bool(value) and isinstance(value, (str, list, tuple, dict))
    value = _plain(value)

    def find(node: Any, place: str) -> Iterator[str]:
        if node == value and (distinct or place.split('.')[-1] == name):
            yield place
        elif isinstance(node, (dict, list)):
            for key, child in node.items() if isinstance(node, dict) else enumerate(node):
                yield from find(child, f'{place}.{key}')

    read = _read(cfg)
    for key, node in config_dict(cfg).items():
        if key in read:
            yield from find(_plain(node), key)


def _plain(node: Any) -> Any:
    """Without the scopes that MMEngine notes at what comes from a library; tuples are as lists."""
    if isinstance(node, dict):
        return {key: _plain(value) for key, value in node.items() if key != '_scope_'}
    if isinstance(node, (list, tuple)):
        return [_plain(value) for value in node]
    return node
