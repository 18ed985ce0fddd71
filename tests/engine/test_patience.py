"""`--patience`: a run ends after so many validations without a better score, and its last state is saved."""

import math

import pytest
from line import Mean
from mmengine.hooks import EarlyStoppingHook

from vitdense.checkpoint import SAFE_GLOBALS, read
from vitdense.engine.last_state import LastStateHook
from vitdense.engine.patience import PatienceHook, set_patience
from vitdense.preflight.origin import resumable

BEST = dict(save_best='auto', rule='greater')


class Scores(Mean):
    """Scores of a list, one after the other."""

    def __init__(self, scores):
        super().__init__()
        self.scores = iter(scores)

    def compute_metrics(self, results):
        return dict(score=next(self.scores), other=0.0)


@pytest.fixture
def train(make_runner):
    """A run that is validated after each iteration, and saved at its end."""

    def train(scores, patience=2, checkpoint=BEST, interval=99, **changes):
        settings = dict(
            val_evaluator=dict(type=Scores, scores=scores),
            train_cfg=dict(by_epoch=False, max_iters=9, val_interval=1),
            default_hooks=dict(
                checkpoint=dict(type='CheckpointHook', interval=interval, by_epoch=False, **checkpoint)
            ),
        )
        runner = make_runner(**settings | changes)
        set_patience(runner, patience)
        runner.register_hook(LastStateHook())
        runner.train()
        return runner

    return train


@pytest.mark.parametrize(
    ('scores', 'patience', 'end'),
    [
        ([1, 3, 2, 2, 9], 2, 4),
        ([1, 3, 3, 3, 9], 2, 4),  # an equal score is no better one
        ([1, 3, 3, 3, 9], 1, 3),
        ([0, 0, 0, 9], 2, 3),
        ([1, math.nan, 2, math.nan, math.nan, 9], 2, 5),
        ([1, 2, 3, 4, 5, 6, 7, 8, 9], 1, 9),
        ([1, 0, 2, 0, 3, 0, 4, 0, 0], 2, 9),
    ],
)
def test_a_run_ends_when_no_score_was_better(train, tmp_path, scores, patience, end):
    runner = train(scores, patience)
    assert runner.iter == end
    # saved once, at the end; at the schedule's own end by the checkpoint hook
    files = sorted(path.name for path in (tmp_path / 'run').glob('iter_*.pth'))
    assert files == [f'iter_{end}.pth']
    assert (tmp_path / 'run/last_checkpoint').read_text().endswith(f'iter_{end}.pth')
    assert read(tmp_path / f'run/iter_{end}.pth', allow=SAFE_GLOBALS)['meta']['iter'] == end


def test_a_state_that_is_saved_is_not_saved_again(train, tmp_path):
    train([1, 0, 0], interval=1)
    assert {path.name for path in (tmp_path / 'run').glob('iter_*.pth')} == {
        f'iter_{i}.pth' for i in (1, 2, 3)
    }


@pytest.mark.parametrize(
    ('checkpoint', 'end'),
    [
        (dict(save_best='line/score', rule='less'), 4),
        (dict(save_best='line/other', rule='greater'), 3),
        ({}, 9),  # the first score, of which the greater is better
    ],
)
def test_the_score_is_that_of_the_best_checkpoint(train, checkpoint, end):
    runner = train([3, 2, 4, 5, 6, 7, 8, 9, 10], checkpoint=checkpoint)
    assert runner.iter == end


def test_epochs_end_with_their_last_state(train, tmp_path, monkeypatch):
    monkeypatch.setattr('time.sleep', lambda seconds: None)
    epochs = dict(train_cfg=dict(by_epoch=True, max_epochs=5), log_processor=dict(by_epoch=True))
    assert train([2, 1, 0], **epochs).iter == 24
    meta = read(tmp_path / 'run/iter_24.pth', allow=SAFE_GLOBALS)['meta']
    assert (meta['epoch'], meta['samples']) == (3, 0)


def test_a_resumed_run_has_waited_already(train, tmp_path):
    train([3, 2, 1, 0], patience=3, interval=1)
    path = tmp_path / 'run/iter_3.pth'  # saved before the third validation
    assert read(path, allow=SAFE_GLOBALS)['meta']['patience'] == dict(best=3.0, waited=1)
    runner = train([2, 2, 9], patience=3, interval=1, load_from=str(path), resume=True)
    assert runner.iter == 5
    assert not [finding for finding in resumable(runner) if 'EarlyStopping' in finding.text]


def test_an_early_stop_of_the_config_is_replaced_and_named(make_runner):
    runner = make_runner(custom_hooks=[EarlyStoppingHook('line/count', patience=7, rule='greater')])
    assert set_patience(runner, 2) == "the config's of 7 for line/count"
    (hook,) = (hook for hook in runner.hooks if isinstance(hook, EarlyStoppingHook))
    assert isinstance(hook, PatienceHook)
    assert hook.patience == 2
