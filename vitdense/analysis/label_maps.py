"""What the label map of each image of a validation was worth."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from .detections import check_weights


@dataclass(frozen=True, eq=False)
class LabelMapEvaluation:
    """Areas of the C classes in the label maps of I images, in pixels, without those that are ignored.

    Attributes:
        classes: names, (C,).
        images: names, (I,).
        intersection: (I, C) pixels that are of the class and predicted so, int64.
        predicted: (I, C) pixels that are predicted so, int64.
        labelled: (I, C) pixels that are so in truth, int64.
        confusion: (C, C) pixels of all images: rows are the truth, columns the prediction, int64.
    """

    classes: tuple[str, ...]
    images: tuple[str, ...]
    intersection: np.ndarray
    predicted: np.ndarray
    labelled: np.ndarray
    confusion: np.ndarray

    def iou(self, weights: np.ndarray | None = None) -> np.ndarray:
        """(C,) IoU of each class over all images, 0 to 1; NaN for a class in neither truth nor prediction.

        Args:
            weights: (I,) how often each image counts; once each by default.

        Raises:
            ValueError: another number of weights than images.
        """
        weights = check_weights(weights, len(self.images))
        weights = np.ones(len(self.images), dtype=np.int64) if weights is None else weights
        return _ratio(weights @ self.intersection, weights @ self.union)

    def score(self, weights: np.ndarray | None = None) -> float:
        """Mean IoU as MMSegmentation's mIoU, but 0 to 1 instead of percent; NaN if there are no pixels."""
        iou = self.iou(weights)
        scored = iou[~np.isnan(iou)]
        return float(scored.mean()) if scored.size else float('nan')

    def image_scores(self) -> np.ndarray:
        """(I,) mean IoU of each image over the classes in its truth or prediction, 0 to 1.

        An image of which every pixel is ignored scores 1.
        """
        iou = _ratio(self.intersection, self.union)
        present = ~np.isnan(iou)
        count = present.sum(axis=1)
        return np.where(count > 0, np.nansum(iou, axis=1) / np.maximum(count, 1), 1.0)

    @property
    def union(self) -> np.ndarray:
        """(I, C) pixels that are of the class in truth, prediction or both."""
        return self.predicted + self.labelled - self.intersection


def evaluate_label_maps(
    names: Sequence[str], confusions: Iterable[np.ndarray], classes: Sequence[str]
) -> LabelMapEvaluation:
    """The evaluation of images by their confusion matrices.

    Args:
        names: of the images, (I,).
        confusions: of each image, (C, C) as `pixel_confusion` counts them. They are summed up one by one.
        classes: names of the classes, (C,).

    Raises:
        ValueError: another number of matrices than names, or one of another shape.
    """
    count = len(classes)
    total = np.zeros((count, count), dtype=np.int64)
    areas = []
    for matrix in confusions:
        if matrix.shape != total.shape:
            raise ValueError(f'a matrix of shape {matrix.shape}: expected {total.shape}, as many as classes')
        total += matrix
        areas.append((np.diagonal(matrix), matrix.sum(axis=0), matrix.sum(axis=1)))
    if len(areas) != len(names):
        raise ValueError(f'{len(areas)} matrices for {len(names)} images')
    stacked = np.array(areas, dtype=np.int64).reshape(len(areas), 3, count)
    intersection, predicted, labelled = (np.ascontiguousarray(stacked[:, part]) for part in range(3))
    return LabelMapEvaluation(tuple(classes), tuple(names), intersection, predicted, labelled, total)


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.full(whole.shape, np.nan), where=whole > 0)
