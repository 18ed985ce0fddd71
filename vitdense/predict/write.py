"""Predictions as files: pictures, COCO's JSON or label maps, a video of a video."""

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..errors import UserError
from .predictor import Predictor
from .result import Result
from .sources import Source, frame_rate

FILE = 'predictions.json'
LABEL_MAPS = 'label_maps'
PHOTOS = ('.jpg', '.jpeg')  # are written as such, everything else as PNG
QUALITY = 92


def new_folder(out: Path, sources: Iterable[Source], overwrite: bool) -> None:
    """Make the folder of the results.

    Raises:
        UserError: it holds something, and nothing may be overwritten; or it holds a source.
    """
    inside = [one.name for one in sources if isinstance(one.value, Path) and _is_below(one.value, out)]
    if inside:
        raise UserError(f'--out {out}: holds {inside[0]}, which is predicted on; expected another folder')
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not overwrite)):
        raise UserError(
            f'--out {out}: is there already; expected a new folder, or an empty one, or --overwrite'
        )
    out.mkdir(parents=True, exist_ok=True)


def _is_below(file: Path, folder: Path) -> bool:
    return folder.resolve() in file.resolve().parents


class Writer:
    """Writes results into a folder, each when it comes; `close` writes what is about all of them.

    Attributes:
        counts: of the objects by class, or of the images that show a class.
        images: how many there were.

    Args:
        out: the folder.
        predictor: whose results they are.
        sources: that they are of.
        pictures: whether images and videos are drawn.
    """

    def __init__(self, out: Path, predictor: Predictor, sources: Iterable[Source], pictures: bool = True):
        self.out, self.predictor, self.pictures = out, predictor, pictures
        self.places = _places(sources)
        self.counts, self.images = Counter[str](), 0
        self.entries: dict[str, list[dict[str, Any]]] = dict(images=[], annotations=[])
        self.video: Any = None
        self.video_name = ''

    def write(self, result: Result) -> None:
        self.images += 1
        height, width = result.size
        image = dict(id=self.images, file_name=result.name, height=height, width=width)
        if result.frame is not None:
            image.update(frame=result.frame)
        self.entries['images'].append(image)
        place = self.out / self.places[result.name]
        if result.label_map is None:
            first = len(self.entries['annotations']) + 1
            self.entries['annotations'] += result.to_coco(self.images, first)
            self.counts.update(result.names)
        else:
            here = self.out / LABEL_MAPS / self.places[result.name].with_suffix('')
            here = here.with_name(here.name + ('.png' if result.frame is None else f'_{result.frame:06}.png'))
            here.parent.mkdir(parents=True, exist_ok=True)
            result.save_label_map(here)
            known = result.label_map[result.label_map < len(result.classes)]
            self.counts.update(result.classes[label] for label in np.unique(known).tolist())
        if self.pictures:
            place.parent.mkdir(parents=True, exist_ok=True)
            if result.frame is None:
                result.draw().save(place, quality=QUALITY)  # which PNG does not read
            else:
                self._write_frame(result, place)

    def _write_frame(self, result: Result, place: Path) -> None:
        frame = np.asarray(result.draw())
        frame = frame[: frame.shape[0] // 2 * 2, : frame.shape[1] // 2 * 2]  # codecs want even sides
        if self.video_name != result.name:
            self._close_video()
            rate = frame_rate(Path(result.name)) if Path(result.name).is_file() else 25.0
            self.video = cv2.VideoWriter(
                str(place), cv2.VideoWriter.fourcc(*'mp4v'), rate, (frame.shape[1], frame.shape[0])
            )
            self.video_name = result.name
        self.video.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))

    def _close_video(self) -> None:
        if self.video is not None:
            self.video.release()
        self.video, self.video_name = None, ''

    def close(self) -> None:
        """Finish a video, and write the objects of all images."""
        self._close_video()
        if not self.predictor.finds_label_maps and self.images:
            categories = [dict(id=number, name=name) for number, name in enumerate(self.predictor.classes, 1)]
            whole = dict(**self.entries, categories=categories)
            (self.out / FILE).write_text(json.dumps(whole), encoding='utf-8')


def _places(sources: Iterable[Source]) -> dict[str, Path]:
    """Where the picture of each source goes, below the folder of the results; no two at one place."""
    places: dict[str, Path] = {}
    taken: set[str] = set()
    for source in sources:
        wanted = source.place
        if source.is_video:
            wanted = wanted.with_suffix('.mp4')
        elif wanted.suffix.lower() not in PHOTOS:
            wanted = wanted.with_suffix('.png')
        place, number = wanted, 1
        while str(place).lower() in taken:
            number += 1
            place = wanted.with_stem(f'{wanted.stem}-{number}')
        taken.add(str(place).lower())
        places[source.name] = place
    return places
