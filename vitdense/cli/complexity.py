"""`complexity`: what models cost, counted."""

import argparse
import json
from pathlib import Path

from .command import make_parser, run
from .values import positive


def main() -> None:
    p = make_parser('Parameters, multiply-adds and activations, by part.')
    p.add_argument('configs', nargs='+', metavar='config', help='configs/<head>_<backbone>.py')
    p.add_argument(
        '--size',
        nargs=2,
        type=positive,
        metavar=('HEIGHT', 'WIDTH'),
        help='of the image (default: 800 1280 for detectors, 512 512 for segmentors)',
    )
    p.add_argument('--arch', metavar='NAME', help='another variant of the backbone')
    p.add_argument('--stages', action='store_true', help='the backbone by its stages')
    p.add_argument('--json', action='store_true', help='print JSON, in units, instead of a table')
    run(_complexity, p)


def _complexity(args: argparse.Namespace) -> None:
    from ..complexity import cost_table, model_cost
    from ..config.lint import check_arguments
    from ..config.read import load_config
    from ..config.variant import set_arch
    from ..console import make_console

    costs = {}
    for path in args.configs:
        cfg = load_config(path)
        check_arguments(cfg)
        if args.arch:
            set_arch(cfg, args.arch)
        name = Path(path).stem
        costs[path if name in costs else name] = model_cost(cfg, args.size, args.stages)
    if args.json:
        parts = {
            name: {part: cost._asdict() for part, cost in parts.items()} for name, parts in costs.items()
        }
        make_console().print_json(json.dumps(parts))
    else:
        make_console().print(cost_table(costs))
