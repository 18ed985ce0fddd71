"""`check_data`: the files of a dataset, checked before a run."""

import argparse
import sys
from pathlib import Path

from .command import data_parser, prepare, run


def main() -> None:
    p = data_parser('Check the files that a config trains and validates on; exit code 1 if there are errors.')
    p.add_argument('--all', action='store_true', help='every case, not the first three of each kind')
    p.add_argument('--json', type=Path, metavar='FILE', help='write every case to a file')
    p.set_defaults(arch=None, launcher='none')
    run(_check_data, p)


def _check_data(args: argparse.Namespace) -> None:
    from ..console import make_console
    from ..data.check import check_config
    from ..data.check.report import require_report_path

    if args.json:
        require_report_path(args.json)
    cfg = prepare(args, ())
    if not check_config(cfg, make_console(), args.all, args.json):
        sys.exit(1)
