"""`configs`: the project's own configs, listed, or copied to a folder where they can be edited."""

import argparse
import shutil
from pathlib import Path

from ..errors import UserError
from .command import make_parser, run


def main() -> None:
    p = make_parser('List the configs, which other commands take by name, or copy them to edit them.')
    p.add_argument('--copy', metavar='DIR', help='copy all of them, with what they inherit from, to a folder')
    run(_configs, p, torch='2.1')


def _configs(args: argparse.Namespace) -> None:
    from ..config.bundled import config_folder, config_names
    from ..console import make_console

    console = make_console()
    if not args.copy:
        for name in config_names():
            console.print(name)
        return
    target = Path(args.copy)
    if target.exists():
        raise UserError(
            f'--copy {target}: is there already, and nothing is overwritten; expected a new folder'
        )
    shutil.copytree(config_folder(), target, ignore=shutil.ignore_patterns('__pycache__'))
    console.print(f'{len(config_names())} configs in {target}', markup=False)
