"""A config file, entries overwritten from the command line, and the files of its data."""

import difflib
import inspect
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.runner import Runner

from ..backbones import __all__ as BACKBONES
from ..console import display_path
from ..errors import UserError
from ..mmengine_internals import config_dict, find_packages_by_module
from .bundled import bundled_config, config_names
from .lint import arguments, kinds
from .settings import LOADERS, RUNNER_KEYS, SETTINGS
from .unread import refuse_unread

CUSTOM_KEYS = '.custom_keys.'  # of an optimizer constructor, by parts of parameters' names
MULTIPLIERS = ('lr_mult', 'decay_mult')
STRATEGIES = ('ColossalAIOptimWrapper', 'DeepSpeedOptimWrapper', 'FlexibleRunner')
EVALUATORS = ('val_evaluator', 'test_evaluator')


def load_config(path: str) -> Config:
    """Read a config file.

    Raises:
        UserError: no such file, or not a config; the message names files that were perhaps meant.
    """
    file = Path(path)
    if not file.is_file() and (own := bundled_config(path)):
        file = own
    if not file.is_file():
        names = sorted(path.name for path in file.parent.glob('*.py')) if file.parent.is_dir() else []
        if file.name == path:
            names += config_names()
        near = difflib.get_close_matches(file.name, names, n=3, cutoff=0.4)
        if file.name == path:
            there = f'there is {", ".join(near)}' if near else 'vitdense configs lists those of this project'
            raise UserError(f'{path}: no such config; {there}')
        there = ', '.join(near or names) or 'no config'
        raise UserError(f'{path}: no such config; in {file.parent} there is {there}')
    find_packages_by_module()
    try:
        cfg = Config.fromfile(file)
    except Exception as error:  # a config is code: anything can go wrong in it
        raise UserError(f'{path}: cannot be read as a config: {type(error).__name__}: {error}') from error
    contents = config_dict(cfg)
    for name in [name for name, value in contents.items() if inspect.ismodule(value)]:
        del contents[name]  # of an import, which is no entry and cannot be copied
    if 'model' not in cfg:
        raise UserError(f'{path}: defines no `model`; is it a fragment?')
    return cfg


def overwrite(cfg: Config, options: dict[str, Any]) -> None:
    """Overwrite entries by their dotted names, as `--cfg-options` gives them.

    A name must be an entry of the config, or an argument of the class that its dict builds.

    Raises:
        UserError: it is neither, with the nearest names, or nothing reads it; or the value is a dict, which
            MMEngine's parser of the command line does not read.
    """
    for name, value in options.items():
        refuse_unread(cfg, name)
        _check_name(cfg, name)
        refuse_dict(name, value)
    for name, value in options.items():
        place, custom, rest = name.partition(CUSTOM_KEYS)
        if custom:  # by itself, MMEngine would take the dots of a parameter's name for its own
            key, _, multiplier = rest.rpartition('.')
            name, value = place + custom.rstrip('.'), {key: {multiplier: value}}
        cfg.merge_from_dict({name: value})


def refuse_dict(name: str, value: Any) -> None:
    """MMEngine's parser of the command line reads no dicts.

    Raises:
        UserError: the value is the text of one.
    """
    if isinstance(value, str) and value.startswith(('{', 'dict(')):
        raise UserError(
            f'--cfg-options {name}={value}: would be text; give the entries of a dict by their names, '
            f'such as {name}.type=…'
        )


def _check_name(cfg: Config, name: str) -> None:
    node: Any = config_dict(cfg)
    walked: list[str] = []
    scope = cfg.get('default_scope') or 'mmengine'
    place, custom, rest = name.partition(CUSTOM_KEYS)
    key, _, last = rest.rpartition('.')
    if custom and not (key and last in MULTIPLIERS):
        expected = ' or '.join(MULTIPLIERS)
        raise UserError(f'--cfg-options {name}: expected a part of a name and {expected}, got {rest!r}')
    for part in place.split('.'):
        if isinstance(node, (list, tuple)):
            if not part.isdigit() or int(part) >= len(node):
                raise UserError(
                    f'--cfg-options {name}: {".".join(walked)} is a list of {len(node)}; expected 0 to '
                    f'{len(node) - 1}, got {part!r}'
                )
            node = node[int(part)]
        elif not isinstance(node, dict):
            raise UserError(f'--cfg-options {name}: {".".join(walked)} is {node!r}, which has no entries')
        elif part in node:
            node = node[part]
        else:
            accepted = _arguments(node, walked, scope)
            if part in accepted:
                return  # an argument that the config leaves at its default
            # a Python-style config also holds the classes that it imports
            entries = {name for name, value in node.items() if name == 'type' or not inspect.isclass(value)}
            near = difflib.get_close_matches(part, entries | accepted, n=3)
            hint = f'; did you mean {" or ".join(near)}?' if near else ''
            raise UserError(f'--cfg-options {name}: {".".join(walked) or "the config"} has no {part!r}{hint}')
        walked.append(part)


def _arguments(node: dict, walked: list[str], scope: str) -> set[str]:
    """What may be added to a dict of the config: the arguments of what is built from it."""
    if not walked:
        return arguments(Runner).names | RUNNER_KEYS
    if read := SETTINGS.get('.'.join(walked)):
        return read
    if walked[-1] == 'test_cfg' and 'mode' in node:  # a segmentor's, which reads these where it slides
        return {'crop_size', 'stride'}
    meant = kinds(node.get('type'), node.get('_scope_', scope))
    return set().union(*(arguments(kind).names for kind in meant))


def point_data_at(cfg: Config, root: str) -> None:
    """Read the data from another folder of the same layout, in place.

    Raises:
        UserError: datasets and evaluators that read from several places.
    """
    datasets = [leaf for loader in LOADERS for leaf in leaves(cfg.get(loader))]
    roots = {dataset['data_root'] for dataset in datasets if dataset.get('data_root')}
    if len(roots) > 1:
        raise UserError(
            f'--data-root {root}: the datasets of the config lie in several folders: '
            f'{", ".join(sorted(roots))}; set their data_root in a config of your own'
        )
    old, new = next(iter(roots), ''), f'{str(root).rstrip("/")}/'
    if 'data_root' in cfg:
        cfg.data_root = new
    for dataset in datasets:
        dataset['data_root'] = new
    for evaluator in EVALUATORS:
        for one in _dicts(cfg.get(evaluator)):
            if 'ann_file' in one:
                one['ann_file'] = new + one['ann_file'].removeprefix(old)


def refuse_checkpoint_paths(cfg: Config) -> None:
    """Checkpoints lie in the work dir under MMEngine's names, where `--resume` and the tools look for them.

    Raises:
        UserError: the checkpoint hook has another folder or other names.
    """
    hook = (cfg.get('default_hooks') or {}).get('checkpoint') or {}
    for key, instead in (('out_dir', '--work-dir DIR'), ('filename_tmpl', 'its default')):
        if hook.get(key) is not None:
            raise UserError(
                f'default_hooks.checkpoint.{key}={hook[key]!r}: --resume would not find the checkpoints; '
                f'expected {instead}'
            )


def refuse_unsupported(cfg: Config) -> None:
    """What MMEngine or the libraries can do and these tools cannot.

    Raises:
        UserError: MMEngine's FlexibleRunner, a model around other models, or a backbone to be traced.
    """
    optim_wrapper = _type_name(cfg.get('optim_wrapper'))
    for key, value in (('optim_wrapper.type', optim_wrapper), ('runner_type', cfg.get('runner_type'))):
        if value in STRATEGIES:
            raise UserError(
                f'{key}={value}: needs a strategy of FlexibleRunner, which these tools do not use'
            )
    if 'backbone' not in cfg.model:
        raise UserError(
            f'model.type={_type_name(cfg.model)}: has no backbone of its own; expected a detector or a '
            f'segmentor'
        )
    kind = _type_name(cfg.model.backbone)
    if kind in BACKBONES and any(
        part.startswith('backbone') for part in cfg.get('efficient_conv_bn_eval') or ()
    ):
        raise UserError(f'efficient_conv_bn_eval: needs a backbone that torch.fx can trace, unlike {kind}')


def _type_name(node: Any) -> str:
    kind = (node or {}).get('type') or ''
    return kind.split('.')[-1] if isinstance(kind, str) else kind.__name__


def require_data(cfg: Config, loaders: Iterable[str]) -> None:
    """Find the files and folders of the datasets before a model is built.

    Raises:
        UserError: what is missing, the layout that is expected, and what else can be done.
    """
    missing, expected = [], []
    datasets = [leaf for loader in loaders for leaf in leaves(cfg.get(loader))]
    for dataset in datasets:
        for path in _places(dataset):
            if path not in expected:
                expected.append(path)
                if not path.exists():
                    missing.append(path)
    if missing:
        root = Path(cfg.get('data_root') or datasets[0].get('data_root') or '')
        lines = []
        for path in expected:
            state = 'MISSING' if path in missing else 'found  '
            lines.append(f'    {state}  {display_path(path)}{"" if path.suffix else "/"}')
        layout = '\n'.join(lines)
        raise UserError(
            f'no data at {display_path(root)}, looked for in {root.absolute()}. Expected:\n{layout}\n'
            f'  data elsewhere:        --data-root DIR\n'
            f'  no data at all:        --sample (built-in drawn images, nothing to download)'
        )


def leaves(loader: dict | None) -> Iterator[dict]:
    """The datasets with files of their own, inside wrappers such as RepeatDataset or ConcatDataset."""
    inside = [one['dataset'] for one in _dicts(loader) if isinstance(one.get('dataset'), dict)]
    inside += [one for wrapper in _dicts(loader) for one in wrapper.get('datasets') or ()]
    for dataset in inside:
        wrapped = list(leaves(dataset))
        yield from wrapped or [dataset]


def _dicts(node: Any) -> list[dict]:
    """A dict, a list of dicts, or nothing."""
    return [one for one in (node if isinstance(node, (list, tuple)) else [node]) if isinstance(one, dict)]


def _places(dataset: dict) -> Iterator[Path]:
    """The annotation file and the folders that a dataset reads."""
    root = Path(dataset.get('data_root') or '')
    if dataset.get('ann_file'):
        yield root / dataset['ann_file']
    for folder in (dataset.get('data_prefix') or {}).values():
        yield root / folder
