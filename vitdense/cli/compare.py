"""`compare`: runs on one page."""

import argparse
from pathlib import Path

from .command import make_parser, run


def main() -> None:
    p = make_parser('Compare runs on one page: scores with an interval, curves, classes, images, settings.')
    p.add_argument('runs', nargs='+', type=Path, metavar='RUN', help='work dirs of trainings or tests')
    p.add_argument(
        '--out',
        type=Path,
        default=Path('compare.html'),
        metavar='FILE',
        help='the page (default: compare.html)',
    )
    p.add_argument('--overwrite', action='store_true', help='write over an earlier page')
    run(_compare, p)


def _compare(args: argparse.Namespace) -> None:
    from ..console import display_path, make_console, say
    from ..errors import UserError
    from ..report.compare import compare_page, read_runs
    from ..report.facts import write_whole

    if len(args.runs) < 2:
        raise UserError(f'compare {args.runs[0]}: expected two runs or more')
    if args.out.exists() and not args.overwrite:
        raise UserError(f'--out {args.out}: is there already; another name, or --overwrite')
    if args.out.suffix != '.html':
        raise UserError(f'--out {args.out}: expected a name that ends with .html')
    runs = read_runs(args.runs)
    console = make_console()
    text, sentences = compare_page(runs)
    write_whole(args.out, text)
    for sentence in sentences:
        say(console, 'scores', sentence)
    say(console, 'written', display_path(args.out))
