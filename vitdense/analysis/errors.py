"""Why a detector loses average precision: the error kinds of TIDE.

Bolya et al., 'TIDE: A General Toolbox for Identifying Object Detection Errors', ECCV 2020, section 3.
"""

from typing import NamedTuple

import numpy as np

from .detections import DetectionEvaluation
from .ranking import Ranking

KINDS = ('classification', 'localisation', 'both', 'duplicate', 'background', 'missed')
FOREGROUND = 0.5  # IoU; the one of background is DetectionEvaluation's least overlap, 0.1


class ErrorKind(NamedTuple):
    """How many errors of a kind there are, and what average precision would gain without them."""

    number: int
    gain: float  # of AP at IoU 0.5, 0 to 1


class FoundErrors(NamedTuple):
    """The error of each detection, and the objects that were missed.

    `kind` is (D,) an index into KINDS, −1 for a true detection and one that is ignored; `target` is (D,) the
    index of the object that a classification or localisation error overlaps most, −1 for others; `missed` is
    (G,) whether no detection found an object and none is such an error at it.
    """

    kind: np.ndarray
    target: np.ndarray
    missed: np.ndarray


def find_errors(evaluation: DetectionEvaluation) -> FoundErrors:
    """The error kind of every false detection at IoU 0.5, by its largest IoU with objects of its image.

    The first that applies, where 'own' objects are those of the class of the detection:

    - localisation: IoU with an own object is from 0.1 to below 0.5;
    - classification: IoU with an object of another class is at least 0.5;
    - duplicate: IoU with an own object is at least 0.5, and another detection is matched to it;
    - both: IoU with an object of another class is from 0.1 to below 0.5;
    - background: no IoU is at least 0.1.
    """
    own = (
        evaluation.labels[evaluation.overlap_detection] == evaluation.object_labels[evaluation.overlap_object]
    )
    own_iou, own_object = _largest(evaluation, own)
    other_iou, other_object = _largest(evaluation, ~own)
    rules = dict(
        localisation=(own_object >= 0) & (own_iou < FOREGROUND),
        classification=other_iou >= FOREGROUND,
        duplicate=own_iou >= FOREGROUND,
        both=other_object >= 0,
    )
    kind = np.select(list(rules.values()), [KINDS.index(name) for name in rules], KINDS.index('background'))
    kind[evaluation.matched[:, 0] | evaluation.ignored[:, 0]] = -1
    localised, classified = (kind == KINDS.index(name) for name in ('localisation', 'classification'))
    target = np.select([localised, classified], [own_object, other_object], -1)
    missed = ~evaluation.object_found[:, 0]
    missed[target[target >= 0]] = False
    return FoundErrors(kind, target, missed)


def split_errors(evaluation: DetectionEvaluation) -> dict[str, ErrorKind]:
    """The number of errors of each of KINDS, and the AP at IoU 0.5 gained if that kind alone were mended.

    AP is the mean over the classes with objects. Mended means, after the paper's section 3.3:

    - classification, localisation: the detection becomes a true one of the class of its object. If the object
      is found already it is removed, and of several such errors at one object all but that of the highest
      score are.
    - both, duplicate, background: the detection is removed.
    - missed: the objects do not count. Where no object of a class is left, its AP is 1, or 0 if it has false
      detections.

    The gains do not add up to 1: one error may hide another. They are NaN if there are no objects.
    """
    found = find_errors(evaluation)
    before = _mean(_ranking(evaluation).average_precision())
    split = dict[str, ErrorKind]()
    for index, name in enumerate(KINDS):
        chosen = found.kind == index
        if name == 'missed':
            count, after = found.missed.sum(), _without_missed(evaluation, found.missed)
        elif name in ('classification', 'localisation'):
            count, after = chosen.sum(), _corrected(evaluation, chosen, found.target)
        else:
            count, after = chosen.sum(), _ranking(evaluation, kept=~chosen).average_precision()
        split[name] = ErrorKind(int(count), _mean(after) - before)
    return split


def _largest(evaluation: DetectionEvaluation, pairs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(D,) largest IoU of each detection among these pairs and its object, the first of equals; 0 and −1."""
    iou, target = np.zeros(len(evaluation.labels)), np.full(len(evaluation.labels), -1)
    chosen = np.flatnonzero(pairs)[::-1]
    chosen = chosen[np.argsort(evaluation.overlap_iou[chosen], kind='stable')]
    detection = evaluation.overlap_detection[chosen]
    iou[detection] = evaluation.overlap_iou[chosen]  # of several values numpy keeps the last, the largest
    target[detection] = evaluation.overlap_object[chosen]
    return iou, target


def _ranking(
    evaluation: DetectionEvaluation,
    labels: np.ndarray | None = None,
    true: np.ndarray | None = None,
    kept: np.ndarray | None = None,
    counted: np.ndarray | None = None,
) -> Ranking:
    """The detections at IoU 0.5, some of them with other labels or worth, or some of the objects."""
    labels = evaluation.labels if labels is None else labels
    true = evaluation.true[:, 0] if true is None else true
    kept = np.ones(len(labels), dtype=bool) if kept is None else kept
    counted = np.ones(len(evaluation.object_labels), dtype=bool) if counted is None else counted
    return Ranking(
        labels[kept],
        evaluation.scores[kept],
        evaluation.image_index[kept],
        true[kept, None],
        evaluation.ignored[kept, :1],
        evaluation.object_labels[counted],
        evaluation.object_image_index[counted],
        len(evaluation.classes),
    )


def _corrected(evaluation: DetectionEvaluation, errors: np.ndarray, target: np.ndarray) -> np.ndarray:
    """(C, 1) AP with these errors made true detections of their objects, or removed."""
    free = np.flatnonzero(errors)
    free = free[~evaluation.object_found[target[free], 0]]
    free = free[np.argsort(-evaluation.scores[free], kind='stable')]
    best = free[np.unique(target[free], return_index=True)[1]]  # the first at each object
    labels, true, kept = evaluation.labels.copy(), evaluation.true[:, 0].copy(), ~errors
    labels[best] = evaluation.object_labels[target[best]]
    true[best] = kept[best] = True
    return _ranking(evaluation, labels, true, kept).average_precision()


def _without_missed(evaluation: DetectionEvaluation, missed: np.ndarray) -> np.ndarray:
    """(C, 1) AP without the missed objects."""
    average = _ranking(evaluation, counted=~missed).average_precision()
    false = np.bincount(
        evaluation.labels[~evaluation.matched[:, 0] & ~evaluation.ignored[:, 0]],
        minlength=len(evaluation.classes),
    )
    emptied = np.isnan(average[:, 0]) & (evaluation.objects.sum(axis=0) > 0)
    average[emptied, 0] = false[emptied] == 0
    return average


def _mean(average: np.ndarray) -> float:
    scored = average[~np.isnan(average)]
    return float(scored.mean()) if scored.size else float('nan')
