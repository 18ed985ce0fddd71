"""What the tools share: arguments, a config prepared, and errors in a line."""

import argparse
import os
import sys
from collections.abc import Callable

from mmengine.config import Config, DictAction
from mmengine.logging import MMLogger

from ..config import read as config
from ..config.lint import check_arguments
from ..config.variant import set_arch
from ..console import quiet
from ..engine.finite import NotFinite
from ..engine.stop import Stopped
from ..errors import OwnError, UserError
from .processes import STARTERS


def model_parser(description: str) -> argparse.ArgumentParser:
    """The arguments that all tools that run a model share."""
    p = data_parser(description)
    p.add_argument('--arch', metavar='NAME', help='another variant of the backbone')
    p.add_argument('--work-dir', metavar='DIR', help='where results go (default: work_dirs/<config>)')
    p.add_argument('--amp', action='store_true', help='mixed precision: bfloat16 on a CPU, float16 on a GPU')
    p.add_argument('--compile', action='store_true', help='backbone and neck through torch.compile')
    p.add_argument('--launcher', choices=['none', *STARTERS], default='none')
    p.add_argument('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)
    return p


def data_parser(description: str) -> argparse.ArgumentParser:
    """A config and its data: the arguments that all the tools share."""
    p = argparse.ArgumentParser(description=description)
    p.add_argument('config', help='configs/<head>_<backbone>.py')
    p.add_argument('--sample', action='store_true', help='run on the built-in drawn images')
    p.add_argument('--data-root', metavar='DIR', help='where the data is')
    p.add_argument(
        '--cfg-options',
        nargs='+',
        type=_key_value,
        action=DictAction,
        default={},
        metavar='KEY=VALUE',
        help='overwrite entries of the config, such as train_dataloader.batch_size=4',
    )
    return p


def positive(text: str) -> int:
    """A whole number from 1."""
    return _whole(text, 1)


def not_negative(text: str) -> int:
    """A whole number from 0."""
    return _whole(text, 0)


def _whole(text: str, least: int) -> int:
    if not text.isdecimal() or int(text) < least:
        raise argparse.ArgumentTypeError(f'expected a whole number from {least}, got {text}')
    return int(text)


def _key_value(text: str) -> str:
    if '=' not in text.lstrip('='):
        raise UserError(f'--cfg-options {text}: expected KEY=VALUE')
    return text


def run(main: Callable[[argparse.Namespace], None], p: argparse.ArgumentParser) -> None:
    """Parse, run; what the user can mend is one line on the error stream and exit code 2."""
    # whatever loads a torch file from here on, also MMEngine, executes nothing from it
    os.environ['TORCH_FORCE_WEIGHTS_ONLY_LOAD'] = '1'
    os.environ.pop('TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD', None)
    try:
        try:
            args = p.parse_args()
        except AssertionError as error:  # MMEngine's parser of lists
            raise UserError(f'--cfg-options: {error}') from error
        with quiet():
            main(args)
    except UserError as error:
        if os.environ.get('RANK', '0') == '0' or isinstance(error, OwnError):
            print(f'error: {error}', file=sys.stderr)
        sys.exit(2)
    except OSError as error:  # a path that is not there, is no folder, or may not be written to
        if not error.filename:
            raise
        MMLogger.get_current_instance().error('The traceback', exc_info=True)
        print(f'error: {error.filename}: {error.strerror}', file=sys.stderr)
        sys.exit(2)
    except NotFinite as error:
        print(f'error: {error}', file=sys.stderr)
        sys.exit(3)
    except Stopped as stop:
        if os.environ.get('RANK', '0') == '0':
            print(f'{stop}; --resume goes on', file=sys.stderr)
        sys.exit(stop.code)
    except KeyboardInterrupt:
        sys.exit(130)  # what a shell calls Ctrl-C


def prepare(args: argparse.Namespace, loaders: tuple[str, ...]) -> Config:
    """The config as the command line wants it, with the data that it names found."""
    cfg = config.load_config(args.config)
    if args.arch:
        check_arguments(cfg)  # with the variant before
        set_arch(cfg, args.arch)
    if args.sample:
        use_sample(cfg)
    options = dict(args.cfg_options)
    root = args.data_root or options.pop('data_root', None)
    if root:
        config.point_data_at(cfg, root)
    config.overwrite(cfg, options)
    check_arguments(cfg)
    config.check_data(cfg, loaders)
    cfg.launcher = args.launcher
    return cfg


def use_sample(cfg: Config) -> None:
    """Put the sample world in place of the config's data; drawn, where it was not yet."""
    from ..data.sample.swap import swap_in

    try:
        swap_in(cfg)
    except OSError as error:  # nowhere to draw to
        raise UserError(str(error)) from error
