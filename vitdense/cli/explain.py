"""`explain`: what a trained model attends to, which tokens it keeps, how far it sees."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UserError
from ..garbage import collected_later
from .command import make_parser, run
from .values import positive

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WHAT = ('attention', 'tokens', 'distance', 'receptive_field')
FORMATS = ('png', 'pdf', 'svg')


def main() -> None:
    p = make_parser('Draw what a trained model attends to, which tokens it keeps, and how far its maps see.')
    p.add_argument('model', help='a checkpoint, or the work dir of a training')
    p.add_argument('source', nargs='+', help="an image, a folder, or a pattern such as 'photos/*.jpg'")
    p.add_argument('--out', type=Path, required=True, metavar='DIR', help='where the pictures go')
    p.add_argument('--overwrite', action='store_true', help='write into a folder that holds something')
    p.add_argument('--config', metavar='CONFIG', help='of a checkpoint that does not carry its own')
    p.add_argument(
        '--at',
        nargs=2,
        type=float,
        action='append',
        metavar=('X', 'Y'),
        help='look from this pixel of the images, or from several (default: from what the model finds)',
    )
    p.add_argument(
        '--what', nargs='+', choices=WHAT, help='which pictures (default: all that fit the backbone)'
    )
    p.add_argument(
        '--dials',
        nargs='+',
        metavar='SCALE:KEEP_RATE',
        help='SuperViT: settings whose kept tokens are drawn (default: 1:0.7 1:0.5 4/7:0.7)',
    )
    p.add_argument('--size', type=positive, metavar='N', help='pixels of the shorter side, after the resize')
    p.add_argument(
        '--format', nargs='+', choices=FORMATS, default=['png'], help='of the files (default: png)'
    )
    p.add_argument('--device', metavar='NAME', help='such as cpu or cuda:1 (default: a GPU, if there is one)')
    run(_explain, p)


def _explain(args: argparse.Namespace) -> None:
    with collected_later():
        from ..console import display_path, make_console, plural, say
        from ..dials import DialSetting
        from ..engine.work_dir import trained_model
        from ..explain.explainer import Explainer
        from ..explain.figure import save_figure
        from ..explain.kept import DIALS
        from ..explain.view import Place
        from ..exported.runtimes import is_exported
        from ..predict.load import load
        from ..predict.sources import UnreadableImage, find_sources
        from ..predict.write import refuse_to_overwrite

    if is_exported(args.model):
        raise UserError(f'{args.model}: an exported file keeps no layers to look into; expected a checkpoint')
    checkpoint = trained_model(args.model)
    sources = list({one.name: one for one in find_sources(args.source)}.values())  # each once
    if videos := [one.name for one in sources if one.is_video]:
        raise UserError(f'{videos[0]}: a video; expected images')
    settings = [DialSetting.parse(text) for text in args.dials or ()] or DIALS
    refuse_to_overwrite(args.out, sources, args.overwrite)
    explainer = Explainer(load(checkpoint, args.config, args.device), args.size)
    what = list(dict.fromkeys(args.what or explainer.kinds))
    for kind in what:
        if kind not in explainer.kinds:
            raise UserError(f'--what {kind}: {explainer.title} has none; has {", ".join(explainer.kinds)}')
    if args.dials and 'tokens' not in what:
        raise UserError('--dials goes with the tokens that SuperViT keeps')
    if args.at and 'attention' not in what:
        raise UserError('--at goes with the attention that is drawn from there')
    console = make_console()
    say(console, 'model', f'{explainer.predictor.name}, weights of {display_path(checkpoint)}')
    written: list[Path] = []

    def save(figure: 'Figure', name: str) -> None:
        for suffix in dict.fromkeys(args.format):
            file = args.out / f'{name}.{suffix}'
            file.parent.mkdir(parents=True, exist_ok=True)
            save_figure(figure, file)
            written.append(file)

    views, distances, unreadable = [], [], 0
    names = _names([one.place for one in sources])
    for source, name in zip(sources, names, strict=True):
        try:
            photo = next(iter(source.photos()))
            view = explainer.view(photo)
        except UnreadableImage as error:
            unreadable += 1
            print(f'warning: {error}', file=sys.stderr)
            continue
        views.append(view)
        if 'attention' in what or 'distance' in what:
            seen = explainer.record(view)
        if 'attention' in what:
            places = [Place(*at) for at in args.at or ()] or explainer.places(photo)
            save(explainer.attention(view, seen, places), f'{name}/attention')
        if 'tokens' in what:
            save(explainer.tokens(view, settings), f'{name}/tokens')
        if 'distance' in what:
            distances.append(explainer.by_distance(seen))
    if not views:
        raise UserError(f'{plural(len(sources), "source")}, none of which could be read')
    together: dict[str, Callable[[], Figure]] = dict(
        distance=lambda: explainer.distance(distances),
        receptive_field=lambda: explainer.receptive_field(views),
    )
    for kind, draw in together.items():
        if kind in what:
            save(draw(), kind)
    say(
        console,
        'written',
        f'{display_path(args.out)}: {plural(len(written), "picture")} of {plural(len(views), "image")}',
    )
    if unreadable:
        say(console, 'left out', f'{unreadable} of {plural(len(sources), "source")}', 'yellow')
        sys.exit(1)


def _names(places: list[Path]) -> list[str]:
    """A folder for each image, below the folder of all: its path without the suffix, or with a number."""
    taken: set[str] = set()
    names = []
    for place in places:
        name, number = str(place.with_suffix('')), 1
        while name.lower() in taken:
            number += 1
            name = f'{place.with_suffix("")}-{number}'
        taken.add(name.lower())
        names.append(name)
    return names
