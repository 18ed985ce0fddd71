"""`tools/test.py`: the scores of a checkpoint, at one setting or at several."""

import argparse
import contextlib
from pathlib import Path

from mmengine.dist import is_main_process

from ..config.settings import LOADERS
from ..console import make_console
from ..dials import Setting, sweep, table
from ..engine import work_dir
from ..engine.amp import autocast_here, predict_in_amp
from ..engine.compiled import compile_parts
from ..engine.faults import told
from ..engine.fuse import FuseHook
from ..engine.memory import keep_freed_memory
from ..engine.runner import VitdenseRunner
from ..engine.unwrap import unwrapped
from ..errors import UserError
from ..show.pictures import draw_predictions
from ..show.progress import ProgressHook, say_files
from .command import model_parser, prepare, run
from .processes import agreed, join


def test() -> None:
    """`tools/test.py`."""
    p = model_parser('Score a checkpoint on the validation images.')
    p.add_argument('checkpoint', help='.pth file of a training run')
    p.add_argument(
        '--dials',
        nargs='+',
        type=Setting.parse,
        metavar='SCALE:KEEP_RATE',
        help='SuperViT: score, multiply-adds and time at each of these settings, such as 1:1 1:0.7 4/7:0.5',
    )
    run(_test, p)


def _test(args: argparse.Namespace) -> None:
    keep_freed_memory()
    cfg = prepare(args, LOADERS[2:])
    if not Path(args.checkpoint).is_file():
        raise UserError(f'{args.checkpoint}: no such checkpoint file')
    cfg.load_from = args.checkpoint
    join(cfg, args.local_rank)
    cfg.work_dir = agreed(args.work_dir or str(work_dir.HOME / f'{Path(args.config).stem}-test'))

    console = make_console()
    runner = VitdenseRunner.from_cfg(cfg)
    runner.register_hook(FuseHook())
    if args.amp:
        predict_in_amp(unwrapped(runner), autocast_here())
    if args.compile:
        compile_parts(unwrapped(runner))
    progress = ProgressHook(console)
    runner.register_hook(progress)
    with contextlib.closing(progress), told(runner):
        if args.dials:
            console.print(table(list(sweep(runner, args.dials))))
        else:
            runner.test()
    if is_main_process():
        picture = Path(cfg.work_dir) / 'predictions.png'
        draw_predictions(runner, runner.test_dataloader.dataset, picture)
        say_files(console, {'predictions': picture, 'log': runner.logger.log_file})
