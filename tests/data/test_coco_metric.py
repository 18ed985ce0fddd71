"""Nothing detected scores 0 wherever there is something to detect, by COCO's own evaluation."""

import json

import numpy as np
import pytest
import torch
from mmdet.evaluation import CocoMetric
from mmengine.registry import init_default_scope

from vitdense.data.coco_metric import TotalCocoMetric, with_total_metrics

BOX = [10, 10, 20, 20]


@pytest.fixture
def truth(tmp_path):
    """The file of two images with an object each of the first class, and beside one of them a crowd."""
    outline = [[10, 10, 30, 10, 30, 30, 10, 30]]
    crowd = dict(size=[64, 80], counts=[0, 100, 64 * 80 - 100])
    objects = [dict(image_id=i, iscrowd=0, segmentation=outline, area=400, bbox=BOX) for i in (1, 2)]
    objects.append(dict(image_id=1, iscrowd=1, segmentation=crowd, area=100, bbox=[0, 0, 2, 64]))
    whole = dict(
        images=[dict(id=i, file_name=f'{i}.png', width=80, height=64) for i in (1, 2)],
        annotations=[dict(found, id=number, category_id=1) for number, found in enumerate(objects, 1)],
        categories=[dict(id=1, name='boat'), dict(id=2, name='fish')],
    )
    path = tmp_path / 'truth.json'
    path.write_text(json.dumps(whole))
    return path


def make_metric(truth, kind=TotalCocoMetric):
    made = kind(str(truth), metric=['bbox', 'segm'])
    made.dataset_meta = dict(classes=('boat', 'fish'))
    return made


@pytest.fixture
def metric(truth):
    return make_metric(truth)


def scores(metric, boxes, kinds):
    """Where each of the two images has these boxes, and masks that fill them."""
    metric.metrics = kinds
    corners = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    found = dict(bboxes=corners, scores=torch.ones(len(corners)), labels=torch.zeros(len(corners)).int())
    if 'segm' in kinds:
        found['masks'] = torch.zeros(len(corners), 64, 80, dtype=torch.bool)
        for mask, (left, top, right, bottom) in zip(found['masks'], corners.int(), strict=True):
            mask[top:bottom, left:right] = True
    for number in (1, 2):
        metric.process({}, [dict(img_id=number, ori_shape=(64, 80), pred_instances=found)])
    return metric.evaluate(2)


each_model = pytest.mark.parametrize('kinds', [['bbox'], ['bbox', 'segm']], ids=['boxes', 'boxes and masks'])


@each_model
def test_nothing_detected_scores_0(metric, kinds):
    # small objects alone: there are no medium ones and no large ones
    parts = dict(mAP=0, mAP_50=0, mAP_75=0, mAP_s=0, mAP_m=-1, mAP_l=-1)
    expected = {f'coco/{kind}_{part}': value for kind in kinds for part, value in parts.items()}
    assert scores(metric, [], kinds) == expected


@each_model
def test_what_is_detected_is_scored_as_mmdetection_does(metric, kinds):
    assert scores(metric, [[10, 10, 30, 30]], kinds)['coco/bbox_mAP'] == 1
    assert all(np.isin(list(scores(metric, [[40, 40, 60, 60]], kinds).values()), [0, -1]))


def rewrite(truth, change):
    contents = json.loads(truth.read_text())
    for annotation in contents['annotations']:
        change(annotation)
    truth.write_text(json.dumps(contents))


def test_an_annotation_id_of_0_is_a_match_like_any_other(truth):
    rewrite(truth, lambda annotation: annotation.update(id=annotation['id'] - 1))
    boxes = [[10, 10, 30, 30]]
    assert scores(make_metric(truth), boxes, ['bbox'])['coco/bbox_mAP'] == 1
    assert scores(make_metric(truth, CocoMetric), boxes, ['bbox'])['coco/bbox_mAP'] < 1  # the trap is real


def test_annotations_without_iscrowd_are_no_crowds(truth):
    rewrite(truth, lambda annotation: annotation.pop('iscrowd'))
    assert scores(make_metric(truth), [[10, 10, 30, 30]], ['bbox'])['coco/bbox_mAP_50'] > 0


@pytest.mark.parametrize('numbers', [(1, 10, 50), [300]])
def test_proposal_nums_without_an_ap_are_refused_before_the_evaluation(truth, numbers):
    with pytest.raises(ValueError, match=r'proposal_nums=.*100'):
        TotalCocoMetric(str(truth), proposal_nums=numbers)


@pytest.mark.parametrize(
    'evaluator',
    [
        dict(type='CocoMetric', metric='bbox'),
        dict(type='mmdet.CocoMetric'),
        [dict(type=CocoMetric), dict(type='VOCMetric')],
        dict(type='Evaluator', metrics=[dict(type='CocoMetric')]),
    ],
    ids=['name', 'name with scope', 'list', 'evaluator'],
)
def test_the_evaluators_of_mmdetections_own_configs_get_the_total_metric(evaluator):
    init_default_scope('mmdet')
    replaced = with_total_metrics(evaluator)
    metrics = replaced.get('metrics', replaced) if isinstance(replaced, dict) else replaced
    first, *others = metrics if isinstance(metrics, list) else [metrics]
    assert first['type'] is TotalCocoMetric
    assert [one['type'] for one in others] in ([], ['VOCMetric'])


def test_a_class_has_its_objects_its_detections_and_its_ap(metric):
    found = scores(metric, [[10, 10, 30, 30]], ['bbox', 'segm'])
    nothing = dict(objects=0, detections=0, AP=-1)  # no object of the class
    hit = dict(boat=dict(objects=2, detections=2, AP=1.0), fish=nothing)  # the crowd is no object
    assert metric.per_class == dict(bbox=hit, segm=hit)
    assert found['coco/bbox_mAP'] == found['coco/segm_mAP'] == 1.0
    assert not any(name.endswith('_precision') for name in found)


def test_a_class_of_which_nothing_is_found_has_ap_0(metric):
    scores(metric, [], ['bbox'])
    assert metric.per_class['bbox']['boat'] == dict(objects=2, detections=0, AP=0.0)


def test_boxes_and_masks_have_aps_of_their_own(metric):
    metric.metrics = ['bbox', 'segm']
    found = dict(bboxes=torch.tensor([[10.0, 10, 30, 30]]), scores=torch.ones(1), labels=torch.zeros(1).int())
    found['masks'] = torch.zeros(1, 64, 80, dtype=torch.bool)  # of nothing
    for number in (1, 2):
        metric.process({}, [dict(img_id=number, ori_shape=(64, 80), pred_instances=found)])
    metric.evaluate(2)
    assert metric.per_class['bbox']['boat']['AP'] == 1.0
    assert metric.per_class['segm']['boat']['AP'] == 0.0


def test_classwise_scores_have_mmdetections_names_after_the_others(truth):
    made = TotalCocoMetric(str(truth), metric='bbox', classwise=True)
    made.dataset_meta = dict(classes=('boat', 'fish'))
    names = list(scores(made, [[10, 10, 30, 30]], ['bbox']))
    assert names[0] == 'coco/bbox_mAP'  # which `save_best='auto'` takes
    assert names[-2:] == ['coco/boat_precision', 'coco/fish_precision']


def test_format_only_writes_and_has_no_scores(truth, tmp_path):
    prefix = str(tmp_path / 'mine')
    made = TotalCocoMetric(str(truth), metric='bbox', format_only=True, outfile_prefix=prefix)
    made.dataset_meta = dict(classes=('boat', 'fish'))
    assert scores(made, [[10, 10, 30, 30]], ['bbox']) == {}
    assert made.per_class == {}
    assert len(json.loads((tmp_path / 'mine.bbox.json').read_text())) == 2


def test_a_class_has_its_own_ap_whatever_the_order_of_the_ids(tmp_path):
    """MMDetection's metric swaps the classes of a file with falling ids."""
    names = {7: 'boat', 3: 'fish', 5: 'house'}
    objects = [
        dict(id=number, image_id=1, category_id=category, bbox=[20 * number, 0, 10, 10], area=100, iscrowd=0)
        for number, category in enumerate(names, 1)
    ]
    whole = dict(
        images=[dict(id=1, file_name='1.png', width=80, height=64)],
        annotations=objects,
        categories=[dict(id=category, name=name) for category, name in names.items()],
    )
    (tmp_path / 'truth.json').write_text(json.dumps(whole))
    made = TotalCocoMetric(str(tmp_path / 'truth.json'), metric='bbox', classwise=True)
    made.dataset_meta = dict(classes=tuple(names.values()))
    corners = torch.tensor([[20.0, 0.0, 30.0, 10.0]])  # the boat alone is found
    found = dict(bboxes=corners, scores=torch.ones(1), labels=torch.zeros(1).int())
    made.process({}, [dict(img_id=1, ori_shape=(64, 80), pred_instances=found)])
    scored = made.evaluate(1)
    assert {name: row['AP'] for name, row in made.per_class['bbox'].items()} == dict(boat=1, fish=0, house=0)
    assert scored['coco/boat_precision'] == 1
    assert scored['coco/fish_precision'] == 0


@each_model
def test_the_predictions_of_the_last_evaluation_are_kept(metric, kinds):
    scores(metric, [[10, 10, 30, 30], [1, 2, 3, 4]], kinds)
    assert [one['img_id'] for one in metric.predictions] == [1, 2]
    for one in metric.predictions:
        assert one['bboxes'].tolist() == [[10, 10, 30, 30], [1, 2, 3, 4]]
        assert one['scores'].tolist() == [1, 1]
        assert one['labels'].tolist() == [0, 0]
        assert ('masks' in one) == ('segm' in kinds)
    scores(metric, [], kinds)  # where the score is that of a detection that hits nothing
    assert [len(one['bboxes']) for one in metric.predictions] == [0, 0]
