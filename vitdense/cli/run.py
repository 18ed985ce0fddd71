"""`run`: a script of another library, with MMCV's ops and the backbones there before it imports anything."""

import argparse
import runpy
import sys
from pathlib import Path

from ..errors import UserError
from .command import make_parser


def main() -> None:
    p = make_parser(
        'Run a script of MMDetection or MMSegmentation, such as its tools/test.py, which imports the library '
        'before it reads the config that imports vitdense.'
    )
    p.add_argument('script', help='.py file')
    p.add_argument('arguments', nargs=argparse.REMAINDER, help='of the script')
    args = p.parse_args()
    if not Path(args.script).is_file():
        print(f'error: {args.script}: no such script', file=sys.stderr)
        sys.exit(UserError.exit_code)
    sys.argv = [args.script, *args.arguments]
    sys.path[0] = str(Path(args.script).absolute().parent)  # as `python SCRIPT` has it
    runpy.run_path(args.script, run_name='__main__')
