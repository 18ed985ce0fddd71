"""`tools/convert.py`: an old pickle into safetensors."""

import argparse

from ..checkpoint import Refused
from ..console import make_console
from ..convert import convert as write
from ..errors import UserError
from .command import run


def convert() -> None:
    """`tools/convert.py`."""
    p = argparse.ArgumentParser(description='Write the weights of a checkpoint as safetensors.')
    p.add_argument('source', help='.pth file of a training run, or of the authors')
    p.add_argument('target', help='.safetensors file to write')
    p.add_argument(
        '--trust',
        action='store_true',
        help='unpickle what may execute code, in a process of its own; only if you know who made the file',
    )
    run(_convert, p)


def _convert(args: argparse.Namespace) -> None:
    try:
        weights = write(args.source, args.target, args.trust)
    except Refused as error:
        raise UserError(f'{error}; --trust executes it, in a process of its own') from error
    except (OSError, ValueError) as error:
        raise UserError(str(error)) from error
    numbers = sum(tensor.numel() for tensor in weights.values())
    made = f'{args.target}: {len(weights)} tensors, {numbers / 1e6:.1f} M numbers'
    make_console().print(made, markup=False)
