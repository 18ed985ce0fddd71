"""COCO's score, right where pycocotools and MMDetection's metric are wrong without a word."""

from collections import Counter
from typing import Any

import numpy as np
from mmdet.evaluation import CocoMetric
from mmengine.registry import METRICS
from pycocotools import mask as coco_mask


class TotalCocoMetric(CocoMetric):
    """MMDetection's CocoMetric, which scores every detector and every file that it takes.

    - MMDetection's has no score at all if no image has a detection. Here that scores 0: one detection that
      hits nothing is put in, which is worth the same as none, and COCO's own evaluation does the rest. It
      says 0, or −1 where there is nothing to detect.
    - pycocotools takes the annotation id 0 for 'no match', and a detection that hits it for a false one. Here
      the annotations are numbered anew from 1.
    - MMDetection gives the APs of classes to others where the categories of the file are not in the order of
      their ids. Here they are those of their classes.
    - pycocotools reads `iscrowd`, which many exports lack, after the whole evaluation. Here it is 0 then.

    Attributes:
        per_class: of the last evaluation, for 'bbox' and for 'segm' if they are scored: for each class its
            objects and its detections, and its AP; −1 where there is no object.
        predictions: of the last evaluation, as MMDetection's metric has them; of each image `img_id`,
            `bboxes`, `scores`, `labels`, and `masks` as COCO's run lengths.

    Raises:
        ValueError: `proposal_nums` with which pycocotools has no AP, or fails after the evaluation.
    """

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.metrics: list[str]
        self.classwise: bool
        self.per_class: dict[str, dict[str, dict[str, float]]] = {}
        self.predictions: list[dict[str, Any]] = []
        if len(self.proposal_nums) != 3 or 100 not in self.proposal_nums:
            raise ValueError(
                f"proposal_nums={self.proposal_nums}: expected three, 100 among them: COCO's AP is of "
                f'100 detections'
            )
        if self._coco_api is not None:
            _repair(self._coco_api)

    def compute_metrics(self, results: list) -> dict[str, float]:
        """The scores by their names, as MMDetection's."""
        self.predictions = [predicted for _, predicted in results]
        detections = Counter(label for _, predicted in results for label in predicted['labels'].tolist())
        if not detections:
            truth, predicted = results[0]
            results = [(truth, _miss(truth, predicted)), *results[1:]]
        metrics, classwise = self.metrics, self.classwise
        scores, of_classes = dict[str, float](), dict[str, float]()
        self.per_class, self.classwise = {}, True
        try:
            for metric in metrics:  # one at a time: the APs of a class have no name of their metric
                self.metrics = [metric]
                found = self._renamed(super().compute_metrics(results))
                if metric in ('bbox', 'segm') and found:
                    self.per_class[metric] = self._per_class(found, detections)
                for name, score in found.items():
                    (of_classes if name.endswith('_precision') else scores)[name] = score
        finally:
            self.metrics, self.classwise = metrics, classwise
        return scores | (of_classes if classwise else {})

    def _renamed(self, scores: dict[str, float]) -> dict[str, float]:
        """The APs of classes by the names of theirs: pycocotools has them in the order of the ids."""
        names = [self._coco_api.cats[category]['name'] for category in self.cat_ids]
        by_id = [self._coco_api.cats[category]['name'] for category in sorted(self.cat_ids)]
        own = {
            f'{right}_precision': scores[f'{said}_precision']
            for said, right in zip(names, by_id, strict=True)
            if f'{said}_precision' in scores
        }
        return {name: own.get(name, score) for name, score in scores.items()}

    def _per_class(self, scores: dict[str, float], detections: Counter[int]) -> dict[str, dict[str, float]]:
        images = set(self.img_ids)
        objects = Counter(
            annotation['category_id']
            for annotation in self._coco_api.anns.values()
            if annotation['image_id'] in images and not annotation.get('iscrowd')
        )
        rows: dict[str, dict[str, float]] = {}
        for label, category in enumerate(self.cat_ids):
            name = self._coco_api.cats[category]['name']
            score = float(scores[f'{name}_precision'])
            ap = -1.0 if np.isnan(score) else score
            rows[name] = dict(objects=objects[category], detections=detections[label], AP=ap)
        return rows


def with_total_metrics(evaluator: Any) -> Any:
    """A config of an evaluator with TotalCocoMetric in place of MMDetection's CocoMetric."""
    if isinstance(evaluator, (list, tuple)):
        return [with_total_metrics(one) for one in evaluator]
    if not isinstance(evaluator, dict):
        return evaluator
    if 'metrics' in evaluator:
        return dict(evaluator, metrics=with_total_metrics(evaluator['metrics']))
    kind = evaluator.get('type')
    if isinstance(kind, str):
        with METRICS.switch_scope_and_registry(evaluator.get('_scope_')) as registry:
            kind = registry.get(kind)
    return dict(evaluator, type=TotalCocoMetric) if kind is CocoMetric else evaluator


def _repair(api: Any) -> None:
    annotations = api.dataset.get('annotations', [])
    for annotation in annotations:
        annotation.setdefault('iscrowd', 0)
    if 0 in api.anns:
        for number, annotation in enumerate(annotations, 1):
            annotation['id'] = number
        api.createIndex()


def _miss(truth: dict, predicted: dict) -> dict:
    """One detection of the first class outside the image, with an empty mask if there are masks."""
    miss: dict = dict(
        bboxes=np.array([[-2.0, -2.0, -1.0, -1.0]]), scores=np.zeros(1), labels=np.zeros(1, dtype=int)
    )
    if 'masks' in predicted:
        nothing = np.zeros((truth['height'], truth['width']), dtype=np.uint8, order='F')
        miss['masks'] = [coco_mask.encode(nothing)]
    return predicted | miss
