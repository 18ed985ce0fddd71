"""Ground truth, taken for the predictions, scores 1 by the evaluator of its run, in every format."""

import drawn_folders as drawn
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DATASETS, METRICS, init_default_scope
from small import CONFIGS

from vitdense.data.own_data import name_files, read_own_data, use_own_data, write_own_data


def polygons(folder):
    return drawn.yolo(folder, polygons=True)


CASES = [
    *(('retinanet_pit', make) for make in (drawn.coco, drawn.yolo, polygons, drawn.voc, drawn.labelme)),
    *(('mask_rcnn_pit', make) for make in (drawn.coco, polygons)),
    ('pspnet_pit', drawn.label_maps),
]


@pytest.mark.parametrize('size', [None, 64])
@pytest.mark.parametrize(('head', 'make'), CASES)
def test_ground_truth_scores_1(head, make, size, tmp_path):
    """Also where the model sees smaller images."""
    data = read_own_data([make(tmp_path / 'data')], None)
    cfg = Config.fromfile(CONFIGS / f'{head}.py')
    use_own_data(cfg, data, size, None)
    name_files(cfg, write_own_data(data, tmp_path / 'files'))
    init_default_scope(cfg.default_scope)
    dataset = DATASETS.build(cfg.val_dataloader.dataset)
    metric = METRICS.build(cfg.val_evaluator)
    metric.dataset_meta = dataset.metainfo
    assert len(dataset) == len(data.found.splits['val']) > 0
    for i in range(len(dataset)):
        sample = dataset[i]['data_samples']
        if head == 'pspnet_pit':
            labels = dict(data=sample.gt_sem_seg.data)
            answer = dict(gt_sem_seg=labels, pred_sem_seg=labels, img_path=sample.img_path)
            metric.process({}, [answer])
            continue
        truth = sample.gt_instances
        found = dict(
            bboxes=truth.bboxes.tensor, labels=truth.labels, scores=torch.linspace(1, 0.5, len(truth.labels))
        )
        if head == 'mask_rcnn_pit':
            found['masks'] = truth.masks.to_tensor(torch.bool, 'cpu')
        metric.process({}, [dict(img_id=sample.img_id, ori_shape=sample.ori_shape, pred_instances=found)])
    scores = metric.evaluate(len(dataset))
    if head == 'pspnet_pit':
        assert scores['mIoU'] == 100
    else:
        kinds = ('bbox', 'segm') if head == 'mask_rcnn_pit' else ('bbox',)
        assert [scores[f'coco/{kind}_mAP'] for kind in kinds] == pytest.approx([1.0] * len(kinds), abs=1e-3)
