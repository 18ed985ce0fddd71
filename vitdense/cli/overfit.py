"""`overfit`: whether configs can fit a few images."""

import argparse
import sys

from .command import make_parser, run


def main() -> None:
    p = make_parser('Fit configs to eight built-in images; exit code 1 if one does not fit.')
    p.add_argument('configs', nargs='+', metavar='config', help='configs/<head>_<backbone>.py')
    run(_overfit, p)


def _overfit(args: argparse.Namespace) -> None:
    from ..console import make_console
    from ..overfit import fit_all

    if not fit_all(args.configs, make_console()):
        sys.exit(1)
