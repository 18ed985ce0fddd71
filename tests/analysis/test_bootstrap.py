"""The interval of a difference: of the images that both have, and as sure as it says."""

from dataclasses import replace

import numpy as np
import pytest
from drawn_boxes import evaluate, random_case

from vitdense.analysis.bootstrap import compare_scores
from vitdense.analysis.detections import IOUS, DetectionEvaluation
from vitdense.analysis.label_maps import evaluate_label_maps

CLASSES = 3


@pytest.fixture
def pair():
    """The same annotations with all detections, and with half of them."""
    truth, predictions, cat_ids, img_ids = random_case(0)
    half = [
        each | {key: each[key][::2] for key in ('bboxes', 'scores', 'labels', 'masks')}
        for each in predictions
    ]
    return [evaluate((truth, each, cat_ids, img_ids)) for each in (half, predictions)]


def label_maps(names=('a', 'b', 'c'), seed=0):
    matrices = np.random.default_rng(seed).integers(1, 99, size=(len(names), 2, 2))
    return evaluate_label_maps(names, matrices, ['x', 'y'])


def test_the_difference_is_that_of_the_scores_in_its_interval(pair):
    a, b = pair
    found = compare_scores(a, b, resamples=200)
    assert (found.score_a, found.score_b, found.images) == (a.score(), b.score(), 25)
    assert found.difference == b.score() - a.score()
    assert found.low < found.difference < found.high
    assert found == compare_scores(a, b, resamples=200)
    assert found != compare_scores(a, b, resamples=200, seed=1)


def test_the_other_way_round_it_is_negated(pair):
    forth, back = (compare_scores(*each, resamples=200) for each in (pair, pair[::-1]))
    assert back.difference == -forth.difference
    assert (back.low, back.high) == pytest.approx((-forth.high, -forth.low))


def test_an_evaluation_does_not_differ_from_itself(pair):
    assert compare_scores(pair[0], pair[0], resamples=20)[2:5] == (0, 0, 0)


def test_more_confidence_is_a_wider_interval(pair):
    half, most = (compare_scores(*pair, resamples=200, confidence=part) for part in (0.5, 0.99))
    assert most.low < half.low < half.high < most.high


def test_images_are_matched_by_name():
    truth, predictions, cat_ids, img_ids = random_case(0)
    cases = [(truth, predictions, cat_ids, each) for each in (img_ids[:15], img_ids[10:], img_ids[10:15])]
    first, second, common = (evaluate(case) for case in cases)
    found = compare_scores(first, second, resamples=20)
    assert found.images == 5
    assert found.score_a == found.score_b == pytest.approx(common.score())  # sums in another order
    assert found.low == found.high == 0


def test_label_maps_are_compared_as_detections_are():
    a = label_maps()
    better = replace(a, predicted=a.labelled, intersection=a.labelled)
    found = compare_scores(a, better, resamples=50)
    assert found.score_b == 1
    assert 0 < found.low <= found.difference <= found.high


def reordered(evaluation, order):
    values = {name: getattr(evaluation, name)[order] for name in ('intersection', 'predicted', 'labelled')}
    return replace(evaluation, images=tuple(evaluation.images[image] for image in order), **values)


def test_the_order_of_the_images_does_not_matter():
    a = label_maps()
    found = compare_scores(a, reordered(a, [2, 0, 1]), resamples=50)
    assert (found.difference, found.low, found.high) == (0, 0, 0)


def test_evaluations_that_cannot_be_compared_are_refused(pair):
    maps, boxes = label_maps(), pair[0]
    others = {
        'kinds': (boxes, maps),
        'segm': (boxes, replace(boxes, kind='segm')),
        'classes': (maps, replace(maps, classes=('y', 'x'))),
        'no common image': (maps, replace(maps, images=('d', 'e', 'f'))),
        'one name': (maps, replace(maps, images=('a', 'a', 'c'))),
        'annotations of 3 common images differ, such as those of a': (maps, label_maps(seed=1)),
    }
    for said, two in others.items():
        with pytest.raises(ValueError, match=said):
            compare_scores(*two)


def simulated(random, images, recalls, noise):
    """Two detectors on the same random images.

    Of each object each of them finds its part, the IoU from 0.5 to 1. A picture that is hard is so for both.
    """
    objects = random.poisson(2, size=images)
    object_image = np.repeat(np.arange(images, dtype=np.int32), objects)
    object_label = random.integers(0, CLASSES, size=len(object_image)).astype(np.int32)
    ease = random.normal(0, 0.15, size=images)[object_image]
    return [
        detector(random, images, object_image, object_label, recall + ease, false)
        for recall, false in zip(recalls, noise, strict=True)
    ]


def detector(random, images, object_image, object_label, recall, false):
    count = len(object_image)
    found = random.random(count) < recall
    iou = np.where(found, 0.5 + 0.5 * random.beta(4, 2, size=count), 0)
    object_found = iou[:, None] >= IOUS
    false_image = np.repeat(np.arange(images, dtype=np.int32), random.poisson(false, size=images))
    image = np.concatenate([object_image[found], false_image])
    order = np.argsort(image, kind='stable')
    score = np.concatenate([random.beta(4, 2, size=found.sum()), random.beta(2, 4, size=len(false_image))])
    label = np.concatenate([object_label[found], random.integers(0, CLASSES, size=len(false_image))])
    matched = np.concatenate([object_found[found], np.zeros((len(false_image), len(IOUS)), dtype=bool)])
    return DetectionEvaluation(
        kind='bbox',
        classes=tuple('xyz'),
        images=tuple(map(str, range(images))),
        image_index=image[order],
        labels=label[order],
        scores=score[order],
        matched=matched[order],
        ignored=np.zeros_like(matched),
        object_image_index=object_image,
        object_labels=object_label,
        object_found=object_found,
        overlap_detection=np.zeros(0, dtype=np.int32),
        overlap_object=np.zeros(0, dtype=np.int32),
        overlap_iou=np.zeros(0),
    )


def covered(pairs, images, resamples):
    """In how many of these pairs the interval of 95 % has the true difference, that of 200,000 images."""
    setting = dict(recalls=(0.60, 0.66), noise=(2, 2.5))
    large = simulated(np.random.default_rng(0), 200_000, **setting)
    true = large[1].score() - large[0].score()
    assert 0.005 < true < 0.1
    count = 0
    for seed in range(1, pairs + 1):
        a, b = simulated(np.random.default_rng(seed), images, **setting)
        found = compare_scores(a, b, resamples=resamples, seed=seed)
        count += found.low <= true <= found.high
    return count


@pytest.mark.nightly
def test_the_interval_has_the_true_difference_in_at_least_90_of_100_pairs():
    assert covered(100, images=200, resamples=500) >= 90


def test_the_interval_has_the_true_difference_in_most_of_a_few_pairs():
    assert covered(10, images=100, resamples=100) >= 7
