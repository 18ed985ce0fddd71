"""What the tools do with their command lines: arguments, preparation, a run, errors as one line."""

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from mmengine.config import Config, DictAction
from mmengine.dist import broadcast_object_list, init_dist, is_distributed, is_main_process

from .engine import config, work_dir
from .engine.amp import predict_in_amp, train_in_amp
from .engine.compiled import compile_parts
from .engine.console import make_console, quiet
from .engine.dial import Setting, sweep, table
from .engine.errors import OwnError, UserError
from .engine.faults import told
from .engine.finite import NotFinite
from .engine.lint import check_arguments
from .engine.memory import keep_freed_memory
from .engine.stop import StopHook, Stopped
from .engine.together import together
from .engine.unreadable import RECORD
from .engine.unwrap import unwrapped
from .engine.variant import set_arch

# What starts several processes, by launcher, and what it then sets in their environments.
STARTERS = {
    'pytorch': ('torchrun', 'RANK'),
    'slurm': ('srun', 'SLURM_PROCID'),
    'mpi': ('mpirun', 'OMPI_COMM_WORLD_RANK'),
}


def train() -> None:
    """`tools/train.py`."""
    p = _parser('Train a detector or a segmentor; at the end its checkpoint, its curves and its predictions.')
    p.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='CHECKPOINT',
        help='go on with an interrupted run: the newest of this config, or from a checkpoint',
    )
    p.add_argument(
        '--skip-not-finite',
        type=int,
        metavar='N',
        help='go on after up to N losses that are not finite, without a step (default: stop at the first)',
    )
    p.add_argument(
        '--skip-unreadable',
        type=int,
        metavar='N',
        help='go on without up to N images that cannot be read (default: stop at the first)',
    )
    p.add_argument('--weights', metavar='FILE', help="the authors' released weights for the backbone")
    p.add_argument('--preflight', action='store_true', help='look the run over, and do not begin it')
    _run(_train, p)


def test() -> None:
    """`tools/test.py`."""
    p = _parser('Score a checkpoint on the validation images.')
    p.add_argument('checkpoint', help='.pth file of a training run')
    p.add_argument(
        '--dials',
        nargs='+',
        type=Setting.parse,
        metavar='SCALE:KEEP_RATE',
        help='SuperViT: score, multiply-adds and time at each of these settings, such as 1:1 1:0.7 4/7:0.5',
    )
    _run(_test, p)


def complexity() -> None:
    """`tools/complexity.py`."""
    p = argparse.ArgumentParser(description='Parameters, multiply-adds and activations, by part.')
    p.add_argument('configs', nargs='+', metavar='config', help='configs/<head>_<backbone>.py')
    p.add_argument(
        '--size',
        nargs=2,
        type=int,
        metavar=('HEIGHT', 'WIDTH'),
        help='of the image (default: 800 1280 for detectors, 512 512 for segmentors)',
    )
    p.add_argument('--arch', metavar='NAME', help='another variant of the backbone')
    p.add_argument('--stages', action='store_true', help='the backbone by its stages')
    p.add_argument('--json', action='store_true', help='print JSON, in units, instead of a table')
    p.set_defaults(local_rank=0)
    _run(_complexity, p)


def benchmark() -> None:
    """`tools/benchmark.py`."""
    p = argparse.ArgumentParser(description='Times of models, in turns, and their ratios.')
    p.add_argument(
        'models',
        nargs='+',
        metavar='MODEL',
        help='BACKBONE:ARCH[,KEY=VALUE…], resnet50, swin_t, pvtv2_b2, timm:NAME, or a config',
    )
    p.add_argument(
        '--size',
        nargs=2,
        type=int,
        action='append',
        metavar=('HEIGHT', 'WIDTH'),
        help='of the image (default: 768 1280); more than once: also how much more the larger ones take',
    )
    p.add_argument('--batch', type=int, default=1, metavar='N')
    p.add_argument('--train', action='store_true', help='forward and backward, not the forward alone')
    p.add_argument(
        '--dtype', choices=['float32', 'bfloat16', 'float16'], default='float32', help='of autocast'
    )
    p.add_argument('--compile', action='store_true', help='through torch.compile')
    p.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu')
    p.add_argument('--threads', type=int, metavar='N', help='of the CPU (default: as torch has it)')
    p.add_argument(
        '--keep-memory',
        action='store_true',
        help='of the CPU, once it is freed, as tools/train.py and tools/test.py do',
    )
    p.add_argument('--rounds', type=int, default=7, metavar='N', help='that are counted')
    p.add_argument('--baseline', metavar='MODEL', help='that the ratios are to (default: the last)')
    p.add_argument('--data', metavar='CONFIG', help='also time the training pipeline of a config')
    p.add_argument('--sample', action='store_true', help='--data on the built-in drawn images')
    p.add_argument('--json', metavar='FILE', help='write everything that was measured')
    p.add_argument('--picture', metavar='FILE', help='latency against multiply-adds')
    p.set_defaults(local_rank=0)
    _run(_benchmark, p)


def check_data() -> None:
    """`tools/check_data.py`."""
    p = _data_parser('Check the files that a config trains and validates on; exit code 1 if any is at fault.')
    p.set_defaults(arch=None, launcher='none', local_rank=0)
    _run(_check_data, p)


def convert() -> None:
    """`tools/convert.py`."""
    p = argparse.ArgumentParser(description='Write the weights of a checkpoint as safetensors.')
    p.add_argument('source', help='.pth file of a training run, or of the authors')
    p.add_argument('target', help='.safetensors file to write')
    p.add_argument(
        '--trust',
        action='store_true',
        help='unpickle what may execute code, in a process of its own; only if you know who made the file',
    )
    p.set_defaults(local_rank=0)
    _run(_convert, p)


def _train(args: argparse.Namespace) -> None:
    keep_freed_memory()
    cfg = _prepare(args, config.LOADERS[:2])
    if args.weights:
        # batch norms keep their pretrained statistics, as in MMDetection's configs: few images a process
        cfg.model.backbone.update(init_cfg=dict(type='Released', checkpoint=args.weights), norm_eval=True)
    if args.amp:
        train_in_amp(cfg)
    for option in ('skip_not_finite', 'skip_unreadable'):
        if (count := getattr(args, option)) is None:
            continue
        if count < 0:
            raise UserError(f'--{option.replace("_", "-")} {count}: expected 0 or more')
        cfg[option] = count
    _join(cfg)
    name = Path(args.config).stem
    if args.resume:
        folder, checkpoint = work_dir.resumed_run(args.work_dir, name, args.resume)
        cfg.resume, cfg.load_from = True, str(checkpoint)
    else:
        folder = work_dir.new_work_dir(args.work_dir, name)
    cfg.work_dir = _agreed(str(folder))

    console = make_console()
    from .engine.preflight import Checked, PreflightHook
    from .engine.progress import ProgressHook, say_files
    from .engine.report import draw_curves, draw_predictions
    from .engine.runner import VitdenseRunner
    from .engine.sharded import ShardedRunner

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
        files['predictions'] = folder / 'predictions.png'
        draw_predictions(runner, runner.val_dataloader.dataset, files['predictions'])
        if (record := folder / RECORD).exists():
            files['unreadable'] = record
        say_files(console, files | {'log': runner.logger.log_file})


def _test(args: argparse.Namespace) -> None:
    keep_freed_memory()
    cfg = _prepare(args, config.LOADERS[2:])
    if not Path(args.checkpoint).is_file():
        raise UserError(f'{args.checkpoint}: no such checkpoint file')
    cfg.load_from = args.checkpoint
    _join(cfg)
    cfg.work_dir = _agreed(args.work_dir or str(work_dir.HOME / f'{Path(args.config).stem}-test'))

    console = make_console()
    from .engine.fuse import FuseHook
    from .engine.progress import ProgressHook, say_files
    from .engine.report import draw_predictions
    from .engine.runner import VitdenseRunner

    runner = VitdenseRunner.from_cfg(cfg)
    runner.register_hook(FuseHook())
    if args.amp:
        predict_in_amp(unwrapped(runner))
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


def _complexity(args: argparse.Namespace) -> None:
    from .complexity import model_cost, table

    if args.size and min(args.size) < 1:
        raise UserError(f'--size {args.size[0]} {args.size[1]}: expected pixels, 1 or more')
    costs = {}
    for path in args.configs:
        cfg = config.load_config(path)
        if args.arch:
            set_arch(cfg, args.arch)
        costs[Path(path).stem] = model_cost(cfg, args.size, args.stages)
    if args.json:
        parts = {
            name: {part: cost._asdict() for part, cost in parts.items()} for name, parts in costs.items()
        }
        make_console().print_json(json.dumps(parts))
    else:
        make_console().print(table(costs))


def _benchmark(args: argparse.Namespace) -> None:
    from .benchmark import report
    from .benchmark.contestants import Setting
    from .benchmark.loading import loading
    from .benchmark.measure import measure

    baseline = args.baseline or args.models[-1]
    if baseline not in args.models:
        raise UserError(f'--baseline {baseline}: is none of the models: {", ".join(args.models)}')
    for option in ('batch', 'rounds', 'threads'):
        if getattr(args, option) is not None and getattr(args, option) < 1:
            raise UserError(f'--{option} {getattr(args, option)}: expected 1 or more')
    kept = args.keep_memory and keep_freed_memory()
    data = config.load_config(args.data) if args.data else None
    if args.sample and data:
        _use_sample(data)
    if args.threads:
        torch.set_num_threads(args.threads)
    device, dtype = torch.device(args.device), getattr(torch, args.dtype)
    settings = [
        Setting(args.batch, tuple(size), device, dtype, args.train, args.compile, kept)
        for size in args.size or [(768, 1280)]
    ]
    found = measure(args.models, settings, args.rounds, baseline)
    console = make_console()
    for result in found:
        console.print(report.table(result))
    if len(found) > 1:
        console.print(report.growth(found))
    fed = loading(data)._asdict() if data else {}
    if data:
        console.print(report.busy(found[0], fed))
    if args.json:
        Path(args.json).write_text(json.dumps(dict(runs=found, data=fed), indent=2))
    if args.picture:
        report.draw(found, args.picture)


def _convert(args: argparse.Namespace) -> None:
    from .checkpoint import Refused
    from .convert import convert

    try:
        weights = convert(args.source, args.target, args.trust)
    except Refused as error:
        raise UserError(f'{error}; --trust executes it, in a process of its own') from error
    except (OSError, ValueError) as error:
        raise UserError(str(error)) from error
    numbers = sum(tensor.numel() for tensor in weights.values())
    make_console().print(f'{args.target}: {len(weights)} tensors, {numbers / 1e6:.1f} M numbers')


def _check_data(args: argparse.Namespace) -> None:
    cfg = _prepare(args, ())
    from .data_check import check_config

    if not check_config(cfg, make_console()):
        sys.exit(1)


def _parser(description: str) -> argparse.ArgumentParser:
    """The arguments that all tools that run a model share."""
    p = _data_parser(description)
    p.add_argument('--arch', metavar='NAME', help='another variant of the backbone')
    p.add_argument('--work-dir', metavar='DIR', help='where results go (default: work_dirs/<config>)')
    p.add_argument('--amp', action='store_true', help='mixed precision: bfloat16 on a CPU, float16 on a GPU')
    p.add_argument('--compile', action='store_true', help='backbone and neck through torch.compile')
    p.add_argument('--launcher', choices=['none', *STARTERS], default='none')
    p.add_argument('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)
    return p


def _data_parser(description: str) -> argparse.ArgumentParser:
    """A config and its data: the arguments that all the tools share."""
    p = argparse.ArgumentParser(description=description)
    p.add_argument('config', help='configs/<head>_<backbone>.py')
    p.add_argument('--sample', action='store_true', help='run on the built-in drawn images')
    p.add_argument('--data-root', metavar='DIR', help='where the data is')
    p.add_argument(
        '--cfg-options',
        nargs='+',
        type=_key_value,
        action=DictAction,
        default={},
        metavar='KEY=VALUE',
        help='overwrite entries of the config, such as train_dataloader.batch_size=4',
    )
    return p


def _key_value(text: str) -> str:
    if '=' not in text.lstrip('='):
        raise UserError(f'--cfg-options {text}: expected KEY=VALUE')
    return text


def _run(main: Callable[[argparse.Namespace], None], p: argparse.ArgumentParser) -> None:
    """Parse, run; what the user can mend is one line on the error stream and exit code 2."""
    # whatever loads a torch file from here on, also MMEngine, executes nothing from it
    os.environ['TORCH_FORCE_WEIGHTS_ONLY_LOAD'] = '1'
    os.environ.pop('TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD', None)
    try:
        try:
            args = p.parse_args()
        except AssertionError as error:  # MMEngine's parser of lists
            raise UserError(f'--cfg-options: {error}') from error
        os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
        with quiet():
            main(args)
    except UserError as error:
        if os.environ.get('RANK', '0') == '0' or isinstance(error, OwnError):
            print(f'error: {error}', file=sys.stderr)
        sys.exit(2)
    except NotFinite as error:
        print(f'error: {error}', file=sys.stderr)
        sys.exit(3)
    except Stopped as stop:
        if os.environ.get('RANK', '0') == '0':
            print(f'{stop}; --resume goes on', file=sys.stderr)
        sys.exit(stop.code)
    except KeyboardInterrupt:
        sys.exit(130)  # what a shell calls Ctrl-C


def _prepare(args: argparse.Namespace, loaders: tuple[str, ...]) -> Config:
    """The config as the command line wants it, with the data that it names found."""
    cfg = config.load_config(args.config)
    if args.arch:
        set_arch(cfg, args.arch)
    if args.sample:
        _use_sample(cfg)
    options = dict(args.cfg_options)
    root = args.data_root or options.pop('data_root', None)
    if root:
        config.point_data_at(cfg, root)
    config.overwrite(cfg, options)
    check_arguments(cfg)
    config.check_data(cfg, loaders)
    cfg.launcher = args.launcher
    return cfg


def _use_sample(cfg: Config) -> None:
    from .sample.swap import swap_in

    try:
        swap_in(cfg)
    except OSError as error:  # nowhere to draw to
        raise UserError(str(error)) from error


def _join(cfg: Config) -> None:
    """Start the processes' communication, on gloo where there is no GPU."""
    if cfg.launcher == 'none' or is_distributed():
        return
    starter, variable = STARTERS[cfg.launcher]
    if variable not in os.environ:
        raise UserError(f'--launcher {cfg.launcher}: ${variable} is not set; start the tool with {starter}')
    if torch.cuda.is_available():
        init_dist(cfg.launcher, **cfg.env_cfg.dist_cfg)
        return
    # MMEngine's `init_dist` chooses a GPU before it starts anything, and so does its model wrapper
    if cfg.launcher != 'pytorch':
        raise UserError(f'--launcher {cfg.launcher} needs GPUs; without: torchrun and --launcher pytorch')
    cfg.env_cfg.dist_cfg.backend = 'gloo'
    cfg.pop('sync_bn', None)  # torch's synchronised batch norm is for GPUs
    torch.distributed.init_process_group('gloo')
    cfg.model_wrapper_cfg = dict(
        type='MMDistributedDataParallel',
        device_ids=None,
        broadcast_buffers=False,
        find_unused_parameters=cfg.get('find_unused_parameters', False),
    )


def _agreed(text: str) -> str:
    """The main process's choice, on all."""
    texts = [text]
    broadcast_object_list(texts)
    return texts[0]
