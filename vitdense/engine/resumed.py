"""A run that goes on, against its own beginning: the seed is the same, and what else differs is told."""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config

from ..checkpoint import read
from ..errors import UserError
from .records import RECORDS

# Of this process and not of the training.
OWN = {'env_cfg', 'launcher', 'load_from', 'model_wrapper_cfg', 'randomness', 'resume', 'work_dir'}


def go_on(cfg: Config, checkpoint: Path) -> None:
    """Have a config go on with the run of a checkpoint, in place.

    MMEngine finds the seed in the checkpoint when the order of the images is drawn already.

    Raises:
        UserError: the checkpoint cannot be read, or the config asks for another seed.
    """
    try:
        contents = read(checkpoint, allow=RECORDS)
    except (FileNotFoundError, ValueError) as error:
        raise UserError(str(error)) from error
    cfg.resume, cfg.load_from = True, str(checkpoint)
    meta = contents.get('meta') if isinstance(contents, Mapping) else None
    begun = meta.get('seed') if isinstance(meta, Mapping) else None
    if not isinstance(begun, int):
        return
    randomness = cfg.get('randomness') or {}
    if randomness.get('seed') not in (None, begun):
        raise UserError(
            f'{checkpoint}: was begun with seed {begun}, and a run goes on with its own; randomness.seed is '
            f'{randomness["seed"]}'
        )
    cfg.randomness = dict(randomness, seed=begun)


def differences(begun: str, now: str) -> Iterator[str]:
    """What two configs, as texts, do not have in common. They are read and not run.

    Yields:
        the entries by their dotted names, with their values.
    """
    before, after = (dict(_flat(_entries(text))) for text in (begun, now))
    for name in before.keys() | after.keys():
        if name.split('.')[0] not in OWN and before.get(name) != after.get(name):
            yield f'{name} is {after.get(name, "not set")}, was {before.get(name, "not set")}'


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
    if isinstance(node, dict) and node:
        for key, value in node.items():
            yield from _flat(value, f'{name}.{key}' if name else str(key))
    else:
        yield name, str(node)
