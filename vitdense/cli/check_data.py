"""`tools/check_data.py`: the files of a dataset, looked through before a run."""

import argparse
import sys

from ..console import make_console
from .command import data_parser, prepare, run


def check_data() -> None:
    """`tools/check_data.py`."""
    p = data_parser('Check the files that a config trains and validates on; exit code 1 if any is at fault.')
    p.set_defaults(arch=None, launcher='none')
    run(_check_data, p)


def _check_data(args: argparse.Namespace) -> None:
    cfg = prepare(args, ())
    from ..data.check import check_config  # brings MMDetection and MMSegmentation, which takes a while

    if not check_config(cfg, make_console()):
        sys.exit(1)
