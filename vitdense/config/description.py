"""What a checkpoint says of its model: its config as plain data, and what may be built from it.

A config is Python, which MMEngine runs to read it. Here it is a tree of dicts, lists, tuples, numbers and
texts, in which a class is its whole name. Nothing of it is executed: a name is looked up, and has to be a
class that is registered with MMEngine, or a module of torch, from one of a few packages.
"""

import copy
import inspect
import re
from collections.abc import Hashable, Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, cast

from mmcv import ops
from mmcv.transforms import BaseTransform
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.evaluator import BaseMetric
from mmengine.hooks import Hook
from mmengine.registry import FUNCTIONS
from mmengine.runner import Runner
from mmengine.utils import get_object_from_string
from torch import nn

from ..errors import UserError
from ..mmengine_internals import config_dict
from .lint import REGISTRIES, arguments, kinds
from .settings import RUNNER_KEYS
from .text import changed_entries
from .tree import dicts, name_of

VERSION = 1
# What a config may name without registering it.
BASES = (nn.Module, BaseDataset, BaseMetric, BaseTransform, Hook)
OF_INFERENCE = {'data_root', 'test_pipeline', 'tta_model', 'tta_pipeline'}  # which the runner does not read
OF_A_RUN = {'launcher', 'load_from', 'resume', 'work_dir'}
# Described, and not used by what only predicts: how a training computes, what it calls besides, draws with.
OF_A_TRAINING = {'amp', 'compile', 'custom_hooks', 'visualizer'}
# Entries of datasets and evaluators that name files, and what these may be: nothing that is unpickled or run.
FILES = ('ann_file', 'data_root', 'img', 'img_path', 'img_suffix', 'seg', 'seg_map_path', 'seg_map_suffix')
NO_FILES = ('type', '_scope_', 'default_hooks', 'experiment_name')  # of hooks, only HOOKS are left
SUFFIXES = ('', '.json', '.txt', '.jpg', '.jpeg', '.png', '.tif', '.tiff', '.bmp')
HOOKS = (
    *('IterTimerHook', 'LoggerHook', 'ParamSchedulerHook', 'CheckpointHook', 'DistSamplerSeedHook'),
    *('RuntimeInfoHook', 'SyncBuffersHook'),
)
PLACES = ('out_dir', 'outfile_prefix', 'out_file_path', 'output_dir', 'save_dir', 'show_dir')  # written to
WEIGHTS = ('init_cfg', 'pretrained')  # other files, that are not needed for a model whose weights are here
PACKAGES = ('vitdense', 'torch.nn', 'torch.optim', 'timm', 'mmengine', 'mmcv', 'mmdet', 'mmseg')
SCOPES = ('mmengine', 'mmdet', 'mmseg')
EVALUATE_TEXT = ('mmcv.cnn.rfsearch', 'mmdet.models.task_modules.tracking')  # call `eval` on an argument


class Undescribable(ValueError):
    """A config has a value that is no plain data."""


def describe(cfg: Config) -> dict[str, Any]:
    """The entries of a config that MMEngine's runner and the libraries' inference read, as plain data.

    Raises:
        Undescribable: an entry holds an object.
    """
    read = arguments(Runner).names | RUNNER_KEYS | OF_INFERENCE
    entries = {key: value for key, value in config_dict(cfg).items() if key in read - OF_A_RUN}
    return {key: _plain(value, key) for key, value in entries.items()}


def _plain(value: Any, place: str) -> Any:
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, dict):
        return {str(key): _plain(child, f'{place}.{key}') for key, child in value.items()}
    if isinstance(value, (list, tuple)):
        children = (_plain(child, f'{place}.{number}') for number, child in enumerate(value))
        return tuple(children) if isinstance(value, tuple) else list(children)
    if inspect.isclass(value) or inspect.isfunction(value):
        return _whole_name(cast(Hashable, value))
    if isinstance(value, (str, Path)):
        return str(value)
    raise Undescribable(f'{place} is a {type(value).__name__}')


@cache
def _whole_name(kind: Hashable) -> str:
    """The shortest name by which MMEngine finds a class, which takes a function for a module of its name."""
    parts, name = kind.__module__.split('.'), getattr(kind, '__qualname__', '')
    names = ['.'.join([*parts[:count], name]) for count in range(1, len(parts) + 1)]
    found = next((name for name in names if get_object_from_string(name) is kind), None)
    if found is None:
        raise Undescribable(f'{names[-1]} cannot be imported by its name')
    return found


def described_config(checkpoint: Mapping[str, Any], file: str | Path) -> Config:
    """The config that a checkpoint carries; what is built from it has to pass `check_types` before.

    Args:
        checkpoint: its contents.
        file: from which they are.

    Raises:
        UserError: it carries none.
    """
    meta = checkpoint.get('meta')
    described = meta.get('vitdense') if isinstance(meta, Mapping) else None
    if not isinstance(described, Mapping):
        raise UserError(
            f'{file}: does not say which model it is of; give the config that it was trained with'
        )
    if (version := described.get('version')) != VERSION:
        raise UserError(f'{file}: its description is of version {version!r}; this vitdense reads {VERSION}')
    entries, name = described.get('config'), str(described.get('name'))
    if entries is None:
        reason = described.get('undescribed')
        raise UserError(
            f'{file}: could not be described ({reason}); give the config that it was trained with'
        )
    if not isinstance(entries, dict) or not isinstance(entries.get('model'), dict):
        raise UserError(f'{file}: the description of its model is damaged')
    try:
        entries = {
            str(key): _plain(value, str(key)) for key, value in entries.items() if key not in OF_A_TRAINING
        }
    except (Undescribable, RecursionError) as error:
        raise UserError(f'{file}: the description of its model is damaged: {error}') from error
    for node in dicts(entries):
        for key in (*PLACES, *WEIGHTS):
            node.pop(key, None)
    if isinstance(hooks := entries.get('default_hooks'), dict):
        known = {
            key: hook for key, hook in hooks.items() if isinstance(hook, dict) and name_of(hook) in HOOKS
        }
        entries['default_hooks'] = known
    # with a text of its own, MMEngine does not read the file
    return Config(entries, cfg_text='# of a checkpoint', filename=f'{Path(name).name}.py')


def changed_from(meta: Mapping[str, Any], cfg: Config) -> list[str]:
    """What a config has otherwise than the one that a checkpoint carries, of what makes its predictions.

    Args:
        meta: of the checkpoint.
        cfg: the config.

    Returns:
        entries of the model and of the pipeline of the images; none, if the checkpoint carries no config.
    """
    described = meta.get('vitdense')
    trained = described.get('config') if isinstance(described, Mapping) else None
    if not isinstance(trained, Mapping) or not isinstance(trained.get('model'), Mapping):
        return []
    try:
        now = describe(cfg)
    except Undescribable:
        return []
    return sorted(changed_entries(_of_predictions(trained), _of_predictions(now)))


def _of_predictions(entries: Mapping[str, Any]) -> dict[str, Any]:
    """The model and the pipeline of the images, without what only a training reads."""
    model = copy.deepcopy({key: value for key, value in entries['model'].items() if key != 'train_cfg'})
    for node in dicts(model):
        for key in WEIGHTS:
            node.pop(key, None)
    loader = dicts(entries.get('test_dataloader') or {})
    return dict(model=model, pipeline=next((one['pipeline'] for one in loader if 'pipeline' in one), None))


def check_types(cfg: Config, parts: Iterable[Any] | None = None) -> None:
    """Look whether everything that a described config builds is of the known packages; nothing is built.

    Args:
        cfg: of `described_config`.
        parts: of it, which are to be built; None for all.

    Raises:
        UserError: something is not, or is not there.
    """
    scope = cfg.get('default_scope') or 'mmengine'
    registered = set[int]()
    built: Any = {key: cfg[key] for key in cfg} if parts is None else list(parts)
    for node in dicts([dict(_scope_=scope), built]):
        own = node.get('_scope_', scope)
        if own not in SCOPES:
            raise UserError(f'the checkpoint describes a model of {own!r}; expected {", ".join(SCOPES)}')
        if 'type' in node and not is_known(node['type'], own, registered):
            raise UserError(
                f'the checkpoint describes a {node["type"]!r}, which is no class of {", ".join(PACKAGES)}; '
                f'give the config beside it, if you know who made it'
            )
    for key, text in _texts(built):
        if not _is_plain(key, text):
            raise UserError(
                f'the checkpoint describes a model with {key}={text!r}, which may be a file that is read; '
                f'give the config beside it, if you know who made it'
            )


def _texts(node: Any, key: str = '') -> Iterator[tuple[str, str]]:
    """Every text of a part of a config but the names of classes, with the key that it is under."""
    if isinstance(node, dict):
        for name, child in node.items():
            if name == 'metainfo' and isinstance(child, dict):  # names of classes may be anything
                child = {k: v for k, v in child.items() if isinstance(v, str)}
            if name not in NO_FILES:
                yield from _texts(child, str(name))
    elif isinstance(node, (list, tuple)):
        for child in node:
            yield from _texts(child, key)
    elif isinstance(node, str):
        yield key, node


def _is_plain(key: str, text: str) -> bool:
    """Whether a text is a word, or the path of a file that can be no more than read."""
    if key in FILES:
        return '://' not in text and Path(text).suffix.lower() in (*SUFFIXES, text.lower())
    if key == 'classes':
        return False  # of a list they are no texts
    return not re.search(r'[/\\]|\.\w+$', text) and text.lower() not in ('pickle', 'pkl')


def is_known(name: Any, scope: str, registered: set[int] | None = None) -> bool:
    """Whether a name is of classes that may be built from plain data.

    Args:
        name: of a class.
        scope: in which the name is looked up.
        registered: the identities of registered classes, for many names; what is missing is added.
    """
    if not isinstance(name, str) or not re.fullmatch(r'\w+(\.\w+)*', name):
        return False
    if '.' in name and not name.startswith(tuple(f'{package}.' for package in PACKAGES)):
        return False  # which a look at it would import
    found = kinds(name, scope)
    registered = set() if registered is None else registered
    if not {id(kind) for kind in found} <= registered:  # the look at a name may have imported its module
        registered |= _registered()
    # the libraries look up, or evaluate, some names in `mmcv.ops`
    return name in ops.__all__ if not found else all(_is_harmless(kind, registered) for kind in found)


def _is_harmless(kind: Any, registered: set[int]) -> bool:
    place = f'{kind.__module__}.'
    if not place.startswith(tuple(f'{package}.' for package in PACKAGES)):
        return False
    if place.startswith(tuple(f'{module}.' for module in EVALUATE_TEXT)):
        return False
    return id(kind) in registered or (inspect.isclass(kind) and issubclass(kind, BASES))


def _registered() -> set[int]:
    """What is registered with MMEngine and its libraries, by identity."""
    registries = [*REGISTRIES, FUNCTIONS]
    for one in registries:
        registries.extend(one.children.values())
    return {id(kind) for one in registries for kind in one.module_dict.values()}
