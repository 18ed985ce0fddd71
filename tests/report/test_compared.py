"""The sentence on two scores, and the tables of a comparison."""

import re

import numpy as np
import pytest
from tiny_runs import scored, some_facts

from vitdense.analysis.bootstrap import Difference, compare_scores
from vitdense.analysis.label_maps import evaluate_label_maps
from vitdense.report.compare import Run, compare_page, sentence

NAMES = [f'{number}.png' for number in range(30)]


def accurate(share, seed=0):
    """An evaluation of label maps of which so many pixels are right."""
    random = np.random.default_rng(seed)
    matrices = []
    for _ in NAMES:
        right = random.binomial(50, share, 2)
        matrices.append(np.array([[right[0], 50 - right[0]], [50 - right[1], right[1]]]))
    return evaluate_label_maps(NAMES, matrices, ('boat', 'fish'))


@pytest.mark.parametrize('first', [0, 1])
def test_the_better_run_is_called_the_better_one(first):
    evaluations, names = [accurate(0.9), accurate(0.6, 1)], ['good', 'bad']
    order = [first, 1 - first]
    found = compare_scores(*(evaluations[index] for index in order), resamples=200)
    said = sentence(found, *(names[index] for index in order), unit='mIoU')
    assert said.startswith('good is better than bad by ')
    size, low, high = map(float, re.search(r'by (\S+) mIoU, 95 % interval (\S+) to (\S+),', said).groups())
    assert size == pytest.approx(100 * (evaluations[0].score() - evaluations[1].score()), abs=0.05)
    assert 0 < low < size < high
    assert f'{len(NAMES)} images' in said


@pytest.mark.parametrize(
    ('difference', 'low', 'high', 'expected'),
    [
        (0.018, 0.006, 0.031, 'b is better than a by 1.8 AP, 95 % interval 0.6 to 3.1,'),
        (-0.018, -0.031, -0.006, 'a is better than b by 1.8 AP, 95 % interval 0.6 to 3.1,'),
        (0.018, -0.004, 0.031, 'b has 1.8 AP more than a, .*chance.* -0.4 to 3.1,'),
        (-0.018, -0.031, 0.004, 'a has 1.8 AP more than b, .*chance.* -0.4 to 3.1,'),
        (0.0001, -0.0001, 0.0002, r'b has 0.0 AP more than a, .*chance.* 0.0 to 0.0,'),
    ],
)
def test_an_interval_with_0_in_it_may_be_chance(difference, low, high, expected):
    said = sentence(Difference(0.5, 0.5 + difference, difference, low, high, 50), 'a', 'b', unit='AP')
    assert re.match(expected, said)


def some_run(name, folder, **changes):
    evaluated = changes.pop('evaluated', scored(0.4))
    return Run(name, folder / name, some_facts(evaluated=evaluated, **changes), {})


def test_runs_without_scores_of_images_are_told_apart_by_their_tables(tmp_path, look):
    """As those of a metric that is not ours; of settings only those that differ."""
    one = some_run(
        'one',
        tmp_path,
        settings={'lr': '0.1', 'epochs_of_both': '7', 'work_dir': 'a'},
        validations=[[2, 0.4]],
    )
    rows = dict(fish=dict(objects=3, AP=0.75), house=dict(objects=2, AP=0.5))
    other = some_run('other', tmp_path, settings={'epochs_of_both': '7', 'work_dir': 'b'}, latency=0.02)
    other.facts.evaluated = scored(0.6, per_class=dict(bbox=rows))
    text, (said,) = compare_page([one, other])
    assert '95 %' not in said
    page = tmp_path / 'out.html'
    page.write_text(text)
    seen = look(page)
    assert seen.messages == []
    assert seen.found['canvases'] == seen.found['alive'] == 2  # scores, latency
    words = seen.found['text']
    assert 'not set' in words  # lr, of the other
    assert 'epochs_of_both' not in words
    classes = words[words.index('bbox, AP') : words.rindex('Images on which')]
    assert 'fish' in classes  # which both have
    assert 'house' not in classes
    assert 'boat' not in classes
