"""`study`: which config to take, by training all of them alike on the same data."""

import argparse
import sys
from pathlib import Path

from ..errors import UserError
from .command import add_data_options, make_parser, refuse_without_data, run
from .values import not_negative, positive, positive_number, precision


def main() -> None:
    p = make_parser(
        'Train several configs alike, and say on one page which one to take. The same command continues a '
        'study that was stopped. Exit code 1 if a training failed.'
    )
    p.add_argument(
        'configs', nargs='+', metavar='CONFIG', help='<head>_<backbone>, or CONFIG:ARCH for another variant'
    )
    p.add_argument('--sample', action='store_true', help='train on the built-in drawn images')
    p.add_argument('--data-root', metavar='DIR', help="where the configs' own data are")
    add_data_options(p)
    p.add_argument(
        '--minutes', type=positive_number, metavar='M', help='of the whole study; each training has its part'
    )
    p.add_argument('--epochs', type=positive, metavar='N', help='with --data: of each training')
    p.add_argument(
        '--seeds',
        type=not_negative,
        nargs='+',
        default=[0],
        metavar='N',
        help='a training for each (default: 0)',
    )
    p.add_argument(
        '--weights',
        nargs='+',
        default=[],
        metavar='CONFIG=FILE',
        help="the authors' released weights of each",
    )
    p.add_argument(
        '--max-latency', type=positive_number, metavar='MS', help='milliseconds of one image, for the advice'
    )
    p.add_argument('--amp', nargs='?', const='auto', type=precision, metavar='PRECISION', help='as for train')
    p.add_argument(
        '--cfg-options', nargs='+', default=[], metavar='KEY=VALUE', help='as for train, for all of them'
    )
    p.add_argument(
        '--out', type=Path, default=Path('study'), metavar='DIR', help='where all of it goes (default: study)'
    )
    run(_study, p)


def _study(args: argparse.Namespace) -> None:
    from ..console import make_console
    from ..study.plan import Budget, StudyPlan, candidates_of
    from ..study.run import study
    from ..study.trainings import StudyStopped, gpus

    refuse_without_data(args)
    if sum(map(bool, (args.sample, args.data, args.data_root))) > 1:
        raise UserError('--sample, --data and --data-root: expected one of them')
    if args.minutes and args.epochs:
        raise UserError("--minutes and --epochs: expected one of them, or neither for the configs' schedules")
    if len({*args.seeds}) < len(args.seeds):
        raise UserError('--seeds: a seed is given twice')
    if seeded := [text for text in args.cfg_options if text.startswith('randomness.seed=')]:
        raise UserError(f'--cfg-options {seeded[0]}: --seeds says with which seeds a study trains')
    candidates = candidates_of(args.configs, _files(args.weights))
    devices = gpus()
    plan = StudyPlan(
        args.out,
        candidates,
        tuple(args.seeds),
        Budget(args.minutes, args.epochs),
        tuple(_shared(args)),
        min(len(devices), len(candidates) * len(args.seeds)),
    )
    wanted = args.max_latency / 1000 if args.max_latency else None
    try:
        if not study(plan, devices, make_console(), wanted):
            sys.exit(1)
    except StudyStopped as stop:
        print(f'{stop}; the same command continues the study', file=sys.stderr)
        sys.exit(stop.exit_code)


def _files(words: list[str]) -> dict[str, str]:
    files = dict(word.partition('=')[::2] for word in words)
    if wrong := [word for word in words if '=' not in word]:
        raise UserError(f'--weights {wrong[0]}: expected CONFIG=FILE')
    for file in files.values():
        if not Path(file).is_file():
            raise UserError(f'--weights {file}: no such file')
    return files


def _shared(args: argparse.Namespace) -> list[str]:
    """The arguments of `train` that all trainings have."""
    found: list[str] = ['--sample'] if args.sample else []
    for folder in args.data or ():
        found += ['--data', str(folder)]
    for name in ('data_root', 'size', 'amp'):
        if (value := getattr(args, name)) is not None:
            found += [f'--{name.replace("_", "-")}', str(value)]
    if args.classes:
        found += ['--classes', ','.join(args.classes)]
    if args.cfg_options:
        found += ['--cfg-options', *args.cfg_options]  # the last one, to which the seed is added
    return found
