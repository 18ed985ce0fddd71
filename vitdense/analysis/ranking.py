"""COCO's average precision of detections that are matched already, for any weights of the images."""

import numpy as np

RECALLS = np.linspace(0, 1, 101)  # where COCO reads the precision


class Ranking:
    """Detections by class and falling score, from which average precision takes a few passes.

    Precision falls with every false detection and rises with a true one alone. So the largest precision
    from any detection on is that of a true one, and only the true ones need a look: `hits`, for each class
    and IoU threshold in the order of score.

    Args:
        label: (D,) class of each detection; the order within an image is that of equal scores.
        score: (D,).
        image: (D,) index of the image of each detection.
        matched: (D, T) whether it has an object at each IoU threshold, a crowd included.
        ignored: (D, T) whether it counts as neither true nor false.
        object_label: (G,) class of each object that counts.
        object_image: (G,) index of its image.
        classes: how many classes there are, C.
    """

    def __init__(
        self,
        label: np.ndarray,
        score: np.ndarray,
        image: np.ndarray,
        matched: np.ndarray,
        ignored: np.ndarray,
        object_label: np.ndarray,
        object_image: np.ndarray,
        classes: int,
    ):
        order = np.lexsort((-score, label))  # stable: equal scores stay in order
        label, matched, ignored = label[order], matched[order], ignored[order]
        self.shape = (classes, matched.shape[1])
        self.image, self.object_label, self.object_image = image[order], object_label, object_image
        # a group is a class at an IoU threshold
        self.hits, self.group = self._by_group(matched & ~ignored, label)
        self.skips, skip_group = self._by_group(ignored, label)
        self.hit_label = self.group // self.shape[1]
        self.class_start = np.searchsorted(label, np.arange(classes))[self.hit_label]
        self.group_edges = np.searchsorted(self.group, np.arange(classes * self.shape[1] + 1))
        self.group_start = self.group_edges[self.group]
        self.used_groups = np.unique(self.group)
        key = skip_group * len(label) + self.skips
        self.skips_before = np.searchsorted(key, self.group * len(label) + self.hits)
        self.skips_start = np.searchsorted(skip_group, self.group)

    def _by_group(self, chosen: np.ndarray, label: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        position, threshold = np.nonzero(chosen)
        group = label[position].astype(np.int64) * self.shape[1] + threshold
        order = np.argsort(group, kind='stable')
        return position[order], group[order]

    def objects(self, weights: np.ndarray | None = None) -> np.ndarray:
        """(C,) objects of each class, each counted as often as its image."""
        each = None if weights is None else weights[self.object_image]
        return np.bincount(self.object_label, each, minlength=self.shape[0])

    def curves(self, weights: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """(hits,) recall at each hit, and the largest precision from there on, as COCO has them."""
        weight = np.ones(len(self.image)) if weights is None else weights[self.image].astype(float)
        counted, skipped, found = (
            _sums(part) for part in (weight, weight[self.skips], weight[self.hits])
        )  # each with the sum of none first
        true = found[1:] - found[self.group_start]
        false_and_true = (
            counted[self.hits + 1]
            - counted[self.class_start]
            - (skipped[self.skips_before] - skipped[self.skips_start])
        )
        precision = true / (false_and_true + np.spacing(1))
        objects = self.objects(weights)
        recall = true / np.where(objects > 0, objects, 1)[self.hit_label]
        for group in self.used_groups:
            part = precision[self.group_edges[group] : self.group_edges[group + 1]]
            part[:] = np.maximum.accumulate(part[::-1])[::-1]
        return recall, precision

    def average_precision(self, weights: np.ndarray | None = None) -> np.ndarray:
        """(C, T) mean of the precision at 101 recalls; NaN for a class without objects."""
        recall, precision = self.curves(weights)
        reached = np.searchsorted(RECALLS, recall, side='right')
        before = np.concatenate([[0], reached])[:-1]
        before[self.group_edges[self.used_groups]] = 0
        sums = np.bincount(self.group, precision * (reached - before), minlength=np.prod(self.shape))
        average = sums.reshape(self.shape) / len(RECALLS)
        average[self.objects(weights) == 0] = np.nan
        return average

    def precision(self, threshold: int) -> np.ndarray:
        """(C, 101) precision at COCO's recalls, at the IoU threshold of this index."""
        recall, precision = self.curves()
        table = np.zeros((self.shape[0], len(RECALLS)))
        for label, row in enumerate(table):
            group = label * self.shape[1] + threshold
            part = slice(self.group_edges[group], self.group_edges[group + 1])
            row[:] = np.append(precision[part], 0)[np.searchsorted(recall[part], RECALLS)]
        table[self.objects() == 0] = np.nan
        return table


def _sums(values: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(values)])
