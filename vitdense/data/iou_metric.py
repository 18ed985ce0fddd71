"""MMSegmentation's score, which tells the classes apart."""

from typing import Any

import torch
from mmseg.evaluation import IoUMetric


class ClassIoUMetric(IoUMetric):
    """MMSegmentation's IoUMetric, which keeps of each class what it writes to the log alone.

    Attributes:
        per_class: of the last evaluation: for each class its share of the labelled pixels and of the
            predicted ones, and its IoU, all in percent; the IoU is −1 where a class is in neither.
    """

    per_class: dict[str, dict[str, dict[str, float]]] = {}

    def compute_metrics(self, results: list) -> dict[str, float]:
        """The scores by their names, as MMSegmentation's."""
        self.per_class = {}
        if not self.format_only:
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
