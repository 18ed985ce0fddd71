"""`tools/train.py`: a run from its look at itself to its pictures."""

import argparse
import contextlib
from pathlib import Path

from mmengine.dist import is_main_process

from ..config.settings import LOADERS
from ..console import make_console
from ..data.unreadable import RECORD
from ..engine import work_dir
from ..engine.amp import train_in_amp
from ..engine.compiled import compile_parts
from ..engine.faults import told
from ..engine.memory import keep_freed_memory
from ..engine.resumed import go_on
from ..engine.runner import VitdenseRunner
from ..engine.sharded import ShardedRunner
from ..engine.stop import StopHook
from ..engine.together import together
from ..engine.unwrap import unwrapped
from ..preflight import Checked, PreflightHook
from ..show.pictures import draw_curves, draw_predictions
from ..show.progress import ProgressHook, say_files
from .command import model_parser, not_negative, prepare, run
from .processes import agreed, join


def train() -> None:
    """`tools/train.py`."""
    p = model_parser(
        'Train a detector or a segmentor; at the end its checkpoint, its curves and its predictions.'
    )
    p.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='CHECKPOINT',
        help='go on with an interrupted run: the newest of this config, or from a checkpoint',
    )
    p.add_argument(
        '--skip-not-finite',
        type=not_negative,
        metavar='N',
        help='go on after up to N losses or gradients that are not finite, without a step (default: 0)',
    )
    p.add_argument(
        '--skip-unreadable',
        type=not_negative,
        metavar='N',
        help='go on without up to N images that cannot be read (default: stop at the first)',
    )
    p.add_argument('--weights', metavar='FILE', help="the authors' released weights for the backbone")
    p.add_argument('--preflight', action='store_true', help='look the run over, and do not begin it')
    run(_train, p)


def _train(args: argparse.Namespace) -> None:
    keep_freed_memory()
    cfg = prepare(args, LOADERS[:2])
    if args.weights:
        # batch norms keep their pretrained statistics, as in MMDetection's configs: few images a process
        cfg.model.backbone.update(init_cfg=dict(type='Released', checkpoint=args.weights), norm_eval=True)
    if args.amp:
        train_in_amp(cfg)
    for option in ('skip_not_finite', 'skip_unreadable'):
        if (count := getattr(args, option)) is not None:
            cfg[option] = count
    join(cfg, args.local_rank)
    name = Path(args.config).stem
    if args.resume:
        folder, checkpoint = work_dir.resumed_run(args.work_dir, name, args.resume)
        go_on(cfg, checkpoint)
    else:
        folder = work_dir.new_work_dir(args.work_dir, name)
    cfg.work_dir = agreed(str(folder))

    console = make_console()
    runner = (ShardedRunner if cfg.get('shard') else VitdenseRunner).from_cfg(cfg)
    if args.compile:
        compile_parts(unwrapped(runner))
    progress, stop = ProgressHook(console), StopHook()
    for hook in (progress, PreflightHook(console, alone=args.preflight), stop):
        runner.register_hook(hook)
    with contextlib.closing(progress), stop.listening(), told(runner):
        try:
            runner.train()
        except Checked:
            return
    with together(unwrapped(runner)):
        if not is_main_process():
            return
        folder = Path(cfg.work_dir)
        files = {'curves': folder / 'curves.png'}
        if checkpoint := work_dir.last_checkpoint(folder):  # a config may save none
            files = {'checkpoint': checkpoint} | files
        draw_curves(folder, files['curves'])
        if runner.val_dataloader:
            files['predictions'] = folder / 'predictions.png'
            draw_predictions(runner, runner.val_dataloader.dataset, files['predictions'])
        if (record := folder / RECORD).exists():
            files['unreadable'] = record
        say_files(console, files | {'log': runner.logger.log_file})
