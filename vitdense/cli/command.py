"""What the commands share: arguments, a config prepared from them, and errors in one line."""

import argparse
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import NotFinite, RankError, Stopped, UserError
from .launch import LAUNCHERS
from .values import names, positive, precision

if TYPE_CHECKING:
    from mmengine.config import Config
    from rich.console import Console

    from ..data.own_data import OwnData


class OverwriteAction(argparse.Action):
    """`KEY=VALUE` by MMEngine's `DictAction`, which is imported when it is used."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        from mmengine.config import DictAction

        from ..config.read import refuse_dict

        for text in values:
            if '=' not in text.lstrip('='):
                raise UserError(f'--cfg-options {text}: expected KEY=VALUE')
            refuse_dict(*text.split('=', 1))
        try:
            DictAction(self.option_strings, self.dest, '+')(parser, namespace, values, option_string)
        except (AssertionError, RecursionError) as error:  # brackets that do not match
            raise UserError(f'--cfg-options: {error}') from error


# What the schedules of `--sample` and `--data` follow.
ASKED_FOR = (
    *('optim_wrapper.', 'model.backbone.init_cfg', 'model.backbone.drop_path_rate', 'model.pretrained'),
    'load_from',
)


def make_parser(description: str, **options: Any) -> argparse.ArgumentParser:
    return argparse.ArgumentParser(description=description, allow_abbrev=False, **options)


def model_parser(
    description: str, work_dir: str = 'work_dirs/<config>', described: bool = False
) -> argparse.ArgumentParser:
    """The arguments that all commands that run a model share.

    Args:
        description: of the command.
        work_dir: its default, for the help.
        described: whether a checkpoint, which carries its config, is enough.
    """
    p = data_parser(description, described)
    p.add_argument('--arch', metavar='NAME', help='another variant of the backbone')
    p.add_argument('--work-dir', metavar='DIR', help=f'where results go (default: {work_dir})')
    p.add_argument(
        '--amp',
        nargs='?',
        const='auto',
        type=precision,
        metavar='PRECISION',
        help='mixed precision: bfloat16, or float16 on a GPU without bfloat16; --amp float16 chooses',
    )
    p.add_argument('--compile', action='store_true', help='backbone and neck through torch.compile')
    p.add_argument('--launcher', choices=['none', *LAUNCHERS], default='none')
    p.add_argument('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)
    return p


def data_parser(description: str, described: bool = False) -> argparse.ArgumentParser:
    """A config and its data."""
    p = make_parser(description)
    help = 'configs/<head>_<backbone>.py, or <head>_<backbone>'
    p.add_argument(
        'config',
        nargs='?' if described else None,
        help=help + ' (default: the one that the checkpoint carries)' * described,
    )
    p.add_argument('--sample', action='store_true', help='run on the built-in drawn images')
    p.add_argument('--data-root', metavar='DIR', help="where the config's own data are")
    add_data_options(p)
    p.add_argument(
        '--cfg-options',
        nargs='+',
        action=OverwriteAction,
        default={},
        metavar='KEY=VALUE',
        help='overwrite entries of the config, such as train_dataloader.batch_size=4',
    )
    return p


def add_data_options(p: argparse.ArgumentParser) -> None:
    """`--data`, and what goes with it."""
    p.add_argument(
        '--data',
        action='append',
        type=Path,
        metavar='DIR',
        help='a folder of images and annotations: COCO, YOLO, Pascal VOC, LabelMe, label maps (or several)',
    )
    p.add_argument(
        '--classes', type=names, metavar='A,B', help='with --data: the classes; others are background'
    )
    p.add_argument(
        '--size', type=positive, metavar='N', help='with --data: pixels of the shorter side of images'
    )


def run(
    command: Callable[[argparse.Namespace], None], p: argparse.ArgumentParser, torch: str = '2.5'
) -> None:
    """Parse the command line and run a command; a user error is one line on stderr (`errors.py`).

    Args:
        command: gets the arguments.
        p: parses them.
        torch: the version that the command needs.
    """
    # whatever loads a torch file from here on, also MMEngine, executes nothing from it
    os.environ['TORCH_FORCE_WEIGHTS_ONLY_LOAD'] = '1'
    os.environ.pop('TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD', None)
    main_process = os.environ.get('RANK', '0') == '0'
    try:
        with warnings.catch_warnings(record=True):  # MMEngine 0.10.7 imports what torch 2.5 calls deprecated
            args = p.parse_intermixed_args()  # `test CONFIG --sample CHECKPOINT`
            require_torch(torch)
            from ..console import quiet

        with quiet():
            command(args)
    except UserError as error:
        if main_process or isinstance(error, RankError):
            print(f'error: {error}', file=sys.stderr)
        sys.exit(error.exit_code)
    except BrokenPipeError:  # of `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)  # as a shell has it
    except OSError as error:  # a path that is not there, is no folder, or may not be written to
        if not error.filename:
            raise
        from mmengine.logging import MMLogger

        MMLogger.get_current_instance().error('The traceback', exc_info=True)
        print(f'error: {error.filename}: {error.strerror}', file=sys.stderr)
        sys.exit(UserError.exit_code)
    except NotFinite as error:
        print(f'error: {error}', file=sys.stderr)
        sys.exit(error.exit_code)
    except Stopped as stop:
        if main_process:
            print(f'{stop}; --resume continues', file=sys.stderr)
        sys.exit(stop.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)  # as a shell has it


def require_torch(version: str) -> None:
    """Without importing it.

    Raises:
        UserError: torch is older.
    """
    try:
        installed = metadata.version('torch')
    except metadata.PackageNotFoundError:  # not of this name
        return
    if [int(part) for part in installed.split('.')[:2]] < [int(part) for part in version.split('.')]:
        raise UserError(f'needs torch {version} or newer, and this is torch {installed}')


def read_data(args: argparse.Namespace) -> 'OwnData | None':
    """What the folders of `--data` hold."""
    refuse_without_data(args)
    if not args.data:
        return None
    for option, there in (('--sample', args.sample), ('--data-root', args.data_root)):
        if there:
            raise UserError(f'--data and {option}: expected one of them')
    from ..data.own_data import read_own_data

    return read_own_data(args.data, args.classes)


def refuse_without_data(args: argparse.Namespace) -> None:
    """Refuse options that go with `--data`, where it is not given.

    Raises:
        UserError: there is one.
    """
    for option in ('classes', 'size', 'epochs', 'batch', 'augment'):
        if not args.data and getattr(args, option, None):
            raise UserError(f'--{option} goes with --data; --cfg-options sets entries of the config')


def place_data(cfg: 'Config', data: 'OwnData', folder: Path, console: 'Console') -> None:
    """Write the files of `--data` into a folder, name them in the config, and say what was decided."""
    from ..console import say_finding
    from ..data.own_data import name_files, write_own_data
    from ..engine.processes import on_main_process

    name_files(cfg, on_main_process(lambda: write_own_data(data, folder)))
    for line in data.lines:
        say_finding(console, line)


def prepare(args: argparse.Namespace, loaders: Sequence[str], data: 'OwnData | None' = None) -> 'Config':
    """The config as the command line wants it, with the files that these loaders read found.

    The files of `data`, which `read_data` gives, are written later, where the results go.
    """
    from ..config.lint import check_arguments
    from ..config.read import (
        load_config,
        overwrite,
        point_data_at,
        refuse_checkpoint_paths,
        refuse_unsupported,
        require_data,
    )
    from ..config.recipe import set_recipe
    from ..config.unread import check_variables
    from ..config.variant import set_arch

    if args.config is None:
        cfg = checkpoint_config(args.checkpoint)
    else:
        cfg = load_config(args.config)
        check_variables(cfg)
    options = dict(args.cfg_options)
    if getattr(args, 'freeze', None) is not None:
        options.setdefault('model.backbone.frozen_stages', args.freeze)
    if arch := _arch(cfg, args.arch, options):
        check_arguments(cfg)  # of the variant before
        set_arch(cfg, arch)
    if recipe := getattr(args, 'recipe', None):
        if args.sample or data:
            raise UserError(f'--recipe {recipe}: --sample and --data have schedules of their own')
        set_recipe(cfg, recipe)
    # first and last: the schedules of both ask which optimizer there is, and whether there are weights
    overwrite(cfg, {name: value for name, value in options.items() if name.startswith(ASKED_FOR)})
    if args.sample:
        use_sample(cfg)
    if data:
        from ..data.own_data import use_own_data
        from ..data.own_schedule import Wanted

        trains = hasattr(args, 'epochs')
        pretrained = _pretrained(cfg, args) if trains else False
        rate = options.get('optim_wrapper.optimizer.lr')
        wanted = Wanted(args.epochs, args.batch, pretrained, args.augment, rate) if trains else None
        use_own_data(cfg, data, args.size, wanted)
    root = args.data_root or options.pop('data_root', None)
    if root:
        point_data_at(cfg, root)
    overwrite(cfg, options)
    check_arguments(cfg)
    refuse_checkpoint_paths(cfg)
    if loaders:  # check_data runs no model
        refuse_unsupported(cfg)
    if not data:
        require_data(cfg, loaders)
    cfg.launcher = args.launcher
    return cfg


def checkpoint_config(file: str) -> 'Config':
    """The config that a checkpoint or an exported file carries, of which all may be built."""
    from ..checkpoint import read_checkpoint
    from ..config.description import check_types, described_config
    from ..exported.model import ExportedFile, exported_config
    from ..exported.runtimes import is_exported

    if is_exported(file):
        return exported_config(ExportedFile.read(file))
    cfg = described_config(read_checkpoint(file), file)
    check_types(cfg)
    return cfg


def _pretrained(cfg: 'Config', args: argparse.Namespace) -> bool:
    """Whether the backbone starts from weights that the command line or the config names."""
    named = args.weights or args.init  # not --resume: the schedule is that of the run's start
    own = cfg.model.get('backbone', {}).get('init_cfg')
    loads = isinstance(own, dict) and own.get('checkpoint')
    return bool(named or cfg.get('load_from') or loads or cfg.model.get('pretrained'))


def _arch(cfg: 'Config', arch: str | None, options: dict[str, Any]) -> str | None:
    """The variant that `--arch` or `--cfg-options model.backbone.arch=` names; both do the same."""
    from ..config.variant import has_variants

    key = 'model.backbone.arch'
    if not isinstance(options.get(key), str) or not has_variants(cfg):
        return arch
    other = options.pop(key)
    if arch is not None and arch != other:
        raise UserError(f'--arch {arch} and --cfg-options {key}={other}: expected one of them')
    return other


def use_sample(cfg: 'Config') -> None:
    """Replace the config's data by the sample; drawn, if it is not there yet."""
    from ..data.sample.use import use_sample_data

    try:
        use_sample_data(cfg)
    except OSError as error:  # no folder to draw to
        raise UserError(str(error)) from error
