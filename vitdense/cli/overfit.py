"""`overfit`: whether configs can fit a few images."""

import argparse
import sys

from .command import add_data_options, make_parser, refuse_without_data, run


def main() -> None:
    p = make_parser("Fit configs to eight images, built-in or one's own; exit code 1 if one does not fit.")
    p.add_argument('configs', nargs='+', metavar='config', help='configs/<head>_<backbone>.py')
    add_data_options(p)
    run(_overfit, p)


def _overfit(args: argparse.Namespace) -> None:
    from ..console import make_console
    from ..overfit import Own, fit_all

    refuse_without_data(args)
    own = Own(args.data, args.classes, args.size) if args.data else None
    if not fit_all(args.configs, make_console(), own):
        sys.exit(1)
