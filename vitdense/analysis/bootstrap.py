"""Whether one evaluation is better than another, or only better on these images."""

from collections.abc import Callable, Sequence
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


class Interval(NamedTuple):
    """A score, and the interval in which it would lie on other images of the same sort."""

    score: float
    low: float
    high: float
    images: int


def score_interval(
    evaluations: Sequence[Evaluation], resamples: int = 1000, confidence: float = 0.95, seed: int = 0
) -> Interval:
    """The mean score of some evaluations on the same images, and its interval by a bootstrap over the images.

    Args:
        evaluations: such as of trainings that differ in their seed.
        resamples: how many draws.
        confidence: the part of the draws in the interval.
        seed: of the draws.

    Raises:
        ValueError: as `compare_scores`.
    """
    rows = _rows(evaluations)
    pool = len(rows[0])

    def score(counts: np.ndarray) -> float:
        return _mean_score(evaluations, rows, counts)

    low, high = _interval(score, pool, resamples, confidence, seed)
    return Interval(score(np.ones(pool, dtype=np.int64)), low, high, pool)


def compare_scores(
    a: Evaluation, b: Evaluation, resamples: int = 1000, confidence: float = 0.95, seed: int = 0
) -> Difference:
    """Compare the scores of two evaluations: `compare_means` of one each."""
    return compare_means([a], [b], resamples, confidence, seed)


def compare_means(
    a: Sequence[Evaluation],
    b: Sequence[Evaluation],
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Difference:
    """Compare mean scores on the images that all evaluations have, matched by name.

    The interval is from a paired bootstrap: images are drawn with replacement, the same ones for both, as
    many as there are; of the differences of the scores on each such draw it has the middle part, by
    percentiles (Efron and Tibshirani, 'An Introduction to the Bootstrap', 1993, chapter 13). It says how much
    other images of the same sort would change the difference, not how much another training run would.

    Args:
        a: evaluations of one model, such as of trainings that differ in their seed.
        b: those of the other; better than `a` where the difference is above 0.
        resamples: how many draws.
        confidence: the part of the draws in the interval.
        seed: of the draws.

    Raises:
        ValueError: evaluations of different kinds or classes, without common images, with two images of one
            name, or with different annotations of a common image.
    """
    rows = _rows([*a, *b])
    pool = len(rows[0])

    def difference(counts: np.ndarray) -> float:
        return _mean_score(b, rows[len(a) :], counts) - _mean_score(a, rows[: len(a)], counts)

    once = np.ones(pool, dtype=np.int64)
    score_a, score_b = _mean_score(a, rows[: len(a)], once), _mean_score(b, rows[len(a) :], once)
    low, high = _interval(difference, pool, resamples, confidence, seed)
    return Difference(score_a, score_b, score_b - score_a, low, high, pool)


def _mean_score(evaluations: Sequence[Evaluation], rows: Sequence[np.ndarray], counts: np.ndarray) -> float:
    """Over the evaluations, with each of their common images counted so many times."""
    scores = [
        one.score(_spread(counts, indices, len(one.images)))
        for one, indices in zip(evaluations, rows, strict=True)
    ]
    return float(np.mean(scores))


def _interval(
    value: Callable[[np.ndarray], float], pool: int, resamples: int, confidence: float, seed: int
) -> tuple[float, float]:
    """The middle part of a value over draws of the images, by percentiles; NaN without such a value."""
    random = np.random.default_rng(seed)
    drawn = (np.bincount(random.integers(pool, size=pool), minlength=pool) for _ in range(resamples))
    values = np.array([value(counts) for counts in drawn])
    values = values[~np.isnan(values)]  # a draw of images without objects has no score
    tail = (1 - confidence) / 2
    low, high = np.quantile(values, [tail, 1 - tail]) if len(values) else (np.nan, np.nan)
    return float(low), float(high)


def _rows(evaluations: Sequence[Evaluation]) -> list[np.ndarray]:
    """Indices of the images that all have, in each, in the same order."""
    first = evaluations[0]
    if len(evaluations) == 1:
        return [np.arange(len(first.images))]
    common = set(first.images)
    for one in evaluations[1:]:
        _check_comparable(first, one)
        common &= set(one.images)
    if not common:
        raise ValueError('no image that all evaluations have')
    names = sorted(common)
    places = [{name: index for index, name in enumerate(one.images)} for one in evaluations]
    return [np.array([place[name] for name in names]) for place in places]


def _check_comparable(a: Evaluation, b: Evaluation) -> None:
    """Refuse two that were not scored alike on the images that both have."""
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


def _truth(evaluation: Evaluation) -> np.ndarray:
    return evaluation.objects if isinstance(evaluation, DetectionEvaluation) else evaluation.labelled


def _spread(counts: np.ndarray, rows: np.ndarray, images: int) -> np.ndarray:
    weights = np.zeros(images, dtype=counts.dtype)
    weights[rows] = counts
    return weights
