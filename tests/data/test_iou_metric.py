"""The score of each class of a segmentor."""

import numpy as np
import pytest
import torch
from mmseg.evaluation import IoUMetric

from vitdense.data.iou_metric import ClassIoUMetric

TRUTH = [[0, 0, 0, 0], [1, 1, 255, 255]]
FOUND = [[0, 0, 1, 1], [1, 1, 1, 2]]


def scored(kind, **options):
    metric = kind(iou_metrics=['mIoU'], **options)
    metric.dataset_meta = dict(classes=('sea', 'sand', 'none', 'rock'))
    truth, found = (dict(data=torch.tensor(rows)[None]) for rows in (TRUTH, FOUND))
    metric.process({}, [dict(gt_sem_seg=truth, pred_sem_seg=found, img_path='a.png')] * 2)
    return metric, metric.evaluate(2)


def test_each_class_has_its_pixels_and_its_iou():
    metric, _ = scored(ClassIoUMetric)
    assert metric.per_class['pixels'] == {
        'sea': {'labelled %': 66.67, 'predicted %': 33.33, 'IoU': 50.0},
        'sand': {'labelled %': 33.33, 'predicted %': 66.67, 'IoU': 50.0},
        'none': {'labelled %': 0.0, 'predicted %': 0.0, 'IoU': -1.0},  # found where nothing is labelled
        'rock': {'labelled %': 0.0, 'predicted %': 0.0, 'IoU': -1.0},
    }


def test_the_scores_are_mmsegmentations():
    assert scored(ClassIoUMetric)[1] == pytest.approx(scored(IoUMetric)[1])


def test_format_only_has_no_scores(tmp_path):
    metric, scores = scored(ClassIoUMetric, format_only=True, output_dir=str(tmp_path / 'maps'))
    assert scores == metric.per_class == {}
    assert [path.name for path in (tmp_path / 'maps').iterdir()] == ['a.png']
    assert len(metric.images) == 0


@pytest.mark.parametrize('known', [True, False], ids=['classes alone', 'labels that are no class, too'])
def test_the_images_pixels_sum_to_the_areas_of_mmsegmentations_metric(known):
    """Pixels whose label is no class are left out; MMSegmentation counts what is predicted there."""
    random = torch.Generator().manual_seed(0)
    classes, metric, theirs = 4, ClassIoUMetric(iou_metrics=['mIoU']), IoUMetric(iou_metrics=['mIoU'])
    samples = []
    for number in range(5):
        truth, found = (torch.randint(6, (1, 9, 7), generator=random) for _ in range(2))
        truth[truth > (3 if known else 4)] = 255
        found %= classes
        data = dict(gt_sem_seg=dict(data=truth), pred_sem_seg=dict(data=found))
        samples.append(dict(data, img_path=f'images/{number}.png'))
    for one in (metric, theirs):
        one.dataset_meta = dict(classes=('sea', 'sand', 'none', 'rock'))
        one.process({}, samples)
    areas = [torch.stack(parts).sum(0).tolist() for parts in zip(*theirs.results, strict=True)]
    metric.evaluate(5)
    assert [one.name for one in metric.images] == [sample['img_path'] for sample in samples]
    matrices = [one.confusion(classes) for one in metric.images]
    total = sum(matrices)
    common, union, predicted, labelled = areas
    assert np.diag(total).tolist() == common
    assert total.sum(1).tolist() == labelled
    union_here = (total.sum(0) + total.sum(1) - np.diag(total)).tolist()
    if known:
        assert total.sum(0).tolist() == predicted
        assert union_here == union
    assert (sum(union_here) == sum(union)) == known
    first, expected = samples[0], np.zeros((classes, classes), dtype=int)
    for is_so, seems in zip(
        first['gt_sem_seg']['data'].ravel().tolist(),
        first['pred_sem_seg']['data'].ravel().tolist(),
        strict=True,
    ):
        if is_so < classes:
            expected[is_so, seems] += 1
    assert (matrices[0] == expected).all()


def test_every_evaluation_has_its_own_images():
    metric, _ = scored(ClassIoUMetric)
    assert len(metric.images) == 2
    truth, found = (dict(data=torch.tensor(rows)[None]) for rows in (TRUTH, FOUND))
    metric.process({}, [dict(gt_sem_seg=truth, pred_sem_seg=found, img_path='b.png')])
    metric.evaluate(1)
    assert [one.name for one in metric.images] == ['b.png']
