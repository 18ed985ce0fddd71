"""`convert_data`: a folder of images and annotations in another format, for keeping."""

import argparse
from pathlib import Path

from ..errors import UserError
from .command import make_parser, run

FORMATS = ('coco', 'yolo', 'label-maps')


def main() -> None:
    p = make_parser('Convert annotations: COCO, YOLO, Pascal VOC, LabelMe and label maps are read.')
    p.add_argument(
        'data', type=Path, nargs='+', metavar='DIR', help='the folder, or several whose classes agree'
    )
    p.add_argument('out', type=Path, metavar='OUT', help='the folder to write; new, or empty')
    p.add_argument('--to', required=True, choices=FORMATS)
    run(_convert_data, p)


def _convert_data(args: argparse.Namespace) -> None:
    from ..console import make_console, say, say_finding
    from ..data.formats.find import read_folders
    from ..data.formats.keep import write_dataset
    from ..data.formats.mend import mend
    from ..data.own_data import described

    if args.out.exists() and (not args.out.is_dir() or any(args.out.iterdir())):
        raise UserError(f'{args.out}: is there already; expected a new folder, or an empty one')
    found = mend(read_folders(args.data))
    write_dataset(found, args.out, args.to)
    console = make_console()
    for line in described(found, args.data):
        say_finding(console, line)
    say(console, 'written', f'{args.out}, as {args.to}')
