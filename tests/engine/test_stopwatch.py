"""Where the time of a run goes: the parts add up to all of it."""

import time
from types import SimpleNamespace

import pytest
import torch
from line import Line, LineOfTwo, TwoOptimizers
from mmengine.optim import OptimWrapper

from vitdense.engine import stopwatch as module
from vitdense.engine.stopwatch import SAMPLED, Stopwatch


@pytest.fixture
def clock(monkeypatch):
    """Time that passes when it is told to."""
    found = SimpleNamespace(now=0.0)
    found.perf_counter = lambda: found.now

    def passes(seconds):
        found.now += seconds

    found.passes = passes
    monkeypatch.setattr(module, 'time', found)
    return found


class Takes(OptimWrapper):
    """An optimizer whose backward passes take 3 s and whose steps take 5 s."""

    def __init__(self, clock):
        super().__init__(torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.1))
        self.clock = clock

    def backward(self, loss, **kwargs):
        self.clock.passes(3)

    def step(self, **kwargs):
        self.clock.passes(5)


def iteration(watch, optimizer, clock, data=1.0, forward=2.0):
    clock.passes(data)
    watch.before('before_train_iter')
    watch.after('before_train_iter')
    clock.passes(forward)
    optimizer.update_params(torch.ones(1, requires_grad=True).sum())
    watch.before('after_train_iter')
    clock.passes(0.25)  # hooks
    watch.after('after_train_iter')


def test_the_parts_of_an_iteration_are_told_apart(clock):
    watch, optimizer = Stopwatch(), Takes(clock)
    watch.watch(optimizer)
    clock.passes(7)  # to build the model
    watch.before('before_train_epoch')
    watch.after('before_train_epoch')
    for _ in range(4):
        iteration(watch, optimizer, clock)
    watch.before('before_val_epoch')
    watch.after('before_val_epoch')
    clock.passes(11)
    watch.before('before_val_iter')  # of which nothing is known
    clock.passes(1)
    watch.after('before_val_iter')
    watch.before('after_val_epoch')
    clock.passes(13)  # to save
    watch.after('after_val_epoch')
    clock.passes(0.5)
    assert watch.seconds() == dict(
        data=4.5, forward=8, backward=12, step=20, evaluation=12, report=0, other=21
    )
    assert sum(watch.seconds().values()) == clock.now


def test_a_pass_that_fails_gives_the_time_back_to_what_ran_before(clock):
    watch, optimizer = Stopwatch(), Takes(clock)
    optimizer.step = lambda: clock.passes(5) or 1 / 0
    watch.watch(optimizer)
    with pytest.raises(ZeroDivisionError):
        optimizer.step()
    clock.passes(2)
    assert watch.seconds()['step'] == 5
    assert watch.seconds()['other'] == 2


def test_where_a_device_works_on_the_split_is_that_of_the_iterations_that_are_waited_for(clock):
    """There Python hands out the work of a pass at once, and waits for it where a result is read."""
    queued = [0.0]
    waited = []

    def wait():
        waited.append(watch.running)
        clock.passes(queued[0])
        queued[0] = 0.0

    class Device(Takes):
        def backward(self, loss, **kwargs):
            queued[0] += 3

        def step(self, **kwargs):
            queued[0] += 5

    watch, optimizer = Stopwatch(wait), Device(clock)
    watch.watch(optimizer)
    watch.before('before_train_epoch')
    watch.after('before_train_epoch')
    for _ in range(SAMPLED + 1):
        watch.before('before_train_iter')
        watch.after('before_train_iter')
        queued[0] += 2  # the forward pass
        optimizer.update_params(torch.ones(1, requires_grad=True).sum())
        clock.passes(queued[0])  # the loss is read
        queued[0] = 0.0
        watch.before('after_train_iter')
        watch.after('after_train_iter')
    found = watch.seconds()
    steps = sum(found[part] for part in ('forward', 'backward', 'step'))
    assert steps == pytest.approx(10 * (SAMPLED + 1))
    shares = [found[part] / steps for part in ('forward', 'backward', 'step')]
    assert shares == pytest.approx([0.2, 0.3, 0.5])
    assert sum(found.values()) == pytest.approx(clock.now)
    assert len(waited) < 5 * 2 + 2  # in two iterations


def test_the_parts_of_a_run_add_up_to_its_time(make_runner):
    runner = make_runner()
    began = time.perf_counter()
    runner.stopwatch  # noqa: B018 (it starts here)
    runner.train()
    found, took = runner.stopwatch.seconds(), time.perf_counter() - began
    assert sum(found.values()) == pytest.approx(took, rel=0.02, abs=0.02)
    assert min(seconds for part, seconds in found.items() if part != 'report') > 0  # it has no page


@pytest.mark.parametrize('several', [False, True])
def test_schedulers_count_the_steps_of_an_optimizer_that_is_watched(make_runner, several, monkeypatch):
    """MMEngine's wrap the `step` that they find, which has to be a method, and count its calls."""
    rates = dict(type='LinearLR', start_factor=0.1, begin=0, end=4, by_epoch=False)
    changes = dict(optim_wrapper=dict(constructor=TwoOptimizers)) if several else {}
    found = []
    for watched in (True, False):
        if not watched:
            monkeypatch.setattr(Stopwatch, 'watch', lambda *words: None)
        runner = make_runner(param_scheduler=rates, model=LineOfTwo() if several else Line(), **changes)
        runner.train()
        own = runner.optim_wrapper
        wrappers = list(own.optim_wrappers.values()) if several else [own]
        found.append([(one._global_step, one.get_lr()['lr']) for one in wrappers])
        assert (runner.stopwatch.seconds()['step'] > 0) == watched
    assert found[0] == found[1]
    assert len(found[0]) == 1 + several
    assert all(steps >= 3 and rate == [pytest.approx(0.1)] for steps, rate in found[0])
