"""The pictures at the end of a run: its curves, resumed or not, and its predictions."""

import json

import cv2
import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.structures import InstanceData, PixelData
from mmseg.structures import SegDataSample

from vitdense.show.pictures import SIDE, _answers, _drawn, _headline, _palette, _records, draw_curves

RED, BLUE = (255, 0, 0), (0, 0, 255)


def write(work_dir, run, *records):
    """The scalars of a run, as MMEngine writes them."""
    file = work_dir / run / 'vis_data' / 'scalars.json'
    file.parent.mkdir(parents=True)
    file.write_text(''.join(json.dumps(record) + '\n' for record in records))


def trained(step, loss=1.0):
    return dict(lr=0.1, data_time=0.01, loss=loss, loss_cls=loss / 2, loss_bbox=loss / 2, time=0.1, step=step)


def scored(step, score):
    return {
        'coco/bbox_mAP': score,
        'coco/bbox_mAP_50': score * 2,
        'data_time': 0.1,
        'time': 0.2,
        'step': step,
    }


# ---- curves -----------------------------------------------------------------------------------------------


def test_a_resumed_run_continues_the_curves_and_replaces_what_it_repeats(tmp_path):
    write(tmp_path, '20250101_000000', *(trained(step, 2.0) for step in range(1, 8)), scored(4, 0.1))
    write(tmp_path, '20250102_000000', *(trained(step, 1.0) for step in range(5, 10)), scored(8, 0.2))
    train, scores = _records(tmp_path)
    assert {step: train[step]['loss'] for step in sorted(train)} == {
        **dict.fromkeys(range(1, 5), 2.0),
        **dict.fromkeys(range(5, 10), 1.0),
    }
    assert {step: record['coco/bbox_mAP'] for step, record in scores.items()} == {7: 0.1, 9: 0.2}


def test_a_line_that_was_cut_is_left_out(tmp_path):
    write(tmp_path, 'run', *(trained(step) for step in range(1, 4)))
    file = tmp_path / 'run/vis_data/scalars.json'
    file.write_text(file.read_text()[:-20] + '\n' + json.dumps(trained(4)) + '\n')
    assert list(_records(tmp_path)[0]) == [1, 2, 4]


def test_a_dataset_without_colours_gets_some():
    own = [RED, BLUE]
    assert _palette(own, 2) == own
    for too_few in (None, 'random', own):
        made = _palette(too_few, 5)
        assert len(set(made)) == 5
        assert all(isinstance(part, int) and 0 <= part <= 255 for colour in made for part in colour)


def test_the_scores_of_an_epoch_lie_at_its_last_iteration(tmp_path):
    write(
        tmp_path, 'run', trained(50), trained(100), scored(1, 0.1), trained(150), trained(200), scored(2, 0.2)
    )
    assert list(_records(tmp_path)[1]) == [100, 200]


def test_of_a_segmentors_scores_miou_is_drawn(tmp_path):
    write(
        tmp_path, 'run', trained(10), dict(aAcc=70.0, mIoU=40.0, mAcc=50.0, data_time=0.1, time=0.1, step=10)
    )
    _, scores = _records(tmp_path)
    assert _headline(scores[10]) == ['mIoU']


def test_of_cocos_scores_two_are_drawn():
    record = {f'coco/segm_mAP{rest}': 0.1 for rest in ('', '_50', '_75', '_s', '_m', '_l')}
    assert _headline(record) == ['coco/segm_mAP', 'coco/segm_mAP_50']


def test_other_losses_are_other_curves(tmp_path):
    pictures = []
    for number, loss in enumerate((1.0, 1.0, 2.0)):
        write(tmp_path / str(number), 'run', trained(1, 3.0), trained(2, loss), scored(2, 0.1))
        draw_curves(tmp_path / str(number), tmp_path / f'{number}.png')
        pictures.append(cv2.imread(str(tmp_path / f'{number}.png')))
    same, again, other = pictures
    assert np.array_equal(same, again)
    assert not np.array_equal(same, other)
    changed = np.nonzero((same != other).any(axis=(1, 2)))[0]
    assert changed.max() < 0.55 * len(same)  # the loss is on top


@pytest.mark.filterwarnings('ignore:No artists')
@pytest.mark.parametrize('records', [[], [trained(1)], [scored(1, 0.5)]], ids=['nothing', 'losses', 'scores'])
def test_a_short_run_has_curves_too(tmp_path, records):
    write(tmp_path, 'run', *records)
    draw_curves(tmp_path, tmp_path / 'curves.png')
    assert cv2.imread(str(tmp_path / 'curves.png')).std() > 5


# ---- predictions ------------------------------------------------------------------------------------------


def instances(boxes, labels, **more):
    boxes = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    return InstanceData(bboxes=boxes, labels=torch.tensor(labels, dtype=torch.long), **more)


def where(picture, colour):
    """The bounding box of a colour, in (x1, y1, x2, y2)."""
    rows, columns = torch.nonzero((picture == torch.tensor(colour).view(3, 1, 1)).all(0), as_tuple=True)
    return [columns.min().item(), rows.min().item(), columns.max().item(), rows.max().item()]


def test_a_box_is_drawn_where_it_is_in_the_enlarged_image_in_the_colour_of_its_class():
    image = torch.full((3, 96, 48), 128, dtype=torch.uint8)
    picture = _drawn(image, instances([[12, 24, 36, 72]], [1]), ('red', 'blue'), (RED, BLUE))
    assert picture.shape == (3, SIDE, SIDE // 2)
    enlarge = SIDE / 96
    left, top, right, bottom = where(picture, BLUE)
    assert [right, bottom] == pytest.approx([36 * enlarge, 72 * enlarge], abs=4)
    assert [left, top] == pytest.approx([12 * enlarge, 24 * enlarge], abs=25)  # and its label
    assert (picture[:, SIDE // 2, SIDE // 4] == 128).all()  # its inside is free


def test_a_mask_is_filled_and_an_image_without_anything_is_left_as_it_is():
    image = torch.full((3, 64, 64), 128, dtype=torch.uint8)
    masks = torch.zeros(1, 64, 64, dtype=torch.bool)
    masks[:, 20:40, 20:40] = True
    picture = _drawn(image, instances([[20, 20, 40, 40]], [0], masks=masks), ('red',), (RED,))
    red, green, _ = picture[:, SIDE // 2, SIDE // 2].tolist()
    assert red > 180 > 70 > green - 10
    nothing = _drawn(image, instances([], []), ('red',), (RED,))
    assert (nothing == 128).all()


def test_a_pixel_is_coloured_for_the_surest_mask_alone_and_the_ground_truths_masks_are_drawn_too():
    image = torch.full((3, 64, 64), 128, dtype=torch.uint8)
    masks = torch.zeros(2, 64, 64, dtype=torch.bool)
    masks[0, 20:40], masks[1, 10:60] = True, True
    boxes = [[0, 0, 64, 64]] * 2
    for stored in (masks, BitmapMasks(masks.numpy().astype('uint8'), 64, 64)):
        picture = _drawn(image, instances(boxes, [0, 1], masks=stored), ('red', 'blue'), (RED, BLUE)).float()
        both, one = (picture[:, row * SIDE // 64, SIDE // 2] for row in (30, 50))
        assert both[0] > 180 > 70 > both[2] - 10
        assert one[2] > 180 > 70 > one[0] - 10


def test_a_label_map_is_coloured_and_unlabelled_pixels_are_not():
    labels = torch.full((1, 64, 64), 255)
    labels[:, :, :32] = 1
    image = torch.full((3, 64, 64), 128, dtype=torch.uint8)
    picture = _drawn(image, PixelData(data=labels), ('red', 'blue'), (RED, BLUE)).float()
    left, right = picture[:, :, : SIDE // 2].mean((1, 2)), picture[:, :, SIDE // 2 :].mean((1, 2))
    assert left[2] > 180 > 70 > left[0]
    assert right.tolist() == [128, 128, 128]


def test_of_the_predictions_the_confident_ones_are_drawn_and_of_two_on_one_thing_the_better():
    places = [[0, 0, 9, 9], [20, 0, 29, 9], [40, 0, 49, 9], [41, 0, 50, 9]]
    scores = torch.tensor([0.39, 0.41, 0.9, 0.8])
    sample = DetDataSample(
        gt_instances=instances([[0, 0, 9, 9]] * 2, [0, 1]),
        pred_instances=instances(places, [0, 1, 2, 3], scores=scores),
    )
    truth, prediction = _answers(sample, 0.4)
    assert truth.labels.tolist() == [0, 1]
    assert sorted(prediction.labels.tolist()) == [1, 2]


def test_a_segmentors_answers_are_label_maps():
    maps = [PixelData(data=torch.full((1, 4, 4), value)) for value in (0, 1)]
    truth, prediction = _answers(SegDataSample(gt_sem_seg=maps[0], pred_sem_seg=maps[1]), 0.4)
    assert (truth.data == 0).all()
    assert (prediction.data == 1).all()
