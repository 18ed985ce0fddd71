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
        overwrite: whether the folder may hold something already.

    Raises:
        UserError: it holds something, and nothing may be overwritten; or a source would be.
    """

    def __init__(
        self, out: Path, predictor: Predictor, sources: Iterable[Source], pictures: bool, overwrite: bool
    ):
        self.out, self.predictor, self.pictures = out, predictor, pictures
        self.places, self.maps = _places(sources), _places(sources, maps=True)
        self._make_folder(sources, overwrite)
        self.counts, self.images = Counter[str](), 0
        self.entries: dict[str, list[dict[str, Any]]] = dict(images=[], annotations=[])
        self.video: Any = None
        self.video_name = ''

    def _make_folder(self, sources: Iterable[Source], overwrite: bool) -> None:
        out = self.out
        refuse_to_overwrite(out, sources, overwrite)
        files = [one for one in sources if isinstance(one.value, Path)]
        originals = {one.value.resolve(): one for one in files}
        for place in (*self.places.values(), *self.maps.values()):
            if original := originals.get((out / place).resolve()):  # through a link
                raise UserError(
                    f'--out {out}: {place} is {original.name}, which is predicted on; expected another folder'
                )
        out.mkdir(parents=True, exist_ok=True)

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
            here = self.out / self.maps[result.name]
            if result.frame is not None:
                here = here.with_suffix('') / f'{result.frame:06}.png'
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
            if not self.video.isOpened():
                raise UserError(f'{place}: this video cannot be written')
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


def refuse_to_overwrite(out: Path, sources: Iterable[Source], overwrite: bool) -> None:
    """Whether results of these sources may go into a folder.

    Raises:
        UserError: it holds something, and nothing may be overwritten; or it holds a source.
    """
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not overwrite)):
        raise UserError(
            f'--out {out}: is there already; expected a new folder, or an empty one, or --overwrite'
        )
    for one in sources:
        if not isinstance(one.value, Path):
            continue
        if out.absolute() in one.value.absolute().parents or out.resolve() in one.value.resolve().parents:
            raise UserError(f'--out {out}: holds {one.name}, which is read; expected another folder')


def _places(sources: Iterable[Source], maps: bool = False) -> dict[str, Path]:
    """Where the picture, or the label map, of each source goes, below the folder of the results.

    No two are at one place, nor is one where another's folder is.
    """
    wanted = {source.name: _wanted(source, maps) for source in sources}
    taken = {str(parent).lower() for place in wanted.values() for parent in place.parents}
    taken |= {FILE, LABEL_MAPS}
    places: dict[str, Path] = {}

    def is_taken(place: Path) -> bool:
        folder_of_frames = maps and str(place.with_suffix('')).lower() in taken
        return folder_of_frames or str(place).lower() in taken

    for name, first in wanted.items():
        place, number = first, 1
        while is_taken(place):
            number += 1
            place = first.with_stem(f'{first.stem}-{number}')
        taken.add(str(place).lower())
        places[name] = place
    return places


def _wanted(source: Source, maps: bool) -> Path:
    place = source.place
    if place.parts[0] == LABEL_MAPS and not maps:
        place = Path(f'{LABEL_MAPS}-2', *place.parts[1:])
    if maps:
        return Path(LABEL_MAPS, place).with_suffix('.png')
    if source.is_video:
        return place.with_suffix('.mp4')
    return place if place.suffix.lower() in PHOTOS else place.with_suffix('.png')
