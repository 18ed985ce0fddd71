"""`tools/learnability.py`: whether configs learn."""

import argparse
import sys

from ..console import make_console
from ..overfit import fit_all
from .command import run


def learnability() -> None:
    """`tools/learnability.py`."""
    p = argparse.ArgumentParser(description='Fit configs to eight built-in images; exit code 1 if one fails.')
    p.add_argument('configs', nargs='+', metavar='config', help='configs/<head>_<backbone>.py')
    run(_learnability, p)


def _learnability(args: argparse.Namespace) -> None:
    if not fit_all(args.configs, make_console()):
        sys.exit(1)
