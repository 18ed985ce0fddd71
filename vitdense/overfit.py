"""Can a config overfit? It is trained on eight images, of the sample or one's own, until it has fitted them.

A network with a dead branch, shifted features or a wrong normalization does not get far, whatever its loss
does. The eight images are not augmented, and are scored themselves.
"""

import json
import tempfile
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner
from rich.console import Console
from rich.table import Table

from .config.drop_path import keep_every_path
from .config.read import load_config
from .config.settings import LOADERS
from .config.tree import innermost, name_of, set_annotations
from .console import quiet, say
from .data.formats.records import Record
from .data.own_data import name_files, read_own_data, use_own_data, write_own_data
from .data.sample import SIZE
from .data.sample.use import use_sample_data
from .data.scratch import BATCH, Schedule, initialize_heads, set_schedule
from .memory import keep_freed_memory

IMAGES = 8
ITERATIONS = 400
FIRST, EVERY = 100, 50  # validations, in iterations
LEARNING_RATE = 5e-4
AUGMENTATIONS = ('RandomFlip', 'RandomCrop', 'PhotoMetricDistortion')
DIALS = ('scales', 'keep_rates')  # of SuperViT, from which training draws

# What has to be reached, by the name that MMDetection's and MMSegmentation's metrics give it.
GOALS = {
    'bbox_mAP_50': 0.9,
    'segm_mAP_50': 0.85,
    'mIoU': 85.0,
}


class Own(NamedTuple):
    """Images of one's own, as `--data` names them."""

    folders: list[Path]
    classes: list[str] | None = None
    size: int | None = None


class Fit(NamedTuple):
    """The result of a config."""

    scores: Mapping[str, float]
    """Those that have a goal, at the end."""
    iterations: int
    minutes: float
    error: str = ''

    @property
    def fitted(self) -> bool:
        return bool(self.scores) and all(value >= GOALS[name] for name, value in self.scores.items())


class _StopWhenFitted(Hook):
    """Ends a training as soon as every goal is reached."""

    def __init__(self) -> None:
        self.fit = Fit({}, 0, 0.0)

    def after_val_epoch(self, runner: Runner, metrics: Mapping[str, float] | None = None) -> None:
        scores = {name.split('/')[-1]: value for name, value in (metrics or {}).items()}
        self.fit = Fit({name: scores[name] for name in GOALS if name in scores}, runner.iter, 0.0)
        runner.train_loop.stop_training = self.fit.fitted


def fit(path: str, own: Own | None = None) -> Fit:
    """Train one config on eight images, in a folder that is removed afterwards."""
    from .engine.runner import VitdenseRunner

    keep_freed_memory()
    start = time.monotonic()
    with quiet(), tempfile.TemporaryDirectory() as folder:
        cfg = load_config(path)
        cfg.work_dir = folder
        if own:
            use_eight_of(own, cfg, Path(folder))
        else:
            use_eight_of_sample(cfg, Path(folder))
        narrow(cfg)
        runner = VitdenseRunner.from_cfg(cfg)
        stop = _StopWhenFitted()
        runner.register_hook(stop)
        runner.train()
    return stop.fit._replace(minutes=(time.monotonic() - start) / 60)


def use_eight_of_sample(cfg: Config, folder: Path) -> None:
    """Put eight images of the sample in place of a config's data, in place."""
    use_sample_data(cfg)
    train = cfg.train_dataloader.dataset
    if 'size' in cfg.model.data_preprocessor:  # of a crop, until now
        cfg.model.data_preprocessor.size = (SIZE, SIZE)
        cfg.train_dataloader.batch_size //= 2
    if 'ann_file' in train:
        few: dict[str, Any] = dict(ann_file=_eight(Path(train.data_root, train.ann_file), folder))
        set_annotations([cfg.val_evaluator, cfg.test_evaluator], few['ann_file'])
    else:
        few = dict(indices=IMAGES)
    for loader in LOADERS:
        cfg[loader].dataset.update(few, data_prefix=train.data_prefix)


def use_eight_of(own: Own, cfg: Config, folder: Path) -> None:
    """Put eight images of one's own in place of a config's data, in place: those that show most classes.

    Raises:
        UserError: as `read_own_data` and `use_own_data` do.
    """
    data = read_own_data(own.folders, own.classes)
    few: list[Record] = []
    seen: set[int] = set()
    shown = [one for one in data.found.splits['train'] if one.instances or one.label_map]
    while shown and len(few) < IMAGES:
        best = max(shown, key=lambda record: len({one.label for one in record.instances} - seen))
        shown.remove(best)
        few.append(best)
        seen |= {one.label for one in best.instances}
    data.found.splits = dict(train=few, val=few)
    use_own_data(cfg, data, own.size, None)
    initialize_heads(cfg)
    set_schedule(cfg, Schedule(batch=min(BATCH, len(few)), iterations=ITERATIONS), EVERY)
    if 'size' in cfg.model.data_preprocessor:  # of a crop, until now: images of a batch are padded alike
        cfg.model.data_preprocessor.update(size=None, size_divisor=32)
    name_files(cfg, write_own_data(data, folder))


def narrow(cfg: Config) -> None:
    """Reduce a config on eight images to what fits them fastest: nothing drawn by chance, in place."""
    train = innermost(cfg.train_dataloader)[1]
    train['pipeline'] = [step for step in train['pipeline'] if name_of(step) not in AUGMENTATIONS]
    for step in train['pipeline']:
        if 'ratio_range' in step:
            step['ratio_range'] = (1.0, 1.0)
    for dial in DIALS:
        cfg.model.backbone.pop(dial, None)
    keep_every_path(cfg)
    cfg.train_cfg.update(max_iters=ITERATIONS, val_begin=FIRST, val_interval=EVERY)
    cfg.optim_wrapper.optimizer.lr = LEARNING_RATE
    cfg.param_scheduler[-1].end = ITERATIONS
    cfg.default_hooks.checkpoint.update(interval=ITERATIONS, save_last=False)


def _eight(annotations: Path, folder: Path) -> str:
    """The annotations of the first eight images that have something on them, in a file of their own."""
    whole = json.loads(annotations.read_text())
    shown = {annotation['image_id'] for annotation in whole['annotations'] if not annotation['iscrowd']}
    images = [image for image in whole['images'] if image['id'] in shown][:IMAGES]
    kept = {image['id'] for image in images}
    whole['images'] = images
    whole['annotations'] = [a for a in whole['annotations'] if a['image_id'] in kept]
    path = folder / 'eight.json'
    path.write_text(json.dumps(whole))
    return str(path)


def fit_all(paths: Iterable[str], console: Console, own: Own | None = None) -> bool:
    """Fit one config after another; a line for each as it ends, then a table.

    Returns:
        whether all have reached their goals.
    """
    fits = {}
    for path in paths:
        # a process for each: one that fails does not end the others, and none sees what another registers
        with ProcessPoolExecutor(1, mp_context=get_context('spawn')) as process:
            try:
                fits[path] = process.submit(fit, path, own).result()
            except Exception as error:  # whatever a config can do
                fits[path] = Fit({}, 0, 0.0, error=f'{type(error).__name__}: {error}')
        say(console, Path(path).stem, _line(fits[path]), style='', width=24)
    table = Table(title=f'fitted to {IMAGES} images within {ITERATIONS} iterations', title_justify='left')
    for column in ('config', *GOALS, 'iterations', 'minutes', 'fitted'):
        table.add_column(column.replace('_', ' '), justify='left' if column == 'config' else 'right')
    for path, result in fits.items():
        scores = (f'{result.scores[name]:.3g}' if name in result.scores else '' for name in GOALS)
        end = str(result.iterations), f'{result.minutes:.1f}', 'yes' if result.fitted else 'NO'
        table.add_row(Path(path).stem, *scores, *end)
    console.print(table)
    return all(result.fitted for result in fits.values())


def _line(result: Fit) -> str:
    if result.error:
        return result.error
    scores = ', '.join(f'{name.replace("_", " ")} {value:.3g}' for name, value in result.scores.items())
    verdict = 'fitted' if result.fitted else 'NOT FITTED'
    return f'{verdict}: {scores} after {result.iterations} iterations, {result.minutes:.1f} min'
