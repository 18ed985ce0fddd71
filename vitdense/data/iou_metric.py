"""MMSegmentation's score, which tells the classes, and the images, apart."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from mmseg.evaluation import IoUMetric
from torch import Tensor

from ..analysis.confusion import pixel_confusion

SIDE = 416  # pixels of the longer side
NOTHING = np.iinfo(np.uint16).max


@dataclass(frozen=True)
class SmallMap:
    """A label map of at most `SIDE` pixels, compressed: the whole validation's are kept.

    shape: (H, W).
    values: uint16; 65535 where nothing is labelled.
    """

    shape: tuple[int, int]
    values: bytes

    @classmethod
    def of(cls, labels: Tensor, classes: int) -> 'SmallMap':
        """Of a label map (H, W); what is no class is nothing."""
        scale = min(1.0, SIDE / max(labels.shape))
        height, width = (max(1, round(side * scale)) for side in labels.shape)
        rows, columns = (
            (torch.arange(new, device=labels.device) * old) // new
            for new, old in zip((height, width), labels.shape, strict=True)
        )
        small = labels[rows[:, None], columns].long()
        values = small.where((small >= 0) & (small < classes), NOTHING).cpu().numpy().astype(np.uint16)
        return cls((height, width), zlib.compress(values.tobytes(), 1))

    def labels(self) -> np.ndarray:
        """(H, W)."""
        return np.frombuffer(zlib.decompress(self.values), np.uint16).reshape(self.shape)


@dataclass(frozen=True)  # MMEngine makes a plain tuple of a named one
class ImagePixels:
    """The pixels of one image, by their class in truth and in the prediction; of few pairs there are any.

    name: its path, or ''.
    truth, prediction: its label maps, no larger than they are shown.
    pairs: (K,), class in truth × C + class in the prediction.
    counts: (K,), how many pixels have them.
    """

    name: str
    truth: SmallMap
    prediction: SmallMap
    pairs: np.ndarray
    counts: np.ndarray

    def confusion(self, classes: int) -> np.ndarray:
        """(C, C): rows are the truth, columns the prediction."""
        matrix = np.zeros(classes * classes, dtype=np.int64)
        matrix[self.pairs] = self.counts
        return matrix.reshape(classes, classes)


class ClassIoUMetric(IoUMetric):
    """MMSegmentation's IoUMetric, which keeps of each class, and of each image, what goes into the score.

    Attributes:
        per_class: of the last evaluation: for each class its share of the labelled pixels and of the
            predicted ones, and its IoU, all in percent; the IoU is −1 where a class is in neither.
        images: of the last evaluation.
    """

    per_class: dict[str, dict[str, dict[str, float]]] = {}
    images: Sequence[ImagePixels] = ()

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """As MMSegmentation's, with each image's name and its pairs of classes."""
        before = len(self.results)
        super().process(data_batch, data_samples)
        added = self.results[before:]  # none, where the results are only written down
        self.results[before:] = [
            (*areas, self._pixels(sample))
            for areas, sample in zip(added, data_samples if added else (), strict=True)
        ]

    def _pixels(self, sample: dict) -> ImagePixels:
        predicted = sample['pred_sem_seg']['data'].squeeze()
        truth = sample['gt_sem_seg']['data'].squeeze().to(predicted)
        classes = len(self.dataset_meta['classes'])
        # a label that is no class: MMSegmentation counts what is predicted there, and this does not
        truth = truth.where((truth >= 0) & (truth < classes), self.ignore_index)
        matrix = pixel_confusion(predicted, truth, classes, self.ignore_index).ravel()
        pairs = np.flatnonzero(matrix)
        maps = SmallMap.of(truth, classes), SmallMap.of(predicted, classes)
        return ImagePixels(str(sample.get('img_path', '')), *maps, pairs, matrix[pairs])

    def compute_metrics(self, results: list) -> dict[str, float]:
        """The scores by their names, as MMSegmentation's."""
        self.per_class, self.images = {}, ()
        if not self.format_only:
            self.images = [pixels for *_, pixels in results]
            results = [areas for *areas, _ in results]
            common, union, predicted, labelled = (
                torch.stack(areas).sum(0) for areas in zip(*results, strict=True)
            )
            columns = {
                'labelled %': 100 * labelled / labelled.sum(),
                'predicted %': 100 * predicted / predicted.sum(),
                'IoU': (100 * common / union).nan_to_num(nan=-1),
            }
            self.per_class['pixels'] = {
                name: {column: round(values[index].item(), 2) for column, values in columns.items()}
                for index, name in enumerate(self.dataset_meta['classes'])
            }
        scores: dict[str, Any] = super().compute_metrics(results)
        return scores
