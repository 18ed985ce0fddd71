"""Which classes a detector or a segmentor takes for which."""

from typing import Any

import numpy as np

from .detections import DetectionEvaluation

IOU = 0.5


def detection_confusion(evaluation: DetectionEvaluation, threshold: float | None = None) -> np.ndarray:
    """(C + 1, C + 1) numbers of detections, int64: rows are the truth, columns the prediction.

    Detections and objects are matched one to one at IoU 0.5 or more whatever their classes: the pair with the
    largest IoU first, of equal ones that with the higher score. The last column has the objects left over,
    the last row the detections left over. So a row sums to the objects of its class, and a column to the
    detections of its class. Detections that COCO ignores at IoU 0.5, on crowds, are left out.

    Args:
        evaluation: of the detections.
        threshold: detections of at least this score count; by default `evaluation.best_threshold`.
    """
    threshold = evaluation.best_threshold if threshold is None else threshold
    chosen = (evaluation.scores >= threshold) & ~evaluation.ignored[:, 0]
    pairs = np.flatnonzero((evaluation.overlap_iou >= IOU) & chosen[evaluation.overlap_detection])
    scores = evaluation.scores[evaluation.overlap_detection[pairs]]
    pairs = pairs[np.lexsort((-scores, -evaluation.overlap_iou[pairs]))]
    detections, objects = _one_to_one(evaluation.overlap_detection[pairs], evaluation.overlap_object[pairs])

    nothing = len(evaluation.classes)
    matrix = np.zeros((nothing + 1, nothing + 1), dtype=np.int64)
    np.add.at(matrix, (evaluation.object_labels[objects], evaluation.labels[detections]), 1)
    lost = np.delete(evaluation.object_labels, objects)
    matched = np.isin(np.arange(len(chosen)), detections)
    false = evaluation.labels[chosen & ~matched]
    matrix[:-1, -1] = np.bincount(lost, minlength=nothing)
    matrix[-1, :-1] = np.bincount(false, minlength=nothing)
    return matrix


def _one_to_one(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of pairs in the order of preference: those that are left if each takes its two away from later ones."""
    taken: list[np.ndarray] = []
    order: np.ndarray = np.arange(len(first))
    while len(order):
        sides = (first[order], second[order])
        # a pair that is the first of both its sides loses neither to an earlier one
        leads = [np.isin(np.arange(len(order)), np.unique(side, return_index=True)[1]) for side in sides]
        won = order[leads[0] & leads[1]]
        taken.append(won)
        order = order[~np.isin(first[order], first[won]) & ~np.isin(second[order], second[won])]
    rows = np.concatenate([np.zeros(0, dtype=int), *taken])
    return first[rows], second[rows]


def pixel_confusion(prediction: Any, truth: Any, classes: int, ignore_index: int = 255) -> np.ndarray:
    """(C, C) numbers of pixels of one label map, int64: rows are the truth, columns the prediction.

    Args:
        prediction: (H, W) class of each pixel, an array or a tensor.
        truth: (H, W) the same; pixels of `ignore_index` do not count.
        classes: how many there are, C.
        ignore_index: of pixels without a class.

    Raises:
        ValueError: shapes that differ, or a pixel that counts of no such class.
    """
    import torch
    from torchmetrics.functional.classification import multiclass_confusion_matrix  # takes seconds

    prediction, truth = (torch.as_tensor(each).long() for each in (prediction, truth))
    if prediction.shape != truth.shape:
        raise ValueError(f'prediction of {tuple(prediction.shape)} for truth of {tuple(truth.shape)} pixels')
    counted = truth != ignore_index
    for name, pixels in (('prediction', prediction[counted]), ('truth', truth[counted])):
        if len(pixels) and not 0 <= pixels.min() <= pixels.max() < classes:
            raise ValueError(
                f'{name} has classes {pixels.min()} to {pixels.max()}: expected 0 to {classes - 1} '
                f'or ignore_index={ignore_index}'
            )
    matrix = multiclass_confusion_matrix(
        prediction[counted], truth[counted], num_classes=classes, validate_args=False
    )
    return matrix.cpu().numpy().astype(np.int64)
