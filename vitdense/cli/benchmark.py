"""`benchmark`: what models cost, measured."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UserError
from .command import make_parser, run
from .values import positive

if TYPE_CHECKING:
    import torch


def main() -> None:
    p = make_parser('Times of models, measured in turns, and their ratios.')
    p.add_argument(
        'models',
        nargs='+',
        metavar='MODEL',
        help='BACKBONE:ARCH[,KEY=VALUE…], resnet50, swin_t, pvtv2_b2, timm:NAME, a config, or an exported '
        'file: .onnx, or .xml of OpenVINO',
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
    p.add_argument('--fuse', action='store_true', help='batch norms folded first, as test and exports do')
    p.add_argument('--device', help='cpu, cuda or cuda:N (default: a GPU, if there is one)')
    p.add_argument('--threads', type=positive, metavar='N', help='of the CPU (default: as torch has it)')
    p.add_argument(
        '--keep-memory',
        action='store_true',
        help='keep freed memory of the CPU, as train and test do',
    )
    p.add_argument('--rounds', type=positive, default=7, metavar='N', help='rounds that are counted')
    p.add_argument('--baseline', metavar='MODEL', help='model of ratio 1 (default: the last)')
    p.add_argument('--json', metavar='FILE', help='write everything that was measured')
    p.add_argument('--picture', metavar='FILE', help='latency against multiply-adds')
    run(_benchmark, p)


def _benchmark(args: argparse.Namespace) -> None:
    baseline = args.baseline or args.models[-1]
    if baseline not in args.models:
        raise UserError(f'--baseline {baseline}: is none of the models: {", ".join(args.models)}')

    if args.fuse and args.train:
        raise UserError('--fuse --train: folded batch norms cannot be trained; leave one of them out')

    import torch

    from ..benchmark import results
    from ..benchmark.measure import measure
    from ..benchmark.setting import RunSetting
    from ..console import make_console, say
    from ..memory import keep_freed_memory

    _check_outputs(args)
    kept = args.keep_memory and keep_freed_memory()
    if args.threads:
        torch.set_num_threads(args.threads)
    device, dtype = _device(args.device), getattr(torch, args.dtype)
    settings = [
        RunSetting(args.batch, tuple(size), device, dtype, args.train, args.compile, args.fuse, kept)
        for size in args.size or [(768, 1280)]
    ]
    found = measure(args.models, settings, args.rounds, baseline)
    console = make_console()
    for result in found:
        console.print(results.times_table(result))
    if len(found) > 1:
        console.print(results.scaling_table(found))
    if not all(result['quiet'] for result in found):
        say(console, 'load', 'warning: other processes ran beside; measure again alone', 'bold yellow')
    if args.picture:
        results.draw(found, args.picture)
    if args.json:
        Path(args.json).write_text(json.dumps(dict(runs=found), indent=2))


def _check_outputs(args: argparse.Namespace) -> None:
    """Before anything is measured."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    from ..exported.runtimes import is_exported

    for option in ('json', 'picture'):
        if (path := getattr(args, option)) and not Path(path).absolute().parent.is_dir():
            raise UserError(f'--{option} {path}: there is no such folder')
    formats = [f'.{suffix}' for suffix in FigureCanvasAgg.get_supported_filetypes()]
    if args.picture and Path(args.picture).suffix not in formats:
        raise UserError(f'--picture {args.picture}: expected a name that ends in one of {", ".join(formats)}')
    if args.picture and all(is_exported(name) for name in args.models):
        raise UserError(f'--picture {args.picture}: needs a model; the multiply-adds of a file are not known')


def _device(name: str | None) -> 'torch.device':
    import torch

    name = name or ('cuda' if torch.cuda.is_available() else 'cpu')
    try:
        return torch.zeros(1, device=name).device
    except (AssertionError, RuntimeError) as error:
        raise UserError(f'--device {name}: {str(error).splitlines()[0]}') from error
