"""The curves of a run, resumed or not."""

import json

import cv2
import numpy as np
import pytest
from matplotlib import pyplot as plt

from vitdense.show.curves import _figure, _headline, _parts, _records, draw_curves


def write(work_dir, run, *records):
    """The scalars of a run, as MMEngine writes them."""
    file = work_dir / run / 'vis_data' / 'scalars.json'
    file.parent.mkdir(parents=True)
    file.write_text(''.join(json.dumps(record) + '\n' for record in records))


def trained(step, loss=1.0):
    return dict(lr=0.1, data_time=0.01, loss=loss, loss_cls=loss / 2, loss_bbox=loss / 2, time=0.1, step=step)


def scored(step, score, **more):
    return {
        'coco/bbox_mAP': score,
        'coco/bbox_mAP_50': score * 2,
        'data_time': 0.1,
        'time': 0.2,
        'step': step,
        **more,
    }


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


def test_the_scores_of_an_epoch_lie_at_its_last_iteration(tmp_path):
    epochs = scored(1, 0.1, iter=103.0), scored(5, 0.2, iter=515.0)
    write(tmp_path, 'new', trained(50), trained(100), epochs[0], trained(490), epochs[1])
    assert list(_records(tmp_path)[1]) == [103, 515]
    write(tmp_path / 'old', 'run', trained(50), trained(100), scored(1, 0.1), trained(200), scored(2, 0.2))
    assert list(_records(tmp_path / 'old')[1]) == [100, 200]  # without the iteration, as good as is known


def test_of_a_segmentors_scores_miou_is_drawn(tmp_path):
    write(
        tmp_path, 'run', trained(10), dict(aAcc=70.0, mIoU=40.0, mAcc=50.0, data_time=0.1, time=0.1, step=10)
    )
    _, scores = _records(tmp_path)
    assert _headline(list(scores[10])) == ['mIoU']


def test_of_cocos_scores_two_are_drawn_and_of_unknown_ones_the_first():
    record = [f'coco/segm_mAP{rest}' for rest in ('', '_50', '_75', '_s', '_m', '_l')]
    assert _headline(record) == ['coco/segm_mAP', 'coco/segm_mAP_50']
    assert _headline(['mine/a', 'mine/b', 'data_time', 'time', 'step']) == ['mine/a', 'mine/b']


def test_other_losses_are_other_curves(tmp_path):
    pictures = []
    for number, loss in enumerate((1.0, 1.0, 2.0)):
        write(tmp_path / str(number), 'run', trained(1, 3.0), trained(2, loss), scored(2, 0.1))
        assert draw_curves(tmp_path / str(number), tmp_path / f'{number}.png')
        pictures.append(cv2.imread(str(tmp_path / f'{number}.png')))
    same, again, other = pictures
    assert np.array_equal(same, again)
    assert not np.array_equal(same, other)
    changed = np.nonzero((same != other).any(axis=(1, 2)))[0]
    assert changed.max() < 0.55 * len(same)  # the loss is on top


@pytest.mark.parametrize(
    ('records', 'parts'),
    [
        ([trained(1)], ['loss', 'learning rate']),
        ([scored(1, 0.5)], ['validation score']),
        ([scored(1, -1, **{'coco/bbox_mAP_50': -1})], []),
        ([dict(trained(1), lr=None, **{'backbone.lr': 0.1, 'head.lr': 0.2})], ['loss', 'learning rate']),
    ],
    ids=['losses', 'scores', 'nothing to detect', 'several optimizers'],
)
def test_what_a_run_has_is_drawn_and_no_empty_axes(tmp_path, records, parts):
    write(tmp_path, 'run', *records)
    found = _parts(*_records(tmp_path))
    assert list(found) == parts
    assert draw_curves(tmp_path, tmp_path / 'curves.png') == bool(parts)
    assert (tmp_path / 'curves.png').exists() == bool(parts)


def test_a_rate_of_the_first_group_alone_is_not_drawn_as_that_of_all(tmp_path):
    """As with a smaller rate for the backbone, which comes first."""
    records = [dict(trained(step), base_lr=0.1 * step) for step in (1, 2)]
    write(tmp_path, 'equal', *(dict(record, lr=record['base_lr']) for record in records))
    write(tmp_path / 'own', 'run', *(dict(record, lr=0.01) for record in records))
    assert _parts(*_records(tmp_path))['learning rate'] == {'lr': {1: 0.1, 2: 0.2}}
    rates = _parts(*_records(tmp_path / 'own'))
    assert rates['learning rate'] == {'base_lr': {1: 0.1, 2: 0.2}, 'lr': {1: 0.01, 2: 0.01}}
    figure = _figure(rates)
    labels = [text.get_text() for text in figure.axes[1].get_legend().get_texts()]
    assert sorted(labels) == ['base_lr', 'lr of the first group']
    plt.close(figure)


def test_without_records_there_is_no_picture(tmp_path):
    (tmp_path / 'run').mkdir()
    assert draw_curves(tmp_path, tmp_path / 'curves.png') is False
    assert list(tmp_path.iterdir()) == [tmp_path / 'run']


def test_no_legend_lies_on_a_point(tmp_path):
    losses = {f'loss_{name}': 1.0 for name in ('rpn_cls', 'rpn_bbox', 'cls', 'bbox', 'mask', 'iou', 'aux')}
    write(tmp_path, 'run', trained(1), dict(trained(2), **losses), scored(2, 0.9))
    figure = _figure(_parts(*_records(tmp_path)))
    figure.canvas.draw()
    for ax in (figure.axes[0], figure.axes[2]):
        legend = ax.get_legend().get_window_extent()
        assert legend.y0 >= ax.get_window_extent().y1
        assert legend.x1 <= figure.bbox.x1
        assert legend.y1 <= figure.bbox.y1
    plt.close(figure)
