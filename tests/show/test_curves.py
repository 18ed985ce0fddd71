"""The curves of a run, resumed or not."""

import io
import json
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from matplotlib import pyplot as plt
from rich.console import Console

from vitdense.show.curves import _figure, _headline, _parts, _records, draw_curves
from vitdense.show.progress import ProgressHook


def write(work_dir, run, *records):
    """The scalars of a run, as MMEngine writes them."""
    file = work_dir / run / 'vis_data' / 'scalars.json'
    file.parent.mkdir(parents=True)
    file.write_text(''.join(json.dumps(record) + '\n' for record in records))


def session(work_dir, run, resumed_from, iteration):
    """What a session notes when it starts."""
    (work_dir / run).mkdir(exist_ok=True)
    record = dict(resumed_from=resumed_from, iteration=iteration)
    (work_dir / run / 'session.json').write_text(json.dumps(record))


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


def losses(work_dir):
    """The curve of the loss; each session has a loss of its own here."""
    train, _ = _records(work_dir)
    return {step: train[step]['loss'] for step in sorted(train)}


def test_a_new_run_draws_nothing_of_a_killed_one_in_its_folder(tmp_path):
    write(tmp_path, '20250101_000000', *(trained(step, 2.0) for step in range(1, 8)), scored(7, 0.1, iter=7))
    write(tmp_path, '20250102_000000', trained(2, 1.0), trained(4, 1.0))
    for run in ('20250101_000000', '20250102_000000'):
        session(tmp_path, run, None, 0)
    assert losses(tmp_path) == {2: 1.0, 4: 1.0}
    assert _records(tmp_path)[1] == {}


def test_a_run_resumed_from_an_earlier_checkpoint_drops_what_came_after_it(tmp_path):
    scores = scored(1, 0.1, iter=6), scored(2, 0.2, iter=12), scored(3, 0.3, iter=18)
    write(tmp_path, '20250101_000000', *(trained(step, 3.0) for step in (6, 12, 18)), *scores)
    session(tmp_path, '20250101_000000', None, 0)
    session(tmp_path, '20250102_000000', '20250101_000000', 6)  # killed before it logged anything
    assert losses(tmp_path) == {6: 3.0}
    write(tmp_path, '20250103_000000', trained(8, 1.0), scored(2, 0.4, iter=12))
    session(tmp_path, '20250103_000000', '20250102_000000', 7)
    assert losses(tmp_path) == {6: 3.0, 8: 1.0}
    found = {step: record['coco/bbox_mAP'] for step, record in _records(tmp_path)[1].items()}
    assert found == {6: 0.1, 12: 0.4}


def test_only_the_sessions_that_a_run_was_resumed_from_are_drawn(tmp_path):
    """The second one left no checkpoint: the third is resumed from the newest of the first."""
    write(tmp_path, '20250101_000000', *(trained(step, 3.0) for step in (10, 20, 30)))
    write(tmp_path, '20250102_000000', trained(15, 2.0))
    write(tmp_path, '20250103_000000', trained(40, 1.0))
    session(tmp_path, '20250101_000000', None, 0)
    session(tmp_path, '20250102_000000', '20250101_000000', 10)
    session(tmp_path, '20250103_000000', '20250101_000000', 30)
    assert losses(tmp_path) == {10: 3.0, 20: 3.0, 30: 3.0, 40: 1.0}


def test_sessions_that_noted_nothing_are_merged_as_they_were(tmp_path):
    write(tmp_path, '20250101_000000', trained(1, 4.0), trained(5, 4.0))
    write(tmp_path, '20250102_000000', trained(5, 3.0), trained(9, 3.0))
    (tmp_path / '20250102_000000/session.json').write_text('{"resumed')  # cut
    write(tmp_path, '20250103_000000', trained(8, 1.0))
    session(tmp_path, '20250103_000000', '20250102_000000', 6)
    assert losses(tmp_path) == {1: 4.0, 5: 3.0, 8: 1.0}


def test_a_training_notes_what_it_continues(make_runner, tmp_path, monkeypatch):
    clock, now = [0], time.time
    monkeypatch.setattr(time, 'time', lambda: now() + clock[0])

    def train(iterations, **changes):
        clock[0] += 2  # a folder of its own: they are called by the second
        cfg = dict(by_epoch=False, max_iters=iterations, val_interval=iterations)
        runner = make_runner(train_cfg=cfg, **changes)
        runner.register_hook(ProgressHook(Console(file=io.StringIO())))
        runner.train()
        return Path(runner.log_dir)

    def noted(folder):
        return json.loads((folder / 'session.json').read_text())

    first = train(4)
    assert noted(first) == dict(resumed_from=None, iteration=0)
    resumed = train(3, resume=True, load_from=str(tmp_path / 'run/iter_2.pth'))
    assert noted(resumed) == dict(resumed_from=first.name, iteration=2)
    assert list(_records(tmp_path / 'run')[0]) == [1, 2, 3]
    again = train(2)
    assert noted(again) == dict(resumed_from=None, iteration=0)
    assert list(_records(tmp_path / 'run')[0]) == [1, 2]


def test_scores_of_the_same_name_are_drawn_with_the_prefixes_of_their_evaluators(tmp_path):
    both = {'all/bbox_mAP': 0.25, 'all/bbox_mAP_50': 0.5, 'strict/bbox_mAP': -1.0, 'all/AP': 0.1}
    write(tmp_path, 'run', trained(1), dict(both, step=1), trained(2), dict(both, step=2))
    curves = _parts(*_records(tmp_path))['validation score']
    assert curves == {
        'all bbox mAP': {1: 0.25, 2: 0.25},
        'bbox mAP 50': {1: 0.5, 2: 0.5},
        'strict bbox mAP': {},
    }


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
