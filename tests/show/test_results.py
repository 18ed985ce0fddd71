"""The last lines of a run: its checkpoints, its pictures, its log."""

import io
import json
from pathlib import Path

import pytest
from line import Mean
from rich.console import Console

from vitdense.show import results
from vitdense.show.progress import ProgressHook


@pytest.fixture
def finished(make_runner, monkeypatch):
    """A run and what is said at its end."""
    monkeypatch.setattr('vitdense.show.pictures.draw_predictions', lambda *words: '')

    def finish(checkpoint=None, dataset='any', **changes):
        hook = dict(type='CheckpointHook', interval=2, by_epoch=False, **(checkpoint or {}))
        hooks = dict(logger=dict(type='LoggerHook', interval=1), checkpoint=hook)
        runner = make_runner(default_hooks=hooks, **changes)
        quiet = ProgressHook(Console(file=io.StringIO(), width=160))
        runner.register_hook(quiet)
        runner.train()
        monkeypatch.chdir(runner.work_dir)
        stream = io.StringIO()
        console = Console(file=stream, width=200, soft_wrap=True)
        results.show_results(runner, console, dataset, trained=True)
        found = [line.split(None, 1) for line in stream.getvalue().splitlines()]
        return runner, dict(found)

    return finish


def test_the_checkpoint_the_pictures_and_the_log_are_named(finished):
    _, lines = finished()
    assert list(lines) == ['checkpoint', 'curves', 'predictions', 'log']
    path, size, unit = lines['checkpoint'].split()
    assert path == 'iter_4.pth'
    assert float(size.strip('(')) == pytest.approx((Path(path).stat().st_size) / 1e6, rel=0.01)
    assert unit == 'MB)'
    assert lines['curves'] == 'curves.png'
    assert lines['log'].endswith('.log')


NEVER = dict(by_epoch=False, max_iters=4, val_begin=9)


class Falling(Mean):
    """A score that is best at the second validation."""

    values = iter(())

    def compute_metrics(self, found):
        return dict(score=next(self.values), other=0.5)


def test_the_best_checkpoint_is_named_with_its_score(finished):
    Falling.values = iter((0.25, 0.75, 0.5, 0.125))
    train = dict(by_epoch=False, max_iters=4, val_interval=1)
    best = dict(save_best='line/score', rule='greater')
    _, lines = finished(best, train_cfg=train, val_evaluator=dict(type=Falling))
    assert lines['best'].startswith('best_line_score_iter_2.pth (')
    assert lines['best'].endswith(' MB, weights alone), score 0.750')
    assert [path.name for path in Path().glob('best_*')] == ['best_line_score_iter_2.pth']


def test_a_score_that_no_validation_has_is_said_to_be_missing(finished):
    _, lines = finished(dict(save_best='mIoU'))
    assert lines['best'] == 'none: no validation had the score mIoU'
    assert finished(dict(save_best='auto'), train_cfg=NEVER)[1]['best'] == 'none: no validation'
    _, blind = finished(dict(save_best='auto'), val_dataloader=None, val_evaluator=None, val_cfg=None)
    assert 'best' not in blind


def test_the_score_of_an_epoch_is_recorded_with_its_iteration(finished):
    loops = dict(by_epoch=True, max_epochs=2, val_interval=1)
    runner, _ = finished(train_cfg=loops, log_processor=dict(by_epoch=True))
    (file,) = Path(runner.work_dir).glob('*/vis_data/scalars.json')
    records = [json.loads(line) for line in file.read_text().splitlines()]
    scored = [(record['step'], record['iter']) for record in records if 'line/whole_mean' in record]
    assert scored == [(1, 8), (2, 16)]


def test_where_nothing_is_recorded_there_are_no_curves(finished):
    _, lines = finished(visualizer=dict(type='Visualizer', vis_backends=[]))
    assert lines['curves'].startswith('none: ')
    assert not Path('curves.png').exists()


def test_a_picture_that_cannot_be_drawn_is_a_warning(finished, monkeypatch):
    def fail(*words):
        raise KeyError('labels')

    monkeypatch.setattr('vitdense.show.curves.draw_curves', fail)
    runner, lines = finished()
    assert lines['curves'].startswith("warning: not drawn: KeyError: 'labels' (traceback in ")
    assert 'checkpoint' in lines
    assert 'log' in lines
    log = Path(runner.logger.log_file).read_text()
    assert 'Traceback' in log
