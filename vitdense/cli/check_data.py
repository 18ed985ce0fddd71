"""`check_data`: the files of a dataset, checked before a run."""

import argparse
import sys

from .command import data_parser, prepare, run


def main() -> None:
    p = data_parser('Check the files that a config trains and validates on; exit code 1 if there are errors.')
    p.set_defaults(arch=None, launcher='none')
    run(_check_data, p)


def _check_data(args: argparse.Namespace) -> None:
    from ..console import make_console
    from ..data.check import check_config

    cfg = prepare(args, ())
    if not check_config(cfg, make_console()):
        sys.exit(1)
