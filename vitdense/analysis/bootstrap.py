"""Whether one evaluation is better than another, or only better on these images."""

from typing import NamedTuple

import numpy as np

from .detections import DetectionEvaluation
from .files import Evaluation


class Difference(NamedTuple):
    """Two scores on the same images, the second less the first, and the interval of that difference."""

    score_a: float
    score_b: float
    difference: float
    low: float
    high: float
    images: int


def compare_scores(
    a: Evaluation, b: Evaluation, resamples: int = 1000, confidence: float = 0.95, seed: int = 0
) -> Difference:
    """Compare the scores of two evaluations on the images that both have, matched by name.

    The interval is from a paired bootstrap: images are drawn with replacement, the same ones for both, as
    many as there are; of the differences of the scores on each such draw it has the middle part, by
    percentiles (Efron and Tibshirani, 'An Introduction to the Bootstrap', 1993, chapter 13). It says how much
    other images of the same sort would change the difference, not how much another training run would.

    Args:
        a: one evaluation.
        b: the other; better than `a` where the difference is above 0.
        resamples: how many draws.
        confidence: the part of the draws in the interval.
        seed: of the draws.

    Raises:
        ValueError: evaluations of different kinds or classes, without common images, with two images of one
            name, or with different annotations of a common image.
    """
    rows_a, rows_b = _common_images(a, b)
    pool = len(rows_a)

    def scores(counts: np.ndarray) -> tuple[float, float]:
        return a.score(_spread(counts, rows_a, len(a.images))), b.score(
            _spread(counts, rows_b, len(b.images))
        )

    score_a, score_b = scores(np.ones(pool, dtype=np.int64))
    random = np.random.default_rng(seed)
    draws = np.array(
        [scores(np.bincount(random.integers(pool, size=pool), minlength=pool)) for _ in range(resamples)]
    )
    differences = draws[:, 1] - draws[:, 0]
    differences = differences[~np.isnan(differences)]  # a draw of images without objects has no score
    tail = (1 - confidence) / 2
    low, high = np.quantile(differences, [tail, 1 - tail]) if len(differences) else (np.nan, np.nan)
    return Difference(score_a, score_b, score_b - score_a, float(low), float(high), pool)


def _common_images(a: Evaluation, b: Evaluation) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the common images in each, in the same order."""
    kinds = [(type(each).__name__, getattr(each, 'kind', '')) for each in (a, b)]
    if kinds[0] != kinds[1]:
        raise ValueError(f'the evaluations are of different kinds: {kinds[0]} and {kinds[1]}')
    if a.classes != b.classes:
        raise ValueError(f'the evaluations are of different classes: {a.classes} and {b.classes}')
    for each in (a, b):
        if len(set(each.images)) < len(each.images):
            raise ValueError('an evaluation has two images of one name, which cannot be matched by name')
    _, rows_a, rows_b = np.intersect1d(a.images, b.images, assume_unique=True, return_indices=True)
    if not len(rows_a):
        raise ValueError(f'no common image: {len(a.images)} and {len(b.images)} images with different names')
    differing = np.flatnonzero((_truth(a)[rows_a] != _truth(b)[rows_b]).any(axis=1))
    if len(differing):
        first = a.images[rows_a[differing[0]]]
        raise ValueError(
            f'the annotations of {len(differing)} common images differ, such as those of {first}'
        )
    return rows_a, rows_b


def _truth(evaluation: Evaluation) -> np.ndarray:
    return evaluation.objects if isinstance(evaluation, DetectionEvaluation) else evaluation.labelled


def _spread(counts: np.ndarray, rows: np.ndarray, images: int) -> np.ndarray:
    weights = np.zeros(images, dtype=counts.dtype)
    weights[rows] = counts
    return weights
