"""The numbers are COCOeval's own, and count images as often as they weigh."""

import copy
import json

import numpy as np
import pytest
from drawn_boxes import as_coco, box_object, coco_precision, evaluate, prediction, random_case

from vitdense.analysis.confusion import _one_to_one, detection_confusion
from vitdense.analysis.detections import IOUS, evaluate_detections
from vitdense.analysis.errors import KINDS, find_errors, split_errors
from vitdense.data.coco_metric import TotalCocoMetric

kinds = pytest.mark.parametrize('kind', ['bbox', 'segm'])
seeds = pytest.mark.parametrize('seed', range(4))


def nan_for_none(values):
    return np.where(values == -1, np.nan, values)


@kinds
@seeds
def test_average_precision_and_curves_are_cocoevals(kind, seed):
    case = random_case(seed)
    precision = nan_for_none(coco_precision(case, kind))
    evaluation = evaluate(case, kind)
    average = evaluation.average_precision()
    np.testing.assert_allclose(average, precision.mean(axis=1).T, atol=1e-9)
    assert np.isnan(average[-1]).all()  # the class without objects
    assert evaluation.score() == pytest.approx(np.nanmean(precision), abs=1e-9)
    assert 0.05 < evaluation.score() < 0.95
    for index, iou in enumerate(IOUS):
        np.testing.assert_allclose(evaluation.precision_recall(iou)[1], precision[index].T, atol=1e-12)


@kinds
def test_what_a_metric_of_mmdetection_kept_is_evaluated(tmp_path, kind):
    # in rising order, as COCOeval has the classes: CocoMetric names them in the order of the file
    truth, predictions, cat_ids, _ = random_case(0, cat_ids=(3, 5, 7, 9))
    for annotation in truth.dataset['annotations']:
        if annotation['iscrowd']:  # bytes cannot be written
            annotation['segmentation']['counts'] = annotation['segmentation']['counts'].decode()
    (tmp_path / 'truth.json').write_text(json.dumps(truth.dataset))
    metric = TotalCocoMetric(str(tmp_path / 'truth.json'), metric=kind)
    metric.dataset_meta = dict(classes=[f'c{category}' for category in cat_ids])
    metric.results = [(dict(width=80, height=64), each) for each in predictions]
    scores = metric.compute_metrics(metric.results)
    evaluation = evaluate_detections(
        metric._coco_api, predictions, metric.cat_ids, metric.img_ids, metric.dataset_meta['classes'], kind
    )
    assert evaluation.score() == pytest.approx(scores[f'{kind}_mAP'], abs=5e-4)  # it rounds
    aps = np.nanmean(evaluation.average_precision()[:-1], axis=1)
    assert aps == pytest.approx([row['AP'] for row in metric.per_class[kind].values()][:-1], abs=6e-4)


def test_classes_are_told_apart_in_any_order_of_their_ids():
    objects = [box_object(1, category, 0, 0, 10, 10) for category in (9, 1)]
    case = (as_coco([1], objects, [9, 1]), [prediction(1, [[0, 0, 10, 10, 0.5, 0]])], [9, 1], [1])
    assert evaluate(case).average_precision()[:, 0] == pytest.approx([1, 0])


@kinds
def test_images_with_many_detections_count_the_best_hundred_of_a_class(kind):
    random = np.random.default_rng(0)
    rows = [[0, 0, 20, 20 - row / 20, random.random(), row % 2] for row in range(300)]
    objects = [box_object(1, category, 0, 0, 20, 20) for category in (1, 2)]
    case = (as_coco([1], objects, [1, 2]), [prediction(1, rows)], [1, 2], [1])
    evaluation = evaluate(case, kind)
    assert len(evaluation.scores) == 200
    expected = coco_precision(case, kind).mean(axis=1).T
    np.testing.assert_allclose(evaluation.average_precision(), expected, atol=1e-9)


def test_the_annotations_stay_as_they_are():
    case = random_case(0)
    before = copy.deepcopy(case[0].dataset)
    evaluate(case, 'segm')
    assert case[0].dataset == before


def test_mask_scores_rank_masks():
    truth, predictions, cat_ids, img_ids = random_case(0)
    scores = [1 - each['scores'] for each in predictions]
    with_mask_scores = [each | dict(mask_scores=new) for each, new in zip(predictions, scores, strict=True)]
    rescored = [each | dict(scores=new) for each, new in zip(predictions, scores, strict=True)]
    cases = [(truth, each, cat_ids, img_ids) for each in (predictions, with_mask_scores, rescored)]
    plain, of_masks, expected = (evaluate(case, 'segm').score() for case in cases)
    assert of_masks == expected != plain
    assert evaluate(cases[0]).score() == evaluate(cases[1]).score()


@kinds
@pytest.mark.parametrize('listed', [True, False], ids=['empty predictions', 'no predictions'])
def test_no_detection_at_all_scores_0(kind, listed):
    truth, _, cat_ids, img_ids = random_case(0)
    predictions = [prediction(image, []) for image in img_ids] if listed else []
    evaluation = evaluate((truth, predictions, cat_ids, img_ids), kind)
    average = evaluation.average_precision()
    assert (average[:-1] == 0).all()
    assert np.isnan(average[-1]).all()
    assert evaluation.score() == evaluation.best_threshold == 0
    assert set(evaluation.image_scores()) == {0, 1}
    assert detection_confusion(evaluation)[:-1, -1].tolist() == evaluation.objects.sum(axis=0).tolist()
    split = split_errors(evaluation)
    assert split['missed'] == (len(evaluation.object_labels), 1)
    assert all(split[name] == (0, 0) for name in KINDS if name != 'missed')


def test_no_object_at_all_has_no_score():
    _, predictions, cat_ids, img_ids = random_case(0)
    evaluation = evaluate((as_coco(img_ids, [], cat_ids), predictions, cat_ids, img_ids))
    assert np.isnan(evaluation.score())
    assert all(np.isnan(kind.gain) for kind in split_errors(evaluation).values())
    assert detection_confusion(evaluation, 0)[-1].sum() == len(evaluation.scores)


def test_no_image_at_all_has_no_score():
    evaluation = evaluate((as_coco([], [], [1]), [], [1], []))
    assert np.isnan(evaluation.score())
    assert evaluation.image_scores().shape == (0,)


def test_images_that_are_not_evaluated_are_left_out():
    truth, predictions, cat_ids, img_ids = random_case(1)
    half = (truth, predictions, cat_ids, img_ids[::2])
    evaluation = evaluate(half)
    assert evaluation.images == tuple(f'{image}.png' for image in img_ids[::2])
    expected = coco_precision((truth, predictions[::2], cat_ids, img_ids[::2]), 'bbox')
    np.testing.assert_allclose(evaluation.average_precision()[:-1], expected.mean(axis=1).T[:-1], atol=1e-9)


@seeds
def test_weights_of_one_are_no_weights(seed):
    evaluation = evaluate(random_case(seed))
    ones = np.ones(len(evaluation.images))
    np.testing.assert_array_equal(evaluation.average_precision(ones), evaluation.average_precision())


@seeds
def test_weights_count_images_as_often_as_copies_of_them(seed):
    truth, predictions, cat_ids, img_ids = random_case(seed, ties=False)
    weights = np.random.default_rng(seed).integers(0, 4, size=len(img_ids))
    copies = np.repeat(img_ids, weights)
    annotations = [
        annotation | dict(image_id=number)
        for number, image in enumerate(copies)
        for annotation in truth.imgToAnns[image]
    ]
    images = list(range(len(copies)))
    repeated = [predictions[image] | dict(img_id=number) for number, image in enumerate(copies)]
    expected = evaluate((as_coco(images, annotations, cat_ids), repeated, cat_ids, images))
    evaluation = evaluate((truth, predictions, cat_ids, img_ids))
    np.testing.assert_allclose(evaluation.average_precision(weights), expected.average_precision(), atol=1e-9)
    halves = evaluation.average_precision(weights / 2)
    np.testing.assert_allclose(halves, evaluation.average_precision(weights), atol=1e-12)


def test_weights_of_another_number_than_images_are_refused():
    evaluation = evaluate(random_case(0))
    with pytest.raises(ValueError, match=r'\(3,\).*\(25,\)'):
        evaluation.average_precision(np.ones(3))


def test_wrong_arguments_are_refused():
    case = random_case(0)
    with pytest.raises(ValueError, match='keypoints'):
        evaluate(case, 'keypoints')
    evaluation = evaluate(case)
    with pytest.raises(ValueError, match=r'0\.52.*0\.50'):
        evaluation.precision_recall(0.52)


@kinds
@seeds
def test_errors_partition_the_false_detections(kind, seed):
    evaluation = evaluate(random_case(seed), kind)
    found = find_errors(evaluation)
    false = ~evaluation.matched[:, 0] & ~evaluation.ignored[:, 0]
    assert ((found.kind >= 0) == false).all()
    split = split_errors(evaluation)
    assert sum(split[name].number for name in KINDS if name != 'missed') == false.sum()
    assert all(kind.number > 0 for kind in split.values())  # the case has them all
    assert split['missed'].number == found.missed.sum()
    assert not (found.missed & evaluation.object_found[:, 0]).any()
    # to remove false detections, or objects that are not found, never costs anything
    assert all(split[name].gain >= 0 for name in ('both', 'duplicate', 'background', 'missed'))


@kinds
@seeds
@pytest.mark.parametrize('threshold', [None, 0, 0.35, 2])
def test_sums_of_the_confusion_matrix(kind, seed, threshold):
    evaluation = evaluate(random_case(seed), kind)
    matrix = detection_confusion(evaluation, threshold)
    assert matrix[:-1].sum(axis=1).tolist() == evaluation.objects.sum(axis=0).tolist()
    least = evaluation.best_threshold if threshold is None else threshold
    counted = (evaluation.scores >= least) & ~evaluation.ignored[:, 0]
    expected = np.bincount(evaluation.labels[counted], minlength=len(evaluation.classes))
    assert matrix[:, :-1].sum(axis=0).tolist() == expected.tolist()
    assert matrix[-1, -1] == 0


@seeds
def test_pairs_are_matched_as_one_by_one(seed):
    random = np.random.default_rng(seed)
    pairs = random.integers(0, 12, size=(60, 2))
    first, second, expected = set(), set(), set()
    for one, other in pairs.tolist():
        if one not in first and other not in second:
            first.add(one)
            second.add(other)
            expected.add((one, other))
    matched = _one_to_one(*pairs.T)
    assert set(zip(*(side.tolist() for side in matched), strict=True)) == expected
    assert len(matched[0]) == len(expected)


@seeds
def test_no_other_threshold_has_a_larger_f1(seed):
    evaluation = evaluate(random_case(seed))

    def f1(threshold):
        chosen = (evaluation.scores >= threshold) & ~evaluation.ignored[:, 0]
        return 2 * evaluation.true[chosen, 0].sum() / (chosen.sum() + len(evaluation.object_labels))

    values = {threshold: f1(threshold) for threshold in evaluation.scores.tolist()}
    assert values[evaluation.best_threshold] == max(values.values())
    assert ((evaluation.image_scores() >= 0) & (evaluation.image_scores() <= 1)).all()
