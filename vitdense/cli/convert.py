"""`convert`: an old pickle to safetensors."""

import argparse

from ..errors import UserError
from .command import make_parser, run


def main() -> None:
    p = make_parser('Write the weights of a checkpoint as safetensors.')
    p.add_argument('source', help='.pth file of a training run, or of the authors')
    p.add_argument('target', help='.safetensors file to write')
    p.add_argument(
        '--trust',
        action='store_true',
        help='unpickle what may execute code, in a process of its own; only if you know who made the file',
    )
    run(_convert, p, torch='2.1')


def _convert(args: argparse.Namespace) -> None:
    from ..checkpoint import Refused
    from ..console import make_console
    from ..convert import convert

    try:
        weights = convert(args.source, args.target, args.trust)
    except Refused as error:
        raise UserError(f'{error}; --trust executes it, in a process of its own') from error
    except (OSError, ValueError) as error:
        raise UserError(str(error)) from error
    numbers = sum(tensor.numel() for tensor in weights.values())
    made = f'{args.target}: {len(weights)} tensors, {numbers / 1e6:.1f} M numbers'
    make_console().print(made, markup=False)
