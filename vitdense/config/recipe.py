"""`--recipe NAME`: another published schedule, from `NAME_detector.py` or `NAME_segmentor.py`.

They lie in `configs/_base_/schedules/`. Optimizer, clipping, learning rates, length, validations and batch
size become those of the recipe. What belongs to the backbone stays: which parameters take no weight decay,
and the rate of stochastic depth.
"""

from pathlib import Path

from mmengine.config import Config

from ..errors import UserError
from .bundled import config_folder
from .sources import config_sources

KEY = 'recipe'  # of a config, where its name is noted
NEEDED = ('model', 'train_cfg', 'train_dataloader', 'optim_wrapper')
TAKEN = ('train_cfg', 'param_scheduler', 'auto_scale_lr')


def set_recipe(cfg: Config, name: str) -> None:
    """Put a published schedule in place of the config's own, in place.

    Raises:
        UserError: the config trains nothing, counts in epochs and the recipe in iterations, or has several
            optimizers.
    """
    if missing := [key for key in NEEDED if not cfg.get(key)]:
        raise UserError(f'--recipe {name}: expected a config of a training; this one has no {missing[0]}')
    # as plain data: a class that is assigned to a config is not dumped as text that reloads
    found = Config.fromfile(recipe_file(cfg, name)).to_dict()
    loops = [_unit(one) for one in (cfg.train_cfg, found['train_cfg'])]
    if loops[0] != loops[1]:
        raise UserError(f'--recipe {name}: counts in {loops[1]}; this config counts in {loops[0]}')
    if 'optimizer' not in cfg.optim_wrapper:
        raise UserError(f'--recipe {name}: expected a config with one optimizer')
    for key in TAKEN:
        cfg[key] = found[key]
    for key in ('optimizer', 'clip_grad'):
        cfg.optim_wrapper[key] = found['optim_wrapper'][key]
    cfg.train_dataloader.batch_size = found['batch_size']
    if checkpoint := (cfg.get('default_hooks') or {}).get('checkpoint'):
        # with the validations, so that the best one is kept
        checkpoint.update(interval=found['train_cfg']['val_interval'], by_epoch=loops[0] == 'epochs')
    cfg[KEY] = name


def recipe_file(cfg: Config, name: str) -> Path:
    """The fragment of a recipe for the kind of model that a config is of."""
    kind = 'segmentor' if 'decode_head' in cfg.model else 'detector'
    return config_folder() / '_base_' / 'schedules' / f'{name}_{kind}.py'


def sources_of(cfg: Config) -> list[list[str]]:
    """`config_sources` of a config's file, with a recipe's in place of the schedule's own."""
    sources = config_sources(cfg.filename or '')
    if not (name := cfg.get(KEY)):
        return sources
    file = recipe_file(cfg, name)
    kept = [[place, text] for place, text in sources if not place.startswith(f'{file.parent.name}/')]
    return [*kept, *([f'{file.parent.name}/{place}', text] for place, text in config_sources(file))]


def _unit(loop: dict) -> str:
    return 'iterations' if loop.get('max_iters') else 'epochs'
