"""What each detection of a validation was worth, by COCO's rules."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from .matching import detections_of, ious_of, match, objects_of
from .ranking import RECALLS, Ranking

IOUS = np.linspace(0.5, 0.95, 10)  # COCO's thresholds
LEAST_OVERLAP = 0.1  # a detection that overlaps less is on the background


@dataclass(frozen=True, eq=False)
class DetectionEvaluation:
    """The detections of I images, matched to their objects of C classes.

    Detections, D of them, are in the order of the images; objects, G of them, are those that are no crowds.

    Attributes:
        kind: 'bbox' or 'segm'.
        classes: names, (C,).
        images: names, (I,).
        image_index: (D,) index of the image of a detection.
        labels: (D,) index of its class.
        scores: (D,).
        matched: (D, 10) whether it is matched to an object or a crowd at each of COCO's IoU thresholds.
        ignored: (D, 10) whether it is matched to a crowd, and counts as neither true nor false.
        object_image_index: (G,) index of the image of an object.
        object_labels: (G,) index of its class.
        object_found: (G, 10) whether it is matched at each IoU threshold.
        overlap_detection: (P,) index of the detection of each pair of a detection and an object of any class
            in its image whose IoU is at least 0.1.
        overlap_object: (P,) index of its object.
        overlap_iou: (P,) its IoU.
    """

    kind: str
    classes: tuple[str, ...]
    images: tuple[str, ...]
    image_index: np.ndarray
    labels: np.ndarray
    scores: np.ndarray
    matched: np.ndarray
    ignored: np.ndarray
    object_image_index: np.ndarray
    object_labels: np.ndarray
    object_found: np.ndarray
    overlap_detection: np.ndarray
    overlap_object: np.ndarray
    overlap_iou: np.ndarray

    @cached_property
    def objects(self) -> np.ndarray:
        """(I, C) objects of each class in each image, without crowds."""
        counts = np.zeros((len(self.images), len(self.classes)), dtype=np.int64)
        np.add.at(counts, (self.object_image_index, self.object_labels), 1)
        return counts

    @cached_property
    def true(self) -> np.ndarray:
        """(D, 10) whether a detection is a true one at each IoU threshold."""
        return self.matched & ~self.ignored

    @cached_property
    def _ranking(self) -> Ranking:
        return Ranking(
            self.labels,
            self.scores,
            self.image_index,
            self.matched,
            self.ignored,
            self.object_labels,
            self.object_image_index,
            len(self.classes),
        )

    def average_precision(self, weights: np.ndarray | None = None) -> np.ndarray:
        """(C, 10) COCO's average precision of each class at each IoU; NaN for a class without objects.

        Args:
            weights: (I,) how often each image counts; once each by default.

        Raises:
            ValueError: another number of weights than images.
        """
        return self._ranking.average_precision(check_weights(weights, len(self.images)))

    def score(self, weights: np.ndarray | None = None) -> float:
        """COCO's mAP, 0 to 1: the mean over the IoUs and the classes with objects; NaN if there are none."""
        average = self.average_precision(weights)
        scored = average[~np.isnan(average)]
        return float(scored.mean()) if scored.size else float('nan')

    @cached_property
    def best_threshold(self) -> float:
        """The score from which on the detections of all classes have the largest F1 at IoU 0.5.

        The highest such score; 0 if there is no detection.
        """
        counted = ~self.ignored[:, 0]
        order = np.argsort(-self.scores[counted], kind='stable')
        score, true = self.scores[counted][order], self.true[counted, 0][order]
        if not len(score):
            return 0.0
        f1 = 2 * np.cumsum(true) / (np.arange(1, len(score) + 1) + len(self.object_labels))
        last = np.append(score[1:] != score[:-1], True)  # equal scores stand or fall together
        return float(score[last][np.argmax(f1[last])])

    def image_scores(self) -> np.ndarray:
        """(I,) F1 of each image at IoU 0.5, 0 to 1, over its detections of at least `best_threshold`.

        Detections that are ignored do not count. An image with neither objects nor such detections scores 1.
        """
        chosen = (self.scores >= self.best_threshold) & ~self.ignored[:, 0]
        found = np.bincount(self.image_index[chosen], minlength=len(self.images))
        true = np.bincount(self.image_index[chosen & self.true[:, 0]], minlength=len(self.images))
        both = found + self.objects.sum(axis=1)
        return np.where(both > 0, 2 * true / np.maximum(both, 1), 1.0)

    def precision_recall(self, iou: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
        """(101,) recalls, and (C, 101) the precision of each class there, as COCO interpolates it.

        Raises:
            ValueError: an IoU that is none of COCO's thresholds.
        """
        near = np.flatnonzero(np.isclose(IOUS, iou))
        if not len(near):
            raise ValueError(f'iou={iou}: expected one of {", ".join(f"{each:.2f}" for each in IOUS)}')
        return RECALLS, self._ranking.precision(near[0])


def check_weights(weights: np.ndarray | None, images: int) -> np.ndarray | None:
    """The weights as an array, if there is one for each image.

    Raises:
        ValueError: if there is not.
    """
    if weights is None:
        return None
    weights = np.asarray(weights)
    if weights.shape != (images,):
        raise ValueError(f'weights of shape {weights.shape}: expected ({images},), one for each image')
    return weights


def evaluate_detections(
    coco_api: Any,
    predictions: Sequence[dict],
    cat_ids: Sequence[int],
    img_ids: Sequence[int],
    classes: Sequence[str],
    kind: str,
) -> DetectionEvaluation:
    """Match the detections of a validation to its objects, as pycocotools does.

    Args:
        coco_api: pycocotools' COCO of the annotations, which stays as it is.
        predictions: of each image, as MMDetection's CocoMetric keeps them: `img_id`, `bboxes` (N, 4) as
            left, top, right, bottom in pixels, `scores` (N,), `labels` (N,) as indices into `cat_ids`, and
            with 'segm' `masks`, run-length encoded, and perhaps `mask_scores` (N,). Images without one have
            no detection; those that are not in `img_ids` are left out.
        cat_ids: COCO's ids of the classes, (C,).
        img_ids: of the images to evaluate; the evaluation has them in rising order, as COCO does.
        classes: names of the classes, (C,).
        kind: 'bbox' or 'segm'.

    Raises:
        ValueError: another kind, or another number of names than of ids.
    """
    if kind not in ('bbox', 'segm'):
        raise ValueError(f"kind={kind!r}: expected 'bbox' or 'segm'")
    if len(classes) != len(cat_ids):
        raise ValueError(f'{len(classes)} classes and {len(cat_ids)} cat_ids: expected as many')
    img_ids = sorted(set(img_ids))
    images = [coco_api.imgs[image] for image in img_ids]
    categories = [dict(id=category, name=name) for category, name in zip(cat_ids, classes, strict=True)]
    objects = objects_of(coco_api, img_ids, cat_ids)
    detections = detections_of(predictions, img_ids, cat_ids, kind)
    results = match(images, categories, objects, detections, kind)

    detection_ids, matched, ignored = _rows(results, 'dtIds', 'dtMatches', 'dtIgnore')
    object_ids, found, _ = _rows(results, 'gtIds', 'gtMatches', 'gtMatches')
    counts = np.array([not objects[number - 1]['iscrowd'] for number in object_ids], dtype=bool)
    counted = [objects[number - 1] for number in object_ids[counts]]
    kept = [detections[number - 1] for number in detection_ids]
    places = {image: place for place, image in enumerate(img_ids)}
    labels = {category: label for label, category in enumerate(cat_ids)}
    image, object_image = (_indices(places, side, 'image_id') for side in (kept, counted))
    overlaps = _overlaps(kept, counted, image, object_image, len(images), kind)
    return DetectionEvaluation(
        kind=kind,
        classes=tuple(classes),
        images=tuple(str(each.get('file_name') or each['id']) for each in images),
        image_index=image,
        labels=_indices(labels, kept, 'category_id'),
        scores=np.array([detection['score'] for detection in kept], dtype=float),
        matched=matched,
        ignored=ignored,
        object_image_index=object_image,
        object_labels=_indices(labels, counted, 'category_id'),
        object_found=found[counts],
        overlap_detection=overlaps[0],
        overlap_object=overlaps[1],
        overlap_iou=overlaps[2],
    )


def _rows(
    results: list[dict], ids: str, first: str, second: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(N,) ids of all results in rising order, and of each (N, 10) whether two values are other than 0."""
    if not results:
        nothing = np.zeros((0, len(IOUS)), dtype=bool)
        return np.zeros(0, dtype=int), nothing, nothing
    numbers = np.concatenate([np.array(result[ids], dtype=int) for result in results])
    order = np.argsort(numbers)
    rows = [np.concatenate([result[key] != 0 for result in results], axis=1).T for key in (first, second)]
    return numbers[order], rows[0][order], rows[1][order]


def _indices(places: dict[int, int], found: list[dict], key: str) -> np.ndarray:
    return np.array([places[each[key]] for each in found], dtype=np.int32)


def _overlaps(
    detections: list[dict],
    objects: list[dict],
    image: np.ndarray,
    object_image: np.ndarray,
    images: int,
    kind: str,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Indices of detection and object, and the IoU, of all pairs in one image that overlap."""
    edges = np.arange(images + 1)
    ends, object_ends = (np.searchsorted(side, edges) for side in (image, object_image))
    nothing = np.zeros(0, dtype=np.int32)
    pairs: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = [(nothing, nothing, np.zeros(0))]
    for index in range(images):
        here = detections[ends[index] : ends[index + 1]]
        objects_here = objects[object_ends[index] : object_ends[index + 1]]
        ious = ious_of(here, objects_here, kind)
        rows, columns = (each.astype(np.int32) for each in np.nonzero(ious >= LEAST_OVERLAP))
        start, object_start = np.int32(ends[index]), np.int32(object_ends[index])
        pairs.append((rows + start, columns + object_start, ious[rows, columns]))
    detection, of_object, iou = (np.concatenate(part) for part in zip(*pairs, strict=True))
    return detection, of_object, iou
