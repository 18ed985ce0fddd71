"""The sample world on disk, in the file layouts of COCO 2017 and of ADE20K.

    <root>/coco/annotations/instances_{train,val}2017.json
    <root>/coco/{train,val}2017/000000000001.png
    <root>/ade/ADEChallengeData2016/images/{training,validation}/ADE_{train,val}_00000001.png
    <root>/ade/ADEChallengeData2016/annotations/{training,validation}/ADE_{train,val}_00000001.png

One picture serves both. It is PNG, not JPEG as in the originals: JPEG decoders differ in the last bit.
"""

import json
import multiprocessing
import os
import shutil
import signal
import tempfile
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from pycocotools import mask as coco_mask

from .things import CLASSES
from .world import COUNTS, draw_scene

VERSION = 2  # of the pixels and annotations; a new number is a new folder, so no cache is ever out of date
# Of CLASSES; with gaps, as in COCO, so that an id is never mistaken for an index.
CATEGORY_IDS = (1, 2, 4, 7, 11)

_FIRST_IMAGE_ID = {'train': 1, 'val': 1001}


def root():
    """The folder of the sample world, written first if it is missing, which takes some seconds.

    It lies in `$VITDENSE_CACHE`, else `$XDG_CACHE_HOME/vitdense`, else `~/.cache/vitdense`. Any number of
    processes may call this at once. Raises OSError if the cache cannot be written.
    """
    own = os.environ.get('VITDENSE_CACHE')
    cache = Path(own) if own else Path(os.environ.get('XDG_CACHE_HOME') or '~/.cache') / 'vitdense'
    folder = cache.expanduser().absolute() / f'sample-v{VERSION}'
    if not folder.is_dir():
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            _write_whole(folder)
        except OSError as error:
            raise OSError(
                f'cannot write the sample world to {folder}: {error}; set VITDENSE_CACHE to a writable folder'
            ) from error
    return folder


def _write_whole(folder):
    """Write under another name beside `folder`, then rename: `folder` is either complete or not there."""
    draft = Path(tempfile.mkdtemp(prefix=f'{folder.name}.part-', dir=folder.parent))
    try:
        write(draft / 'whole')
        try:
            (draft / 'whole').rename(folder)
        except OSError:
            if not folder.is_dir():  # else another process was first, and its folder is the same as ours
                raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def write(folder):
    """Write both layouts, of both splits, into `folder`, which is created."""
    with _drawing_processes() as pool:
        for split, count in COUNTS.items():
            places = _Places.of(folder, split)
            for place in places:
                place.mkdir(parents=True, exist_ok=True)
            images: list[dict] = []
            annotations: list[dict] = []
            for image, found in pool(partial(_draw, places, split), range(count)):
                images.append(image)
                annotations += [dict(one, id=len(annotations) + i) for i, one in enumerate(found, 1)]
            whole = dict(
                info=dict(description='The sample world of vitdense', version=str(VERSION), year=2025),
                licenses=[dict(id=1, name='Apache-2.0', url='https://www.apache.org/licenses/LICENSE-2.0')],
                images=images,
                annotations=annotations,
                categories=[
                    dict(id=i, name=name, supercategory='thing')
                    for i, name in zip(CATEGORY_IDS, CLASSES, strict=True)
                ],
            )
            (places.annotations / f'instances_{split}2017.json').write_text(json.dumps(whole))


class _Places(NamedTuple):
    """The folders of a split: COCO's annotations and pictures, ADE20K's pictures and label maps."""

    annotations: Path
    pictures: Path
    copies: Path
    labels: Path

    @classmethod
    def of(cls, folder, split):
        long = {'train': 'training', 'val': 'validation'}[split]
        coco, ade = folder / 'coco', folder / 'ade' / 'ADEChallengeData2016'
        return cls(
            coco / 'annotations', coco / f'{split}2017', ade / 'images' / long, ade / 'annotations' / long
        )


@contextmanager
def _drawing_processes():
    """A `map` on all cores, where a process can be forked; each scene takes some 20 ms of one."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else 1
    if cores == 1 or multiprocessing.current_process().daemon:  # which may have no processes of its own
        yield map
        return
    interrupt = (signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that waits for them
    with multiprocessing.get_context('fork').Pool(cores, signal.signal, interrupt) as pool:
        yield partial(pool.imap, chunksize=8)


def _draw(places, split, index):
    """Write the files of a scene; COCO's entry of the image and its annotations."""
    scene = draw_scene(split, index)
    image_id = _FIRST_IMAGE_ID[split] + index
    picture, name = places.pictures / f'{image_id:012d}.png', f'ADE_{split}_{index + 1:08d}.png'
    _write_png(picture, scene.image[..., ::-1])
    _write_png(places.labels / name, scene.labels)
    _link(picture, places.copies / name)
    height, width = scene.seen.shape
    image = dict(id=image_id, file_name=picture.name, height=height, width=width, license=1)
    return image, annotate(scene, image_id)


def annotate(scene, image_id):
    """The COCO annotations of a scene's things, each of what is seen of it; ids count up from 1."""
    annotations = []
    for number, (kind, crowd) in enumerate(scene.things, 1):
        mask = (scene.seen == number).astype(np.uint8)
        x, y, width, height = cv2.boundingRect(mask)
        annotations.append(
            dict(
                id=number,
                image_id=image_id,
                category_id=CATEGORY_IDS[kind],
                bbox=[float(x), float(y), float(width), float(height)],
                area=float(mask.sum()),
                iscrowd=int(crowd),
                segmentation=_run_lengths(mask) if crowd else outline(mask) or _run_lengths(mask),
            )
        )
    return annotations


def outline(mask):
    """The outer edge of each connected part of a mask (H, W) uint8, as COCO polygons [x1, y1, x2, y2, …].

    The corners are corners of pixels, so the polygons fill to exactly the mask and measure exactly its area.
    OpenCV would trace the centres of the border pixels; on a mask three times as large, the third of a traced
    coordinate rounds to the corner. Returns None if the mask has a hole, which no COCO polygon can say.
    """
    large = mask.repeat(3, 0).repeat(3, 1)
    contours, tree = cv2.findContours(large, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    if (tree[0, :, 3] >= 0).any():
        return None
    return [((contour.ravel() + 1) // 3).tolist() for contour in contours]


def _run_lengths(mask):
    """A mask (H, W) uint8 as COCO's compressed run lengths."""
    code = coco_mask.encode(np.asfortranarray(mask))
    return dict(size=code['size'], counts=code['counts'].decode())


def _write_png(path, image):
    if not cv2.imwrite(str(path), image, [cv2.IMWRITE_PNG_COMPRESSION, 3]):
        raise OSError(f'cannot write {path}')


def _link(source, target):
    """The same file under a second name, or a copy where the file system has no hard links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
