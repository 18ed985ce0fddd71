"""What the model of a run attends to and how far it sees, on a few images of its validation."""

import base64
import io
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from ..data.dataset import leaf_datasets
from ..errors import UserError
from ..predict.load import load
from ..predict.predictor import tested_images
from .evaluate import read_pictures
from .facts import FOLDER, write_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..explain.explainer import Explainer

FILE = 'explained.json'
IMAGES = 2
DRAWS = 2  # of signs for a receptive field
DPI, QUALITY = 150, 80
BUDGET = 300_000  # characters of all of them on the page


@dataclass
class ExplainedPicture:
    """A picture of `vitdense explain`.

    image: WebP, half as large as a JPEG; in base64.
    """

    caption: str
    width: int
    height: int
    image: str


@dataclass
class Explained:
    """Those of a run, and the name of the checkpoint that they are of."""

    checkpoint: str
    pictures: list[ExplainedPicture]


def explain_run(work_dir: Path, checkpoint: Path, dataset: Any = None, within: float | None = None) -> bool:
    """Draw the pictures into a run's folder, in place of earlier ones.

    Args:
        work_dir: of the run.
        checkpoint: the weights.
        dataset: of the validation; None for that of the checkpoint's config.
        within: seconds after which no picture is begun.

    Returns:
        whether there are any: a backbone of another package has none.

    Raises:
        UserError: a checkpoint or images that cannot be read.
    """
    from ..explain.explainer import Explainer  # a page that has none needs none of it

    began = time.monotonic()
    predictor = load(checkpoint)
    try:
        explainer = Explainer(predictor)
    except UserError:
        return False
    if dataset is None:
        dataset = tested_images(predictor.cfg)
    pictures: list[ExplainedPicture] = []
    for caption, figure in _figures(explainer, chosen_paths(work_dir, _image_paths(dataset))):
        picture = _webp(figure, caption)
        if sum(len(one.image) for one in [*pictures, picture]) > BUDGET:
            break
        pictures.append(picture)
        if within is not None and time.monotonic() - began > within:
            break
    write_whole(work_dir / FOLDER / FILE, json.dumps(asdict(Explained(checkpoint.name, pictures))))
    return bool(pictures)


def read_explained(work_dir: Path) -> Explained | None:
    """Of a run's folder; None, where it has none."""
    file = work_dir / FOLDER / FILE
    try:
        found = json.loads(file.read_text())
        pictures = [ExplainedPicture(**one) for one in found['pictures']]
        return Explained(found['checkpoint'], pictures) if pictures else None
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError) as error:
        raise UserError(f'{file}: damaged ({error}); without this file, the page has no such part') from error


def _image_paths(dataset: Any) -> list[str]:
    """Of all images of a dataset."""
    return [
        leaf.get_data_info(index)['img_path'] for leaf in leaf_datasets(dataset) for index in range(len(leaf))
    ]


def chosen_paths(work_dir: Path, paths: Sequence[str]) -> list[str]:
    """The best images of the page, and else some that are spread over the validation."""
    best = [one.name for one in read_pictures(work_dir) if one.group == 'best']
    found = [path for name in best for path in paths if Path(path).as_posix().endswith(f'/{name}')]
    spread = (
        [paths[(2 * number + 1) * len(paths) // (2 * IMAGES)] for number in range(IMAGES)] if paths else []
    )
    return list(dict.fromkeys([*found, *spread]))[:IMAGES]


def _figures(explainer: 'Explainer', paths: Sequence[str]) -> Iterator[tuple[str, 'Figure']]:
    """Captions and figures, those that say most first."""
    from ..predict.sources import find_sources

    photos = [photo for source in find_sources(list(paths)) for photo in source.photos()]
    views = [explainer.view(photo) for photo in photos]

    def attention(index: int) -> 'Figure':
        return explainer.attention(
            views[index], explainer.record(views[index]), explainer.places(photos[index], most=1)
        )

    yield f'Attention: {Path(photos[0].name).name}', attention(0)
    yield (
        f'Effective receptive field: the mean of {len(views)} images',
        explainer.receptive_field(views, DRAWS),
    )
    if 'tokens' in explainer.kinds:
        yield f'Patches kept: {Path(photos[0].name).name}', explainer.tokens(views[0])
    if 'distance' in explainer.kinds:
        distances = [explainer.by_distance(explainer.record(view)) for view in views]
        yield f'Weight by distance: the mean of {len(views)} images', explainer.distance(distances)
    for index in range(1, len(views)):
        yield f'Attention: {Path(photos[index].name).name}', attention(index)


def _webp(figure: 'Figure', caption: str) -> ExplainedPicture:
    from ..explain.figure import save_figure

    drawn, file = io.BytesIO(), io.BytesIO()
    save_figure(figure, drawn, DPI)
    image = Image.open(drawn).convert('RGB')
    image.save(file, 'WEBP', quality=QUALITY)
    return ExplainedPicture(caption, *image.size, base64.b64encode(file.getvalue()).decode())
