"""Areas of label maps: MMSegmentation's formula, image by image."""

import numpy as np
import pytest
import torch
from mmseg.evaluation import IoUMetric

from vitdense.analysis.confusion import pixel_confusion
from vitdense.analysis.label_maps import evaluate_label_maps

CLASSES = ('sea', 'sand', 'rock', 'none')
NAMES = tuple(f'{image}.png' for image in range(6))


@pytest.fixture(scope='module')
def maps():
    """Predictions and truths of 0 to 2 and 255; the fourth class is in neither."""
    random = np.random.default_rng(0)
    predictions = random.integers(0, 3, size=(6, 9, 11))
    truths = np.where(
        random.random(predictions.shape) < 0.5, predictions, random.integers(0, 3, size=(6, 9, 11))
    )
    truths[random.random(truths.shape) < 0.1] = 255
    predictions[5], truths[5] = 0, 255  # nothing labelled
    return predictions, truths


@pytest.fixture(scope='module')
def evaluation(maps):
    matrices = (pixel_confusion(*pair, len(CLASSES)) for pair in zip(*maps, strict=True))
    return evaluate_label_maps(NAMES, matrices, CLASSES)


def areas(predictions, truths, label):
    counted = truths != 255
    predicted, labelled = (predictions == label) & counted, (truths == label) & counted
    return (predicted & labelled).sum(), (predicted | labelled).sum()


def test_iou_is_the_common_area_by_the_union(maps, evaluation):
    expected = [np.divide(*areas(*maps, label)) for label in range(3)]
    np.testing.assert_allclose(evaluation.iou(), [*expected, np.nan])
    assert evaluation.score() == pytest.approx(np.mean(expected))


def test_the_score_is_mmsegmentations_as_a_fraction(maps, evaluation):
    metric = IoUMetric(iou_metrics=['mIoU'])
    metric.dataset_meta = dict(classes=CLASSES)
    for found, truth in zip(*(torch.tensor(side)[:, None] for side in maps), strict=True):
        metric.process({}, [dict(pred_sem_seg=dict(data=found), gt_sem_seg=dict(data=truth))])
    assert 100 * evaluation.score() == pytest.approx(metric.evaluate(6)['mIoU'], abs=0.005)  # it rounds


def test_weights_count_images_as_often_as_copies_of_them(maps, evaluation):
    weights = np.array([2, 0, 1, 3, 1, 1])
    copied = [np.repeat(side, weights, axis=0) for side in maps]
    expected = [np.divide(*areas(*copied, label)) for label in range(3)]
    np.testing.assert_allclose(evaluation.iou(weights)[:3], expected)
    assert evaluation.score(weights) == pytest.approx(np.mean(expected))
    assert evaluation.score(np.ones(6)) == pytest.approx(evaluation.score(), abs=1e-15)
    with pytest.raises(ValueError, match=r'\(2,\).*\(6,\)'):
        evaluation.score(np.ones(2))


def test_images_score_by_the_classes_they_have(maps, evaluation):
    for image, score in enumerate(evaluation.image_scores()[:5]):
        expected = [np.divide(*areas(*(side[image] for side in maps), label)) for label in range(3)]
        assert score == pytest.approx(np.mean(expected))
    assert evaluation.image_scores()[5] == 1


def test_the_confusion_matrix_sums_to_the_areas(maps, evaluation):
    confusion = evaluation.confusion
    assert confusion.dtype == evaluation.intersection.dtype == np.int64
    assert confusion.sum() == (maps[1] != 255).sum()
    assert confusion.sum(axis=1).tolist() == evaluation.labelled.sum(axis=0).tolist()
    assert confusion.sum(axis=0).tolist() == evaluation.predicted.sum(axis=0).tolist()
    assert np.diagonal(confusion).tolist() == evaluation.intersection.sum(axis=0).tolist()


def test_rows_are_the_truth_and_columns_the_prediction():
    truth = torch.tensor([[0, 0, 1, 255]], dtype=torch.uint8)
    prediction = np.array([[0, 2, 1, 7]])  # whatever is predicted where nothing is labelled
    assert pixel_confusion(prediction, truth, 3).tolist() == [[1, 0, 1], [0, 1, 0], [0, 0, 0]]
    assert pixel_confusion(prediction[:, 2:], truth[:, 2:], 2).tolist() == [[0, 0], [0, 1]]


@pytest.mark.parametrize(
    ('prediction', 'truth', 'said'),
    [
        ([[0, 3]], [[0, 1]], 'prediction.*0 to 3.*0 to 2'),
        ([[0, 1]], [[0, 4]], 'truth.*0 to 4.*0 to 2'),
        ([[0, 1]], [[0, -1]], 'truth.*-1 to 0'),
        ([[0, 1]], [[0]], r'\(1, 2\).*\(1, 1\)'),
    ],
)
def test_pixels_of_no_class_are_refused(prediction, truth, said):
    with pytest.raises(ValueError, match=said):
        pixel_confusion(prediction, truth, 3)


def test_matrices_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r'\(3, 3\).*\(2, 2\)'):
        evaluate_label_maps(['a'], [np.zeros((3, 3), dtype=int)], 'ab')
    with pytest.raises(ValueError, match='1 matrices for 2 images'):
        evaluate_label_maps(['a', 'b'], [np.zeros((2, 2), dtype=int)], 'ab')


def test_no_image_has_no_score():
    assert np.isnan(evaluate_label_maps([], [], CLASSES).score())
