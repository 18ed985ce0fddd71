"""`--max-minutes`: values by the share of the time, a validation at its end, what a resumed run has left."""

from itertools import count

import pytest
import torch
from line import Line, LineOfTwo, TwoOptimizers, loader
from mmengine.hooks import Hook
from mmengine.optim import ReduceOnPlateauParamScheduler

from vitdense.checkpoint import SAFE_GLOBALS, read
from vitdense.engine import time_limit
from vitdense.engine.last_state import LastStateHook
from vitdense.engine.time_limit import CLOSING_SHARE, VALIDATING, limit_time
from vitdense.errors import UserError

SCHEDULE = [
    dict(type='LinearLR', by_epoch=False, start_factor=0.25, begin=0, end=4),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=4, end=16),
    dict(type='LinearMomentum', by_epoch=False, start_factor=0.5, begin=0, end=16),
]
BY_ITERATION = dict(train_cfg=dict(by_epoch=False, max_iters=16, val_interval=99))
BY_EPOCH = dict(
    train_cfg=dict(by_epoch=True, max_epochs=2, val_interval=99),  # of 8 iterations
    log_processor=dict(by_epoch=True),
)


class Clock(Hook):
    """Time that passes with iterations and validations alone; and what the steps were taken with."""

    priority = 'HIGHEST'

    def __init__(self, iteration, validation=0.0):
        self.iteration, self.validation = iteration, validation
        self.now = 0.0
        self.steps, self.validated = [], []

    def __call__(self):
        return self.now

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.now += self.iteration
        group = runner.optim_wrapper.optimizer.param_groups[0]
        self.steps.append((group['lr'], group['momentum']))

    def after_val_epoch(self, runner, metrics=None):
        self.now += self.validation
        self.validated.append(runner.iter)


@pytest.fixture(autouse=True)
def no_pause(monkeypatch):
    """MMEngine sleeps for two seconds after an epoch."""
    monkeypatch.setattr('time.sleep', lambda seconds: None)


@pytest.fixture
def train(make_runner, monkeypatch, tmp_path):
    """A run, limited to some minutes, by a clock."""

    def train(clock, minutes, name='run', hooks=(), **changes):
        monkeypatch.setattr(time_limit, 'seconds_of_process', clock)
        monkeypatch.setattr(time_limit, '_validation_seconds', lambda *words: clock.validation)
        torch.manual_seed(0)
        settings = dict(
            model=Line(),
            param_scheduler=SCHEDULE,
            optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1, momentum=0.8)),
            default_hooks=dict(
                logger=dict(type='LoggerHook', interval=1),
                checkpoint=dict(
                    type='CheckpointHook', interval=1, by_epoch=False, save_best='auto', rule='greater'
                ),
            ),
        )
        runner = make_runner(tmp_path / name, **settings | BY_ITERATION | changes)
        for hook in (clock, *hooks, LastStateHook()):
            runner.register_hook(hook)
        if minutes:
            limit_time(runner, minutes)
        runner.train()
        return runner

    return train


def nominal(train):
    """What the steps of the schedule are taken with, where no time limits it."""
    clock = Clock(0.0)
    train(clock, None, 'nominal')
    return clock.steps


def test_every_value_is_that_of_the_schedule_at_the_share_of_the_time(train):
    expected = nominal(train)
    assert len({rate for rate, _ in expected}) > 10
    assert len({momentum for _, momentum in expected}) > 10
    clock = Clock(1.5, 6.0)  # 60 s, less 6 s for the end and 6 s for the validation: 32 iterations
    runner = train(clock, 1)
    assert clock.steps == [expected[step // 2] for step in range(31)]
    assert runner.iter == 31  # another one would end at the very second
    clock = Clock(12.0, 6.0)
    train(clock, 1)
    assert clock.steps == [expected[step * 4] for step in range(3)]


@pytest.mark.parametrize('schedule', [BY_ITERATION, BY_EPOCH], ids=['iterations', 'epochs'])
@pytest.mark.parametrize('iteration', [0.7, 3.0, 5.9, 47.0, 100.0])
def test_a_run_ends_with_one_validation_within_the_time_and_saves_its_last_state(
    train, tmp_path, schedule, iteration
):
    clock = Clock(iteration, 6.0)
    runner = train(clock, 1, **schedule)
    assert clock.validated[-1] == runner.iter == len(clock.steps)
    assert len({*clock.validated}) == len(clock.validated) <= 2
    assert clock.now <= 60 * (1 - CLOSING_SHARE) or runner.iter == 1  # whose length nobody knew
    assert read(tmp_path / f'run/iter_{runner.iter}.pth', allow=SAFE_GLOBALS)['meta']['iter'] == runner.iter


@pytest.mark.parametrize('schedule', [BY_ITERATION, BY_EPOCH], ids=['iterations', 'epochs'])
def test_without_a_validation_it_ends_as_well(train, schedule):
    none = dict(val_dataloader=None, val_evaluator=None, val_cfg=None)
    clock = Clock(3.0)
    runner = train(clock, 1, **schedule | none)
    assert (runner.iter, clock.validated) == (17, [])


@pytest.mark.parametrize('every', [1, 3])
def test_validations_take_a_part_of_the_time(train, every):
    cfg = dict(by_epoch=False, max_iters=16, val_interval=every)
    clock = Clock(1.0, 3.0)
    runner = train(clock, 1, train_cfg=cfg)
    assert 1 < 3.0 * len(clock.validated) <= VALIDATING * 60
    assert clock.validated[-1] == runner.iter > 30
    assert clock.validated[:2] == [every, 2 * every]


def test_a_validation_that_takes_longer_than_estimated_can_be_the_last(train, monkeypatch):
    cfg = dict(by_epoch=False, max_iters=16, val_interval=4)
    clock = Clock(1.0, 1.0)

    class Slow(Hook):
        priority = 'HIGHEST'

        def before_val_iter(self, runner, batch_idx, data_batch=None):
            clock.now += 9.0

    runner = train(clock, 1, train_cfg=cfg, hooks=[Slow()])
    assert clock.validated == [4] == [runner.iter]
    assert clock.now <= 60


class Stops(Hook):
    """Ends a run at the start of an iteration."""

    def __init__(self, iteration):
        self.iteration = iteration

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == self.iteration:
            raise InterruptedError


@pytest.mark.parametrize('schedule', [BY_ITERATION, BY_EPOCH], ids=['iterations', 'epochs'])
@pytest.mark.parametrize('when', [3, 11])
def test_a_resumed_run_has_what_is_left_and_ends_as_one_that_never_stopped(train, tmp_path, schedule, when):
    whole = Clock(3.0, 6.0)
    end = train(whole, 1, 'whole', **schedule).iter
    first, second = Clock(3.0, 6.0), Clock(3.0, 6.0)
    with pytest.raises(InterruptedError):
        train(first, 1, 'part', hooks=[Stops(when)], **schedule)
    checkpoint = str(tmp_path / f'part/iter_{when}.pth')
    kept = read(checkpoint, allow=SAFE_GLOBALS)['meta']['time_limit']
    assert kept['seconds'] == 3.0 * when
    train(second, 1, 'part', load_from=checkpoint, resume=True, **schedule)
    assert first.steps + second.steps == whole.steps
    one, other = (
        read(tmp_path / name / f'iter_{end}.pth', allow=SAFE_GLOBALS)['state_dict']
        for name in ('whole', 'part')
    )
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_run_without_a_limit_can_be_resumed_with_one_that_is_for_its_rest(train, tmp_path):
    expected = nominal(train)
    clock = Clock(6.0, 6.0)
    runner = train(clock, 1, load_from=str(tmp_path / 'nominal/iter_8.pth'), resume=True)
    assert clock.steps == [expected[8 + step] for step in range(7)]  # one more would end at the very second
    assert runner.iter == 15


def test_a_limited_run_is_not_resumed_without_a_limit(train, tmp_path):
    train(Clock(3.0, 6.0), 1, 'part')
    with pytest.raises(UserError, match=r'--max-minutes, of which it has had 0\.85$'):
        train(Clock(3.0, 6.0), None, load_from=str(tmp_path / 'part/iter_15.pth'), resume=True)
    with pytest.raises(UserError, match=r'0\.8: no time is left .* more than 1 minutes'):
        train(Clock(3.0, 6.0), 0.8, load_from=str(tmp_path / 'part/iter_15.pth'), resume=True)
    runner = train(Clock(3.0, 6.0), 1.5, load_from=str(tmp_path / 'part/iter_15.pth'), resume=True)
    assert runner.iter > 20


def test_too_short_a_time_is_a_user_error(train):
    clock = Clock(3.0, 6.0)
    clock.now = 55.0
    with pytest.raises(UserError, match=r'55 s are over .* 12 s are needed .* more than 1\.1 minutes$'):
        train(clock, 1)
    assert clock.steps == []


def test_a_schedule_by_the_score_cannot_be_fitted(train):
    plateau = [
        dict(type=ReduceOnPlateauParamScheduler, param_name='lr', monitor='line/count', rule='greater')
    ]
    with pytest.raises(UserError, match='ReduceOnPlateau'):
        train(Clock(3.0), 1, param_scheduler=plateau)


def test_batches_are_accumulated_beyond_the_length_of_the_schedule(train):
    wrapper = dict(optimizer=dict(type='SGD', lr=0.1, momentum=0.8), accumulative_counts=3)
    assert train(Clock(1.0, 6.0), 1, optim_wrapper=wrapper).iter == 47


class Betas(Hook):
    """Rate and first beta of each step, of each group."""

    priority = 'LOWEST'

    def __init__(self):
        self.seen = []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        groups = runner.optim_wrapper.optimizer.param_groups
        self.seen.append([(group['lr'], group['betas']) for group in groups])


def test_groups_with_rates_of_their_own_and_the_betas_of_adam_follow_the_time(make_runner, monkeypatch):
    wrapper = dict(
        optimizer=dict(type='AdamW', lr=0.1),
        paramwise_cfg=dict(custom_keys={'backbone.bias': dict(lr_mult=0.1)}),
    )
    settings = dict(optim_wrapper=wrapper, param_scheduler=SCHEDULE, **BY_ITERATION)
    make_runner(custom_hooks=[expected := Betas()], **settings).train()
    runner = make_runner(custom_hooks=[seen := Betas()], **settings)
    clock = Clock(1.5, 6.0)
    clock.after_train_iter = lambda *words, **more: setattr(clock, 'now', clock.now + 1.5)
    runner.register_hook(clock)
    monkeypatch.setattr(time_limit, 'seconds_of_process', clock)
    monkeypatch.setattr(time_limit, '_validation_seconds', lambda *words: 6.0)
    limit_time(runner, 1)
    runner.train()
    assert seen.seen == [expected.seen[step // 2] for step in range(31)]
    assert expected.seen[3][0] != expected.seen[3][1]
    assert expected.seen[3] != expected.seen[4]


def test_two_optimizers_follow_the_time(make_runner, monkeypatch):
    clock = count()
    monkeypatch.setattr(time_limit, 'seconds_of_process', lambda: float(next(clock)))
    schedulers = dict(
        weight=[dict(type='LinearLR', by_epoch=False, end=6)],
        bias=[dict(type='StepLR', by_epoch=False, step_size=3)],
    )
    runner = make_runner(
        model=LineOfTwo(), optim_wrapper=dict(constructor=TwoOptimizers), param_scheduler=schedulers
    )
    limit_time(runner, 1)
    runner.train()
    last = {name: one.optimizer.param_groups[0]['lr'] for name, one in runner.optim_wrapper.items()}
    # of the last of four iterations
    assert last['weight'] == pytest.approx(0.1 * (1 / 3 + 2 / 3 * 3 / 5))
    assert last['bias'] == pytest.approx(0.01)


def test_a_process_does_what_the_main_process_says(train, monkeypatch):
    def broadcast(numbers):
        if len(numbers) == 4:  # after an iteration: share, end, validation, iterations that are left
            numbers.copy_(torch.tensor([0.5, runs.pop(), 0, 7]))

    runs = [1.0, 0.0, 0.0]
    expected = nominal(train)
    monkeypatch.setattr(time_limit, 'broadcast', broadcast)
    clock = Clock(100.0)  # its own would end the run
    runner = train(clock, 1)
    assert clock.steps == [expected[0], expected[8], expected[8]]
    assert runner.iter == runner.max_iters == 3


def test_the_validation_is_estimated_by_a_batch(make_runner):
    ticks = count()
    seconds = []

    class Estimates(Hook):
        def before_train(self, runner):
            seconds.append(time_limit._validation_seconds(runner, lambda: float(next(ticks))))

    make_runner(custom_hooks=[Estimates()], val_dataloader=loader(2)).train()
    # four batches of two images: a second of loading, one of the model
    assert seconds == [time_limit.MARGIN * 4 * 2]
