"""A large image in overlapping tiles, each of which is predicted as an image by itself.

Of detectors, the supervision package cuts the image, and puts the parts of one object together: of the same
class, where the smaller one overlaps with the larger by half of itself (as SAHI does, Akyon et al., ICIP
2022). Segmentors have MMSegmentation's sliding window, in which overlapping scores are averaged.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from ..config.tree import dicts
from ..data.own_sizes import pair
from .result import Result, encoded, import_supervision
from .sources import Photo

if TYPE_CHECKING:
    from .predictor import Predictor

OVERLAP = 0.2  # of a tile's side, with the next one
SAME = 0.5  # of the smaller part's area, in the larger one


def predict_tiles(
    predictor: 'Predictor', photo: Photo, tile: int, size: int | None, score: float, batch: int
) -> Result:
    """As `Predictor.predict` for an image; one that is not larger than a tile is not cut.

    Args:
        predictor: the model.
        photo: the image.
        tile: pixels of a tile's side.
        size: pixels that a tile's side is resized to; by default the shorter side of the config's tests.
        score: the least.
        batch: how many tiles are computed together.

    Raises:
        UserError: of a detector, the supervision package is not installed.
    """
    if max(photo.image.shape[:2]) <= tile:
        return predictor.answer(photo, size, score)
    if predictor.finds_label_maps:
        with _windows(predictor, photo, tile, size) as scaled:
            return predictor.answer(photo, scaled, score)
    sv = import_supervision()

    def found(images: list[np.ndarray]) -> list[Any]:
        return [one.to_supervision() for one in predictor.predict(images, size, score, batch)]

    slicer = sv.InferenceSlicer(
        found if batch > 1 else lambda image: found([image])[0],
        slice_wh=tile,
        overlap_wh=round(OVERLAP * tile),
        overlap_filter=sv.OverlapFilter.NON_MAX_MERGE,
        overlap_metric=sv.OverlapMetric.IOS,
        iou_threshold=SAME,
        batch_size=batch,
    )
    parts = slicer(photo.image)
    order = np.argsort(-parts.confidence, kind='stable') if len(parts) else np.zeros(0, int)
    parts = parts[order]
    finds_masks = getattr(getattr(predictor.model, 'roi_head', None), 'with_mask', False)
    masks: Any = [] if finds_masks else None
    if parts.mask is not None:
        masks = encoded(np.asarray(parts.mask))
    return Result(
        name=photo.name,
        image=photo.image,
        classes=predictor.classes,
        palette=predictor.palette,
        boxes=parts.xyxy.astype(np.float32).reshape(-1, 4),
        scores=(parts.confidence if len(parts) else np.zeros(0)).astype(np.float32),
        labels=(parts.class_id if len(parts) else np.zeros(0)).astype(np.int64),
        run_lengths=masks,
        frame=photo.frame,
    )


@contextmanager
def _windows(predictor: 'Predictor', photo: Photo, tile: int, size: int | None) -> Iterator[tuple[int, int]]:
    """A segmentor that slides over an image in windows of a tile's size after the resize.

    Yields:
        (W, H) that the whole image is resized to.
    """
    model: Any = predictor.model
    scales = [part['scale'] for part in dicts(predictor.cfg.test_dataloader) if 'scale' in part]
    side = size or (min(pair(scales[0])) if scales else tile)
    before, step = model.test_cfg, max(1, round((1 - OVERLAP) * side))
    model.test_cfg = type(before)(before, mode='slide', crop_size=(side, side), stride=(step, step))
    try:
        height, width = (max(1, round(length * side / tile)) for length in photo.image.shape[:2])
        yield width, height
    finally:
        model.test_cfg = before
