"""`test`: the scores of a checkpoint, at one setting of its dials or at several."""

import argparse
import contextlib
from pathlib import Path

from ..errors import UserError
from ..garbage import collected_later
from .command import model_parser, place_data, prepare, read_data, run
from .launch import join


def main() -> None:
    p = model_parser(
        'Score a checkpoint on the validation images.',
        'work_dirs/<config>-test, or -2, -3, …',
        described=True,
    )
    p.add_argument('checkpoint', help='.pth file of a training run, its work dir, or an exported file')
    p.add_argument(
        '--dials',
        nargs='*',
        metavar='SCALE:KEEP_RATE',
        help='SuperViT: score, multiply-adds and time at each of these settings, such as 1:1 1:0.7 4/7:0.5 '
        '(default: all that its training drew from); after the checkpoint',
    )
    run(_test, p)


def _test(args: argparse.Namespace) -> None:
    with collected_later():
        from mmengine.dist import is_main_process

        from ..config.settings import LOADERS
        from ..console import make_console
        from ..dials import DialSetting, dials_table, sweep
        from ..engine.faults import faults_as_errors
        from ..engine.precision import FuseHook, check_precision, compile_parts
        from ..engine.processes import on_main_process, unwrapped
        from ..engine.runner import VitdenseRunner
        from ..engine.work_dir import new_test_dir
        from ..exported.model import ExportedFile, described, run_by
        from ..exported.runtimes import is_exported
        from ..memory import keep_freed_memory
        from ..preflight import PreflightHook
        from ..report.recorder import ReportHook
        from ..show.progress import ProgressHook
        from ..show.results import show_results

        keep_freed_memory()
        dials = [DialSetting.parse(text) for text in args.dials or ()]
        args.checkpoint = str(_checkpoint(args))
        exported = ExportedFile.read(args.checkpoint) if is_exported(args.checkpoint) else None
        data = read_data(args)
        cfg = prepare(args, LOADERS[2:], data)
    cfg.load_from = None if exported else args.checkpoint
    if args.amp:
        cfg.amp = check_precision(args.amp)
    join(cfg, args.local_rank)
    folder = on_main_process(lambda: new_test_dir(args.work_dir, Path(cfg.filename).stem))
    cfg.work_dir = str(folder)

    console = make_console()
    if data:
        place_data(cfg, data, folder / 'annotations', console)
    runner = VitdenseRunner.from_cfg(cfg)
    if exported:
        run_by(unwrapped(runner), exported)
        runner.exported, runner.loaded_meta = exported, described(exported)['meta']
    runner.register_hook(FuseHook())
    if args.compile:
        compile_parts(unwrapped(runner))
    progress, report = ProgressHook(console), ReportHook(console)
    for hook in (progress, PreflightHook(console), report):
        runner.register_hook(hook)
    with contextlib.closing(progress), report.recording(runner), faults_as_errors(runner):
        if args.dials is not None:
            results = sweep(runner, dials)
            report.note_dials(results)
            console.print(dials_table(results))
        else:
            runner.test()
    if is_main_process():
        show_results(runner, console, runner.test_dataloader.dataset)


def _checkpoint(args: argparse.Namespace) -> Path:
    from ..config.bundled import bundled_config
    from ..engine.work_dir import trained_model
    from ..exported.runtimes import is_exported

    if is_exported(args.checkpoint):
        options = dict(config=args.config, amp=args.amp, compile=args.compile, dials=args.dials)
        if given := [name for name, value in options.items() if value or value == []]:
            raise UserError(
                f'{args.checkpoint}: an exported file is tested as it is, without {", ".join(given)}'
            )
        return Path(args.checkpoint)
    if args.config is None and (args.checkpoint.endswith('.py') or bundled_config(args.checkpoint)):
        raise UserError(f'test {args.checkpoint}: expected a checkpoint, which comes after the config')
    return trained_model(args.checkpoint)
