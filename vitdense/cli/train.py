"""`train`: a run from its preflight check to its pictures."""

import argparse
import contextlib
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import PreflightPassed, UserError
from ..garbage import collected_later
from .command import model_parser, place_data, prepare, read_data, run
from .launch import join
from .values import not_negative, positive, positive_number

if TYPE_CHECKING:
    from mmengine.config import Config

    from ..data.own_data import OwnData
    from ..engine.runner import VitdenseRunner


def main() -> None:
    p = model_parser(
        'Train a detector or a segmentor; at the end its checkpoint, its curves and its predictions.',
        'work_dirs/<config>, or -2, -3, …',
    )
    p.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='CHECKPOINT',
        help='resume an interrupted run: the newest of this config, or from a checkpoint',
    )
    p.add_argument(
        '--skip-not-finite',
        type=not_negative,
        metavar='N',
        help='skip the step of up to N losses or gradients that are not finite (default: stop at the first)',
    )
    p.add_argument(
        '--skip-unreadable',
        type=not_negative,
        metavar='N',
        help='skip up to N images that cannot be read (default: stop at the first)',
    )
    p.add_argument(
        '--init', metavar='CHECKPOINT', help='start from what fits of another training, or weights'
    )
    p.add_argument('--weights', metavar='FILE', help="the authors' released weights for the backbone")
    p.add_argument(
        '--recipe', choices=['emov2'], help="another published schedule in place of the config's own"
    )
    p.add_argument(
        '--freeze',
        type=not_negative,
        metavar='N',
        help='keep the first stages of the backbone as they are: 0 its stem, N its stem and N stages',
    )
    p.add_argument(
        '--epochs', type=positive, metavar='N', help='with --data: how often each image is trained on'
    )
    p.add_argument('--batch', type=positive, metavar='N', help='with --data: images of a training step')
    p.add_argument(
        '--augment',
        choices=['light', 'strong'],
        help="with --data: more that is drawn at random, in place of the config's own",
    )
    p.add_argument(
        '--dump-config', type=Path, metavar='FILE', help='with --data: write the config, and do not train'
    )
    p.add_argument(
        '--max-minutes',
        type=positive_number,
        metavar='M',
        help='fit the schedule to a time, of the whole command, and end within it with a validation',
    )
    p.add_argument(
        '--patience',
        type=positive,
        metavar='N',
        help='end the run when N validations in a row have brought no better score',
    )
    p.add_argument(
        '--ema', action='store_true', help='keep an average of the weights, and validate and save it'
    )
    p.add_argument(
        '--log',
        nargs='+',
        choices=['tensorboard', 'wandb', 'mlflow'],
        default=[],
        metavar='TRACKER',
        help='log to tensorboard, wandb or mlflow, too',
    )
    p.add_argument('--preflight', action='store_true', help='check the run, and do not start it')
    run(_train, p)


def _train(args: argparse.Namespace) -> None:
    with collected_later():
        from mmengine.dist import is_main_process

        from ..config.settings import LOADERS
        from ..console import make_console, say
        from ..engine.averaging import average_weights
        from ..engine.best import keep_best
        from ..engine.faults import faults_as_errors
        from ..engine.last_state import LastStateHook
        from ..engine.patience import set_patience
        from ..engine.precision import check_precision, compile_parts
        from ..engine.processes import on_main_process, unsharded, unwrapped
        from ..engine.resume import resume_from
        from ..engine.stop import StopHook
        from ..engine.time_limit import limit_time
        from ..engine.work_dir import new_work_dir, own_work_dir, record_config, resumed_run
        from ..memory import keep_freed_memory
        from ..preflight import PreflightHook
        from ..report.recorder import ReportHook
        from ..show.progress import ProgressHook
        from ..show.results import show_results, show_training_samples
        from ..show.trackers import add_trackers, require_trackers, trackers_open

        require_trackers(args.log)
        keep_freed_memory()
        data = read_data(args)
        cfg = prepare(args, LOADERS[:2], data)
    if args.weights:
        # batch norms keep their pretrained statistics, as in MMDetection's configs: few images per process
        cfg.model.backbone.update(init_cfg=dict(type='Released', checkpoint=args.weights), norm_eval=True)
    if args.init:
        # with --data the schedule asks whether the run began from weights; those that it resumes are its own
        if cfg.get('resume') or (args.resume and not data):
            raise UserError(
                '--init starts a new run from weights, --resume continues a run: expected one of them'
            )
        cfg.load_from = args.init
    if args.dump_config:
        _dump_config(args, cfg, data)
        return
    if args.amp:
        cfg.amp = check_precision(args.amp)
    for option in ('skip_not_finite', 'skip_unreadable'):
        if (count := getattr(args, option)) is not None:
            cfg[option] = count
    join(cfg, args.local_rank)
    name = Path(args.config).stem
    # what the config says, where the command line says nothing
    wanted = args.work_dir or own_work_dir(cfg)
    resume = args.resume or (cfg.get('load_from') or 'auto' if cfg.get('resume') else None)
    if resume:
        folder, checkpoint = on_main_process(lambda: resumed_run(wanted, name, resume, cfg.filename))
        resume_from(cfg, checkpoint)
    else:
        folder = on_main_process(lambda: new_work_dir(wanted, name))
    if is_main_process():
        record_config(folder, cfg.filename)
    cfg.work_dir = str(folder)
    if args.patience and not cfg.get('val_dataloader'):
        raise UserError('--patience counts validations, and the config has none')
    keep_best(cfg)
    add_trackers(cfg, [] if args.preflight else args.log)

    console = make_console()
    if data:
        place_data(cfg, data, folder / 'annotations', console)
    runner = _runner_class(cfg).from_cfg(cfg)
    if args.compile:
        compile_parts(unwrapped(runner))
    progress, stop, report = ProgressHook(console), StopHook(), ReportHook(console)
    samples = partial(show_training_samples, console=console) if not (args.sample or resume) else None
    if args.ema and not average_weights(runner):
        say(console, 'ema', "the config's own EMAHook stays")
    if args.patience and (replaced := set_patience(runner, args.patience)):
        say(console, 'patience', f'{args.patience} in place of {replaced}')
    if args.max_minutes:
        limit_time(runner, args.max_minutes)
    # of hooks alike in priority the first one registered is called first: the report, which counts the
    # iteration after which the run is stopped
    for hook in (progress, PreflightHook(console, args.preflight, samples), LastStateHook(), report, stop):
        runner.register_hook(hook)
    with trackers_open(runner):
        with (
            contextlib.closing(progress),
            report.recording(runner),
            stop.listening(),
            faults_as_errors(runner),
        ):
            try:
                runner.train()
            except PreflightPassed:
                return
        with unsharded(unwrapped(runner)):
            if not is_main_process():
                return
            dataset = runner.val_dataloader.dataset if runner.val_dataloader else None
            show_results(runner, console, dataset, trained=True)


def _dump_config(args: argparse.Namespace, cfg: 'Config', data: 'OwnData | None') -> None:
    from ..config.changes import config_of_changes
    from ..config.read import load_config
    from ..console import make_console, say

    file = args.dump_config
    if data is None:
        raise UserError('--dump-config goes with --data, of which it writes the config')
    if file.suffix != '.py' or file.exists():
        raise UserError(f'--dump-config {file}: expected the name of a new file, such as my_config.py')
    console = make_console()
    place_data(cfg, data, file.parent / f'{file.stem}_annotations', console)
    heading = f'{Path(args.config).stem} on {", ".join(map(str, args.data))}: `vitdense train {file}`.'
    file.write_text(config_of_changes(load_config(args.config), cfg, file, heading), encoding='utf-8')
    say(console, 'written', f'{file}, {file.stem}_annotations/')


def _runner_class(cfg: 'Config') -> 'type[VitdenseRunner]':
    if not cfg.get('shard'):
        from ..engine.runner import VitdenseRunner

        return VitdenseRunner
    from ..compat import SHARDING, has_torch

    if not has_torch(SHARDING):
        raise UserError(f'shard=True needs torch {SHARDING} or newer')
    from ..engine.sharded import ShardedRunner

    return ShardedRunner
