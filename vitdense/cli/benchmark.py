"""`tools/benchmark.py`: what models cost, measured."""

import argparse
import json
from pathlib import Path

import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from mmengine.config import Config

from ..benchmark import report
from ..benchmark.contestants import Setting
from ..benchmark.loading import loading
from ..benchmark.measure import measure
from ..config import read as config
from ..config.settings import LOADERS
from ..console import make_console
from ..engine.memory import keep_freed_memory
from ..errors import UserError
from .command import positive, run, use_sample


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
        type=positive,
        action='append',
        metavar=('HEIGHT', 'WIDTH'),
        help='of the image (default: 768 1280); more than once: also how much more the larger ones take',
    )
    p.add_argument('--batch', type=positive, default=1, metavar='N')
    p.add_argument('--train', action='store_true', help='forward and backward, not the forward alone')
    p.add_argument(
        '--dtype', choices=['float32', 'bfloat16', 'float16'], default='float32', help='of autocast'
    )
    p.add_argument('--compile', action='store_true', help='through torch.compile')
    p.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu')
    p.add_argument('--threads', type=positive, metavar='N', help='of the CPU (default: as torch has it)')
    p.add_argument(
        '--keep-memory',
        action='store_true',
        help='of the CPU, once it is freed, as tools/train.py and tools/test.py do',
    )
    p.add_argument('--rounds', type=positive, default=7, metavar='N', help='that are counted')
    p.add_argument('--baseline', metavar='MODEL', help='that the ratios are to (default: the last)')
    p.add_argument('--data', metavar='CONFIG', help='also time the training pipeline of a config')
    p.add_argument('--sample', action='store_true', help='--data on the built-in drawn images')
    p.add_argument('--json', metavar='FILE', help='write everything that was measured')
    p.add_argument('--picture', metavar='FILE', help='latency against multiply-adds')
    run(_benchmark, p)


def _benchmark(args: argparse.Namespace) -> None:
    baseline = args.baseline or args.models[-1]
    if baseline not in args.models:
        raise UserError(f'--baseline {baseline}: is none of the models: {", ".join(args.models)}')
    _check_outputs(args)
    kept = args.keep_memory and keep_freed_memory()
    data = _data(args)
    if args.threads:
        torch.set_num_threads(args.threads)
    device, dtype = _device(args.device), getattr(torch, args.dtype)
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
    if args.picture:
        report.draw(found, args.picture)
    _write(args.json, found, {})
    if data:
        fed = loading(data)._asdict()
        console.print(report.busy(found[0], fed))
        _write(args.json, found, fed)


def _write(path: str | None, runs: list[dict], data: dict) -> None:
    if path:
        Path(path).write_text(json.dumps(dict(runs=runs, data=data), indent=2))


def _check_outputs(args: argparse.Namespace) -> None:
    """Before the race, after which it would be a pity."""
    for option in ('json', 'picture'):
        if (path := getattr(args, option)) and not Path(path).absolute().parent.is_dir():
            raise UserError(f'--{option} {path}: there is no such folder')
    formats = [f'.{suffix}' for suffix in FigureCanvasAgg.get_supported_filetypes()]
    if args.picture and Path(args.picture).suffix not in formats:
        raise UserError(f'--picture {args.picture}: expected a name that ends in one of {", ".join(formats)}')


def _data(args: argparse.Namespace) -> Config | None:
    if not args.data:
        if args.sample:
            raise UserError('--sample: is for the data of --data CONFIG')
        return None
    data = config.load_config(args.data)
    if args.sample:
        use_sample(data)
    config.check_data(data, LOADERS[:1])
    return data


def _device(name: str) -> torch.device:
    try:
        return torch.zeros(1, device=name).device
    except (AssertionError, RuntimeError) as error:
        raise UserError(f'--device {name}: {str(error).splitlines()[0]}') from error
