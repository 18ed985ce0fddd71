"""Is there something to learn? One answer for `check_data` and for the preflight."""

import subprocess
import sys

import pytest

from vitdense.data.lessons import NOTHING, ONE_CLASS, OTHER_DATA, fraction_advice, judge, mask_advice


@pytest.mark.parametrize(
    ('times', 'pixels', 'kind'),
    [
        ([0, 0, 0], False, NOTHING),
        ([0, 0, 0], True, NOTHING),
        ([9, 0], True, ONE_CLASS),
        ([9, 0], False, None),  # a detector learns what is background
        ([9], True, None),
        ([9, 0, 0], False, OTHER_DATA),
        ([9, 1, 0], True, None),
        ([9, 1, 0, 0], True, None),
        ([9, 1, 0, 0, 0], True, OTHER_DATA),
    ],
)
def test_what_the_numbers_of_the_classes_say(times, pixels, kind):
    verdict = judge([f'c{label}' for label in range(len(times))], times, pixels)
    assert (verdict and verdict[0]) is kind


@pytest.mark.parametrize(
    ('values', 'ignored', 'first', 'advised'),
    [
        ({0, 255}, 255, 0, 'values 0 and 1'),
        ({0, 255}, 255, 1, 'values 1 and 2'),
        ({0, 255}, 254, 0, ''),
        ({0, 1, 255}, 255, 0, ''),
        ({0}, 255, 0, ''),
    ],
)
def test_advice_for_masks(values, ignored, first, advised):
    assert mask_advice(values, ignored, first).partition(':')[0] == advised


@pytest.mark.parametrize(
    ('boxes', 'fractions'),
    [
        ([[0.1, 0.2, 0.3, 1]], True),
        ([[0.1, 0.2, 0.3, 1], [0, 0, 2, 1]], False),
        ([], False),
        ([[0] * 4], False),
    ],
)
def test_advice_for_fractions(boxes, fractions):
    assert bool(fraction_advice(boxes)) == fractions


def test_they_are_there_without_the_libraries():
    code = "import sys, vitdense.data.lessons; assert not {'torch', 'mmdet', 'mmseg'} & set(sys.modules)"
    subprocess.run([sys.executable, '-c', code], check=True)
