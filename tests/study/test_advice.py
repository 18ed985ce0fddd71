"""The front, the intervals and the advice of a study, from scores and times that are given."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_runs import scored, some_facts

from vitdense.analysis.bootstrap import Interval, compare_means, compare_scores, score_interval
from vitdense.analysis.label_maps import evaluate_label_maps
from vitdense.benchmark.timing import Load, Timing
from vitdense.study.advice import advice, limits
from vitdense.study.plan import Candidate, StudyRun
from vitdense.study.results import Row, front

IMAGES = [f'{number:02}.png' for number in range(40)]


def accurate(share, seed=0):
    """An evaluation of label maps of which so many pixels are right."""
    right = np.random.default_rng(seed).binomial(50, share, (len(IMAGES), 2))
    matrices = [np.array([[a, 50 - a], [50 - b, b]]) for a, b in right]
    return evaluate_label_maps(IMAGES, matrices, ('boat', 'fish'))


def row(name, score, milliseconds, share=None, seed=0):
    """A candidate with this score; with `share` scored image by image."""
    candidate, seconds = Candidate(name, name, ()), milliseconds / 1000
    evaluations = () if share is None else (accurate(share, seed),)
    if evaluations:
        score = 100 * evaluations[0].score()
    return Row(
        candidate,
        {0: StudyRun(candidate, 0, Path(name))},
        {0: some_facts(evaluated=scored(score))},
        {},
        evaluations,
        'mIoU',
        score,
        score_interval(evaluations, 50) if evaluations else None,
        100.0,
        Timing(seconds, seconds, seconds, seconds),
    )


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(1, 5)), min_size=1, max_size=8))
def test_on_the_front_is_what_no_other_beats(points):
    rows = [row(str(number), *point) for number, point in enumerate(points)]
    expected = {
        str(number)
        for number, (score, time) in enumerate(points)
        if not any(s >= score and t <= time and (s > score or t < time) for s, t in points)
    }
    found = front(rows)
    assert {one.name for one in found} == expected
    assert [one.latency.median for one in found] == sorted(one.latency.median for one in found)


def test_the_highest_score_is_advised_and_the_price_of_each_quicker_one_named():
    rows = [row('slow', 0, 100, 0.95), row('quick', 0, 40, 0.7), row('beaten', 0, 120, 0.5)]
    take, price = advice(rows)
    assert take.startswith('Take slow: ')
    assert '100 ms' in take
    assert price.startswith('quick is 2.5 times as fast (40 ms) and has ')
    assert 'chance' not in price  # of 25 points
    difference = rows[0].score - rows[1].score
    assert f'{difference:.3f} less' in price


def test_a_difference_that_images_do_not_show_may_be_chance():
    rows = [row('slow', 0, 100, 0.9), row('quick', 0, 40, 0.9, seed=1)]
    if rows[0].score < rows[1].score:
        rows = [row('slow', 0, 100, 0.9, seed=1), row('quick', 0, 40, 0.9)]
    assert 'which may be chance' in advice(rows)[1]


def test_one_alone_is_not_called_the_best():
    (said,) = advice([row('one', 60.0, 100)])
    assert 'Take' not in said
    assert 'highest' not in said


def test_a_latency_that_is_wanted_is_kept_to():
    rows = [row('slow', 80, 100), row('quick', 60, 40)]
    assert advice(rows, 0.05)[0].startswith('Take quick: ')
    assert advice(rows, 0.1)[0].startswith('Take slow: ')
    (none,) = advice(rows, 0.01)
    assert none.startswith('None answers within 10 ms: the fastest, quick, takes 40 ms')


def test_without_a_model_that_has_learned_nothing_is_advised():
    assert 'nothing to advise' in advice([])[0]
    assert advice([replace(row('slow', 60.0, 100), latency=None)]) == [
        'No latency was measured; slow has the highest mIoU, 60.000.'
    ]
    said = advice([row('slow', 2.0, 100), row('quick', 1.0, 40)])
    assert 'Take' not in ' '.join(said)
    assert 'slow' in said[0]


def test_scores_of_other_classes_or_metrics_are_not_compared():
    others = replace(accurate(0.7), classes=('car', 'tree'))
    rows = [row('one', 0, 100, 0.9), replace(row('other', 0, 40, 0.7), evaluations=(others,))]
    (said,) = advice(rows)
    assert 'cannot be compared: of one and other, the evaluations are of different classes' in said
    rows = [row('one', 60, 100), replace(row('other', 70, 40), metric='segm mAP')]
    (said,) = advice(rows)
    assert 'other has segm mAP' in said


def test_the_limits_name_what_the_advice_does_not_rest_on():
    failed = Row(Candidate('broken', 'broken', ()), {}, {}, {0: 'out of memory'})
    said = ' '.join(limits([row('one', 0, 9, 0.9), failed], Load(3, 3, 1.5), 'for 3 epochs'))
    for expected in ('for 3 epochs', 'one seed', f'{len(IMAGES)} validation images', '1.5 cores', 'broken'):
        assert expected in said
    assert 'cores' not in ' '.join(limits([row('one', 0, 9, 0.9)], Load(0, 0, 0.0), 'for 3 epochs'))


def test_the_interval_of_a_score_is_that_of_means_over_drawn_images():
    """Written out: images are drawn with replacement, and all of their pixels counted."""
    one, other = accurate(0.8), accurate(0.7, 1)
    found = score_interval([one, other], 300, 0.9, seed=5)
    random, values = np.random.default_rng(5), []
    for _ in range(300):
        drawn = random.integers(len(IMAGES), size=len(IMAGES))
        means = []
        for each in (one, other):
            hit, seen, there = (
                getattr(each, name)[drawn].sum(0) for name in ('intersection', 'predicted', 'labelled')
            )
            means.append((hit / (seen + there - hit)).mean())
        values.append(np.mean(means))
    assert found == pytest.approx(
        Interval((one.score() + other.score()) / 2, *np.quantile(values, [0.05, 0.95]), len(IMAGES))
    )


def test_means_of_one_each_are_compared_as_scores():
    one, other = accurate(0.8), accurate(0.7, 1)
    assert compare_means([one], [other], 50) == compare_scores(one, other, 50)
    found = compare_means([one, other], [other, one], 50)
    assert found.difference == pytest.approx(0)
    assert found.low == pytest.approx(0)
