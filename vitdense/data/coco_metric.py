"""COCO's score, also of a detector that detects nothing."""

import numpy as np
from mmdet.evaluation import CocoMetric
from pycocotools import mask as coco_mask


class TotalCocoMetric(CocoMetric):
    """MMDetection's CocoMetric, which has no score at all if no image has a detection; here that scores 0.

    A detection that hits nothing is worth the same as none. So one is put in, and COCO's own evaluation says
    the rest: 0, or −1 where there is nothing to detect.
    """

    def compute_metrics(self, results: list) -> dict[str, float]:
        """As MMDetection's: the scores by their names."""
        if not any(len(predicted['labels']) for _, predicted in results):
            truth, predicted = results[0]
            results = [(truth, _miss(truth, predicted)), *results[1:]]
        return super().compute_metrics(results)


def _miss(truth: dict, predicted: dict) -> dict:
    """One detection of the first class outside the image, with an empty mask if there are masks."""
    miss: dict = dict(
        bboxes=np.array([[-2.0, -2.0, -1.0, -1.0]]), scores=np.zeros(1), labels=np.zeros(1, dtype=int)
    )
    if 'masks' in predicted:
        nothing = np.zeros((truth['height'], truth['width']), dtype=np.uint8, order='F')
        miss['masks'] = [coco_mask.encode(nothing)]
    return predicted | miss
