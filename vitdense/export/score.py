"""Scores and objects of a file on images with annotations, beside those of the eager model."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ..data.dataset import classes_of
from ..engine.runner import VitdenseRunner
from ..errors import UserError
from ..predict.predictor import scope_of
from .compare import SCORE, Difference, compare_objects, lowest, together


class Scored(NamedTuple):
    """What two models have on the same images.

    Attributes:
        eager, exported: scores by their names, from 0 to 1.
        difference: of their objects; of label maps none.
        images: how many there were.
    """

    eager: Mapping[str, float]
    exported: Mapping[str, float]
    difference: Difference
    images: int

    @property
    def drop(self) -> float:
        """By how much the file's main score is lower; below 0, where it is higher."""
        return next((value - self.exported[name] for name, value in self.eager.items()), 0.0)

    @property
    def furthest(self) -> float:
        """The largest difference of any score, either way."""
        return max((abs(value - self.exported[name]) for name, value in self.eager.items()), default=0.0)


class Data(NamedTuple):
    """Images with annotations, loaded as the config's tests do."""

    runner: VitdenseRunner

    @property
    def classes(self) -> Sequence[str]:
        return classes_of(self.runner.test_dataloader.dataset)

    def batches(self) -> Iterator[Any]:
        yield from self.runner.test_dataloader

    def score(self, eager: Any, exported: Any, floor: float, most: int) -> Scored:
        """Score two models on all images, and match what they find.

        Args:
            eager: the model.
            exported: the same, whose network is a file.
            floor: the score below which objects are dropped.
            most: objects of an image; the least sure ones beyond are dropped.
        """
        cfg = self.runner.cfg
        dataset = self.runner.test_dataloader.dataset
        evaluators = [self.runner.build_evaluator(copy.deepcopy(cfg.test_evaluator)) for _ in range(2)]
        differences, images = [], 0
        with scope_of(cfg):
            for evaluator in evaluators:
                evaluator.dataset_meta = dataset.metainfo
            for batch in self.batches():
                found = []
                for model, evaluator in zip((eager, exported), evaluators, strict=True):
                    samples = model.test_step(copy.deepcopy(batch))
                    evaluator.process(data_samples=samples, data_batch=batch)
                    found.append(samples)
                images += len(found[0])
                pairs = zip(found[0], found[1], strict=True)
                differences += [self._matched(one, other, floor, most) for one, other in pairs]
            scores = [main_scores(evaluator.evaluate(images)) for evaluator in evaluators]
        return Scored(scores[0], scores[1], together(differences), images)

    @staticmethod
    def _matched(one: Any, other: Any, floor: float, most: int) -> Difference:
        if 'pred_instances' not in one:
            return Difference(0.0, None, 0, '')
        want, got = one.pred_instances, other.pred_instances
        return compare_objects(want, got, lowest(want, most, floor))


def main_scores(found: Mapping[str, Any]) -> dict[str, float]:
    """AP or mIoU, from 0 to 1, the main one first, of what a metric of the libraries reports."""
    names = {'bbox_mAP': 1.0, 'segm_mAP': 1.0, 'mIoU': 0.01}
    scores = {}
    for wanted, unit in names.items():
        for name, value in found.items():
            if name.split('/')[-1] == wanted:
                scores[wanted] = float(value) * unit
    return scores


def check_same(scored: Scored, name: str) -> None:
    """Raise a UserError where a file of float32 has other scores, or finds other objects."""
    if scored.furthest > SCORE:
        raise UserError(
            f'{name}: not written: its scores differ: '
            + ', '.join(
                f'{name} {value:.4f} and {scored.exported[name]:.4f}' for name, value in scored.eager.items()
            )
        )
    if scored.difference.worst > 1:
        raise UserError(f'{name}: not written: it finds other objects: {scored.difference.text}')
