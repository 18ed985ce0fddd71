"""What a run knows of itself when it starts: model, data, recipe, and how to repeat it."""

import copy
import shlex
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.runner import Runner

from ..complexity import model_cost
from ..config.description import Undescribable, describe
from ..config.read import load_config
from ..config.recipe import sources_of
from ..config.text import changed_entries, flat_entries
from ..config.tree import dicts, innermost, name_of
from ..console import display_path
from ..data.dataset import classes_of
from ..engine.checkpoints import description_of
from ..engine.processes import unwrapped
from ..engine.resume import final_iteration
from ..errors import UserError
from ..show.colours import palette_of
from ..show.preamble import preamble
from .facts import RunFacts


def facts_at_start(runner: Runner, training: bool) -> RunFacts:
    """Of a training or a test that is about to start."""
    described, cfg = description_of(runner, {}), runner.cfg
    dataset = (runner.train_dataloader if training else runner.test_dataloader).dataset
    facts = RunFacts(
        name=described['name'],
        config=display_path(cfg.filename or ''),
        command=_command(),
        started=time.time(),
        trains=training,
        segments=hasattr(unwrapped(runner), 'decode_head'),
        lines=[[label, text] for label, text in preamble(runner, training)],
        findings=[[one.label, one.text, one.level.value] for one in getattr(runner, 'findings', ())],
        classes=classes_of(dataset),
        palette=[list(colour) for colour in palette_of(dataset)],
        changes=_changes(Path(cfg.filename or ''), described['config']),
        sources=sources_of(cfg),
        settings=flat_entries(described['config'] or {}),
        versions=described['versions'],
        seed=runner.seed,
    )
    if training:
        facts.iteration, facts.total = runner.iter, final_iteration(runner)
        facts.recipe = recipe(cfg)
    return facts


def note_costs(runner: Runner, facts: RunFacts, loader: Any) -> None:
    """What the model costs for an image of the size that it gets."""
    cfg = runner.cfg
    height, width = loader.dataset[0]['inputs'].shape[-2:]
    facts.size = [height, width]
    own = Config(dict(model=copy.deepcopy(cfg.model), default_scope=cfg.get('default_scope')))
    with suppress(UserError):  # a model of parts that cannot be counted
        costs = model_cost(own, (height, width))
        facts.costs = {part: [cost.parameters, cost.multiply_adds] for part, cost in costs.items()}


def recipe(cfg: Config) -> list[list[str]]:
    """What a training does with its data and its optimizer, by name."""
    found = [['recipe', cfg.recipe]] if cfg.get('recipe') else []
    for one in dicts(cfg.optim_wrapper):  # of several optimizers, each
        if 'optimizer' not in one:
            continue
        found.append(['optimizer', f'{name_of(one["optimizer"])}{_in_brackets(one["optimizer"])}'])
        if clip := one.get('clip_grad'):
            found.append(['gradients', f'clipped: {_arguments(clip)}'])
        if own := (one.get('paramwise_cfg') or {}).get('custom_keys'):
            rates = '; '.join(f'{part}: {_arguments(values)}' for part, values in own.items())
            found.append(['own rates', rates])
    for one in (part for part in dicts(cfg.get('param_scheduler')) if 'type' in part):
        found.append(['schedule', f'{name_of(one)}{_in_brackets(one)}'])
    found.append(['batch size', f'{cfg.train_dataloader.get("batch_size", 1)} per process'])
    if (rate := ((cfg.get('model') or {}).get('backbone') or {}).get('drop_path_rate')) is not None:
        found.append(['stochastic depth', f'{rate:g} at the last block' if rate else 'none'])
    found += [
        ['augmentation', f'{name_of(step)}{_in_brackets(step)}']
        for step in innermost(copy.deepcopy(cfg.train_dataloader))[1].get('pipeline') or ()
    ]
    found += [['hook', f'{name_of(hook)}{_in_brackets(hook)}'] for hook in cfg.get('custom_hooks') or ()]
    return found


def _arguments(part: Mapping[str, Any]) -> str:
    return ', '.join(f'{key} {_short(value)}' for key, value in part.items() if key != 'type')


def _in_brackets(part: Mapping[str, Any]) -> str:
    inside = _arguments(part)
    return f' ({inside})' if inside else ''


def _short(value: Any) -> str:
    text = f'{value:g}' if isinstance(value, float) else str(value)
    return text if len(text) <= 60 else f'{text[:57]}…'


def _changes(file: Path, described: dict[str, Any] | None) -> list[str]:
    """What the command line made of the config's file."""
    if described is None or not file.is_file():
        return []
    with suppress(Undescribable):  # such as a config that holds an object
        return sorted(changed_entries(describe(load_config(str(file))), described))
    return []


def _command() -> str:
    """As it was typed, on one line."""
    program, *arguments = sys.argv
    start = program.split() if program.startswith('vitdense ') else ['python', display_path(program)]
    return shlex.join([*start, *arguments])
