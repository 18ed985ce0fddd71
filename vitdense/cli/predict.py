"""`predict`: a trained model on images and videos of one's own."""

import argparse
import signal
import sys
import warnings
from pathlib import Path

from ..errors import UserError
from ..garbage import collected_later
from .command import make_parser, run
from .values import positive


def main() -> None:
    p = make_parser('Predict on images, folders and videos.')
    p.add_argument('model', help='a checkpoint, or the work dir of a training')
    p.add_argument(
        'source', nargs='+', help="an image, a video, a folder, or a pattern such as 'photos/*.jpg'"
    )
    p.add_argument('--out', type=Path, required=True, metavar='DIR', help='where the results go')
    p.add_argument('--overwrite', action='store_true', help='write into a folder that holds something')
    p.add_argument('--config', metavar='CONFIG', help='of a checkpoint that does not carry its own')
    p.add_argument(
        '--score', type=_fraction, metavar='S', help='least score of an object (default: 0.4; Mask R-CNN 0.7)'
    )
    p.add_argument('--size', type=positive, metavar='N', help='pixels of the shorter side, after the resize')
    p.add_argument('--batch', type=positive, default=1, metavar='N', help='images at a time (default: 1)')
    p.add_argument('--tile', type=positive, metavar='N', help='cut larger images into tiles of N pixels')
    p.add_argument('--device', metavar='NAME', help='such as cpu or cuda:1 (default: a GPU, if there is one)')
    p.add_argument('--no-pictures', action='store_true', help='write the data alone, and draw nothing')
    run(_predict, p)


def _fraction(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f'expected a number from 0 to 1, got {text}')
    return value


def _predict(args: argparse.Namespace) -> None:
    with collected_later():
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        from ..console import display_path, make_console, plural, say
        from ..findings import first_few
        from ..memory import keep_freed_memory
        from ..predict.load import ConfigWarning, load
        from ..predict.result import import_supervision
        from ..predict.sources import find_sources, frame_count
        from ..predict.write import FILE, LABEL_MAPS, Writer

        keep_freed_memory()
    sources = list({one.name: one for one in find_sources(args.source)}.values())  # each once
    if args.tile and args.tile < 32:
        raise UserError(f'--tile {args.tile}: expected 32 or more')
    console = make_console()
    with warnings.catch_warnings(record=True) as said:
        predictor = load(args.model, args.config, args.device)
    for warning in said:
        if warning.category is ConfigWarning:
            say(console, 'config', f'warning: {warning.message}', 'bold yellow')
    if args.tile and not predictor.finds_label_maps:
        import_supervision()
    writer = Writer(args.out, predictor, sources, not args.no_pictures, args.overwrite)
    classes = f'{len(predictor.classes)} classes ({first_few(predictor.classes, 12)})'
    say(console, 'model', f'{predictor.name}, {classes}, {predictor.device}')
    unreadable: list[UserError] = []

    def left_out(error: UserError) -> None:
        unreadable.append(error)
        print(f'warning: {error}', file=sys.stderr)

    total = sum(frame_count(one.value) if one.is_video else 1 for one in sources)
    columns = (TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    before = signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
            task = bar.add_task('predict', total=total)
            for result in predictor.stream(sources, args.size, args.score, args.batch, args.tile, left_out):
                writer.write(result)
                bar.advance(task)
    finally:  # what there is, is written
        writer.close()
        signal.signal(signal.SIGTERM, before)
    if not writer.images:
        raise UserError(f'{plural(len(sources), "source")}, of which none could be predicted on')
    found = ', '.join(f'{name} {count}' for name, count in writer.counts.most_common(12)) or 'nothing'
    kind = 'images that show' if predictor.finds_label_maps else 'found'
    say(console, kind, found)
    data = f'{LABEL_MAPS}/' if predictor.finds_label_maps else FILE
    drawn = '' if args.no_pictures else ' and the pictures'
    say(console, 'written', f'{display_path(args.out)}: {data}{drawn} of {plural(writer.images, "image")}')
    if unreadable:
        say(console, 'left out', f'{len(unreadable)} of {plural(len(sources), "source")}', 'yellow')
        sys.exit(1)
