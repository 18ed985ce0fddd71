"""A config as text: made once, and compared without being run."""

import ast
from collections.abc import Iterator
from functools import cached_property
from typing import Any

from mmengine.config import Config

# Of a process, and not of the training that it runs.
OF_A_PROCESS = {'env_cfg', 'launcher', 'load_from', 'model_wrapper_cfg', 'randomness', 'resume', 'work_dir'}


class FinalConfig(Config):
    """A config that is not changed any more, whose text is made once.

    A run needs the text for its log, for its work dir and for every checkpoint, and it takes 0.2 s to make.
    """

    @classmethod
    def of(cls, cfg: Config) -> 'FinalConfig':
        final = cls.__new__(cls)
        final.__dict__.update(cfg.__dict__)
        return final

    @cached_property
    def pretty_text(self) -> str:
        return super().pretty_text


def differences(before: str, now: str) -> Iterator[str]:
    """What two configs, as texts, do not have in common.

    Yields:
        the entries by their dotted names, with their values.
    """
    old, new = (dict(_flat(_entries(text))) for text in (before, now))
    for line in _changed(old, new):
        if line.split()[0].split('.')[0] not in OF_A_PROCESS:
            yield line


def changed_entries(before: dict[str, Any], now: dict[str, Any]) -> Iterator[str]:
    """What two configs, as plain data, do not have in common, as `differences`."""
    yield from _changed(dict(_flat(before)), dict(_flat(now)))


def flat_entries(config: dict[str, Any]) -> dict[str, str]:
    """The entries of a config, as plain data, by their dotted names."""
    return dict(_flat(config))


def _changed(old: dict[str, str], new: dict[str, str]) -> Iterator[str]:
    for name in old.keys() | new.keys():
        if old.get(name) != new.get(name):
            yield f'{name} is {new.get(name, "not set")}, was {old.get(name, "not set")}'


def _entries(text: str) -> dict[str, Any]:
    """The assignments of a config's text, as plain values.

    Raises:
        SyntaxError: it is no such text.
    """
    return {
        statement.targets[0].id: _plain(statement.value)
        for statement in ast.parse(text).body
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name)
    }


def _plain(node: ast.expr) -> Any:
    if isinstance(node, ast.Call) and ast.unparse(node.func) == 'dict':
        return {str(word.arg): _plain(word.value) for word in node.keywords}
    if isinstance(node, ast.Dict):
        pairs = [(key, value) for key, value in zip(node.keys, node.values, strict=True) if key]
        return {getattr(key, 'value', ast.unparse(key)): _plain(value) for key, value in pairs}
    if isinstance(node, (ast.List, ast.Tuple)):
        return dict(enumerate(map(_plain, node.elts)))
    return ast.unparse(node)


def _flat(node: Any, name: str = '') -> Iterator[tuple[str, str]]:
    if isinstance(node, (list, tuple)):
        node = dict(enumerate(node))
    if isinstance(node, dict) and node:
        for key, value in node.items():
            yield from _flat(value, f'{name}.{key}' if name else str(key))
    else:
        yield name, str(node)
