"""A config as what it changes in another one, in Python, so that a person can go on from it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmengine.config import Config

from ..mmengine_internals import config_dict
from .bundled import config_folder
from .tree import name_of


def config_of_changes(before: Config, after: Config, file: Path, heading: str) -> str:
    """The text of a Python-style config that inherits from `before`'s file and equals `after`.

    Args:
        before: as it was read from its file.
        after: a copy of it, changed.
        file: where the text will be.
        heading: its docstring.
    """
    lines = [f'"""{heading}"""', '', 'from mmengine.config import read_base', '', 'with read_base():']
    lines += [f'    from {_module(Path(before.filename), file)} import *', '']
    lines += _changes(config_dict(before), config_dict(after), '')
    return '\n'.join(lines) + '\n'


def _module(base: Path, file: Path) -> str:
    """A config of this project by its package, another one by the way to it."""
    base, folder = base.resolve(), config_folder().resolve()
    if base.is_relative_to(folder):
        return '.'.join(['vitdense', 'configs', *base.relative_to(folder).with_suffix('').parts])
    up, place = '.', file.resolve().parent
    while not base.is_relative_to(place):
        up, place = up + '.', place.parent
    return up + '.'.join(base.relative_to(place).with_suffix('').parts)


def _changes(before: Any, after: Any, name: str) -> Iterator[str]:
    """Assignments that make one tree of dicts and lists of the other."""
    if isinstance(before, dict) and isinstance(after, dict):
        if name and name_of(before) != name_of(after):
            yield f'{name} = {_literal(after)}'
            return
        for key in before.keys() - after.keys():
            yield f'{name}.pop({key!r}, None)' if name else f'del {key}'
        for key, value in after.items():
            place = f'{name}.{key}' if name else key
            if key == 'type' or place == 'launcher':  # the same class, as text; the command line's
                continue
            if key in before:
                yield from _changes(before[key], value, place)
            else:
                yield f'{place} = {_literal(value)}'
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for i, (one, other) in enumerate(zip(before, after, strict=True)):
            yield from _changes(one, other, f'{name}[{i}]')
    elif before != after:
        yield f'{name} = {_literal(after)}'


def _literal(value: Any) -> str:
    if isinstance(value, dict):
        return f'dict({", ".join(f"{key}={_literal(one)}" for key, one in value.items())})'
    if isinstance(value, (list, tuple)):
        inside = ', '.join(map(_literal, value))
        return f'[{inside}]' if isinstance(value, list) else f'({inside}{"," if len(value) == 1 else ""})'
    if isinstance(value, type):  # by its name, which the registries find
        return repr(f'{value.__module__}.{value.__qualname__}')
    return repr(value)
