"""`check_data`: the files of a dataset, checked before a run."""

import argparse
import sys
import tempfile
from pathlib import Path

from .command import data_parser, prepare, read_data, run


def main() -> None:
    p = data_parser('Check the files that a config trains and validates on; exit code 1 if there are errors.')
    p.add_argument('--all', action='store_true', help='every case, not the first three of each kind')
    p.add_argument('--json', type=Path, metavar='FILE', help='write every case to a file')
    p.set_defaults(arch=None, launcher='none')
    run(_check_data, p)


def _check_data(args: argparse.Namespace) -> None:
    from ..console import make_console, say_finding
    from ..data.check import check_config
    from ..data.check.report import require_report_path
    from ..data.own_data import name_files, write_own_data
    from ..findings import Level

    if args.json:
        require_report_path(args.json)
    data = read_data(args)
    cfg = prepare(args, (), data)
    console = make_console()
    with tempfile.TemporaryDirectory() as folder:
        if data:
            name_files(cfg, write_own_data(data, Path(folder)))
            for line in data.lines:
                if line.level is Level.FACT:  # the others are in the table
                    say_finding(console, line)
        read = data.found.problems if data else ()
        if not check_config(cfg, console, args.all, args.json, read):
            sys.exit(1)
