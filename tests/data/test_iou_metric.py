"""The score of each class of a segmentor."""

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
