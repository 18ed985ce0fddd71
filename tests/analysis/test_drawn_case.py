"""A case small enough to work out by hand.

Every box is ten pixels high, and a detection is the left part of an object, so that its IoU is the part's
width by ten. Four images, two classes; the detections are named in falling order of score:

    image 1   boat B1: a true, 10 of 10; b boat, 8 of 10, B1 once more
              fish F1: c boat, 10 of 10, the wrong class
              fish F2: nothing
    image 2   boat B2: d boat, 4 of 10, badly placed
              fish F3: e boat, 3 of 10, wrong class and badly placed; g true, 9 of 10
              boat B3: h true, 10 of 10
    image 3   no object: f fish
    image 4   neither object nor detection

    score     a .9   b .8   c .7   d .6   e .5   f .4   g .3   h .2

Boat has 3 objects and, by score, a true, b c d e false, h true: precision 1 at recall 1/3, and 2/6 at 2/3.
Of COCO's 101 recalls 34 are at most 1/3 and 33 more at most 2/3: AP = (34 + 33/3)/101 = 45/101.
Fish has 3 objects and f false, g true: precision 1/2 at recall 1/3: AP = (34/2)/101 = 17/101.
Their mean is 31/101.
"""

from fractions import Fraction

import numpy as np
import pytest
from drawn_boxes import as_coco, box_object, evaluate, prediction

from vitdense.analysis.confusion import detection_confusion
from vitdense.analysis.errors import KINDS, find_errors, split_errors

BOAT, FISH = 0, 1
IDS = [1, 2]


def left_part(place, width, score, label):
    return [20 * place, 0, 20 * place + width, 10, score, label]


def an_object(image, label, place):
    return box_object(image, IDS[label], 20 * place, 0, 20 * place + 10, 10)


@pytest.fixture
def evaluation():
    objects = [an_object(1, BOAT, 0), an_object(1, FISH, 1), an_object(1, FISH, 2)]
    objects += [an_object(2, BOAT, 0), an_object(2, FISH, 1), an_object(2, BOAT, 2)]
    a, b = left_part(0, 10, 0.9, BOAT), left_part(0, 8, 0.8, BOAT)
    c = left_part(1, 10, 0.7, BOAT)
    d = left_part(0, 4, 0.6, BOAT)
    e, g = left_part(1, 3, 0.5, BOAT), left_part(1, 9, 0.3, FISH)
    h = left_part(2, 10, 0.2, BOAT)
    f = left_part(0, 10, 0.4, FISH)
    predictions = [prediction(1, [a, b, c]), prediction(2, [d, e, g, h]), prediction(3, [f])]
    return evaluate((as_coco([1, 2, 3, 4], objects, IDS), predictions, IDS, [1, 2, 3, 4]))


def test_average_precision_at_iou_50(evaluation):
    assert evaluation.average_precision()[:, 0] == pytest.approx([45 / 101, 17 / 101])


def test_precision_at_cocos_recalls(evaluation):
    recall, precision = evaluation.precision_recall()
    assert recall.tolist() == pytest.approx([hundredth / 100 for hundredth in range(101)])
    assert precision[BOAT].tolist() == pytest.approx([1] * 34 + [1 / 3] * 33 + [0] * 34)
    assert precision[FISH].tolist() == pytest.approx([1 / 2] * 34 + [0] * 67)


def test_at_iou_95_only_whole_boxes_are_true(evaluation):
    # boat as before: a and h are whole; fish has g no more
    assert evaluation.average_precision()[:, -1] == pytest.approx([45 / 101, 0])


def test_every_false_detection_has_its_error_and_every_kind_its_number(evaluation):
    found = find_errors(evaluation)
    names = {
        float(round(score, 1)): KINDS[kind] if kind >= 0 else 'true'
        for score, kind in zip(evaluation.scores, found.kind, strict=True)
    }
    assert names == {
        0.9: 'true',
        0.8: 'duplicate',
        0.7: 'classification',
        0.6: 'localisation',
        0.5: 'both',
        0.4: 'background',
        0.3: 'true',
        0.2: 'true',
    }
    # F2 alone: F1 has a classification error, B2 a localisation error
    assert found.missed.tolist() == [False, False, True, False, False, False]
    assert {name: kind.number for name, kind in split_errors(evaluation).items()} == dict.fromkeys(KINDS, 1)


def test_the_gain_of_each_kind(evaluation):
    before = Fraction(31, 101)
    after = dict(
        # c is fish. Boat: a, three false, h: 2/5 at recall 2/3. Fish: c true, f, g true: 1, then 2/3
        classification=(34 + 33 * Fraction(2, 5) + 34 + 33 * Fraction(2, 3)) / 202,
        # d is true. Boat: a, b, c, d true, e, h true: 1, then 2/4, then 3/6 at recall 1
        localisation=(34 + Fraction(33 + 34, 2) + 17) / 202,
        # without e, h is the fifth boat: 2/5
        both=(34 + 33 * Fraction(2, 5) + 17) / 202,
        # without b it is so too
        duplicate=(34 + 33 * Fraction(2, 5) + 17) / 202,
        # without f, g is the first fish: 1
        background=Fraction(45 + 34, 202),
        # without F2 there are two fish: recall 1/2, which 51 recalls are at most
        missed=(45 + Fraction(51, 2)) / 202,
    )
    gains = {name: kind.gain for name, kind in split_errors(evaluation).items()}
    assert gains == pytest.approx({name: float(value - before) for name, value in after.items()})


def test_the_confusion_matrix(evaluation):
    # F1 is taken for a boat by c; b, d, e and f have no object left at IoU 0.5, and B2 and F2 no detection
    assert evaluation.best_threshold == pytest.approx(0.2)  # F1 6/14; 2/7 from .9 on, 4/13 from .3 on
    assert detection_confusion(evaluation).tolist() == [[2, 0, 1], [1, 1, 1], [3, 1, 0]]


def test_the_confusion_matrix_from_a_score_on(evaluation):
    assert detection_confusion(evaluation, 0.45).tolist() == [[1, 0, 2], [1, 0, 2], [3, 0, 0]]


def test_the_scores_of_the_images(evaluation):
    # 2·1/(3 + 3), 2·2/(4 + 3), a false detection alone, and nothing right in nothing
    assert evaluation.image_scores().tolist() == pytest.approx([1 / 3, 4 / 7, 0, 1])


@pytest.mark.parametrize('found', [False, True], ids=['missed else', 'found else'])
def test_of_two_errors_at_an_object_the_better_becomes_true_if_it_is_not_found(found):
    rows = [left_part(0, 10, 0.9, BOAT), left_part(0, 9, 0.8, BOAT), left_part(1, 10, 0.7, BOAT)]
    rows += [left_part(0, 8, 0.3, FISH)] * found
    objects = [an_object(1, FISH, 0), an_object(1, BOAT, 1)]
    split = split_errors(evaluate((as_coco([1], objects, IDS), [prediction(1, rows)], IDS, [1])))
    assert split['classification'].number == 2
    before = (1 / 3 + found) / 2  # the boat is the third of its class
    assert split['classification'].gain == pytest.approx(1 - before)  # both boats go, and fish is found


@pytest.mark.parametrize('false', [0, 1])
def test_a_class_with_all_its_objects_missed(false):
    rows = [left_part(2, 10, 0.9, FISH)] * false
    evaluation = evaluate((as_coco([1], [an_object(1, FISH, 0)], IDS), [prediction(1, rows)], IDS, [1]))
    missed = split_errors(evaluation)['missed']
    assert (missed.number, missed.gain) == (1, 1 - false)


def test_a_detection_on_a_crowd_is_no_error():
    objects = [an_object(1, BOAT, 0), box_object(1, IDS[BOAT], 20, 0, 60, 10, iscrowd=1)]
    rows = [left_part(0, 10, 0.9, BOAT), left_part(1, 10, 0.8, BOAT)]
    evaluation = evaluate((as_coco([1], objects, IDS), [prediction(1, rows)], IDS, [1]))
    assert find_errors(evaluation).kind.tolist() == [-1, -1]
    assert detection_confusion(evaluation, 0).tolist() == [[1, 0, 0], [0, 0, 0], [0, 0, 0]]
    assert evaluation.image_scores() == [1]
    assert np.isnan(evaluation.average_precision()[FISH]).all()
