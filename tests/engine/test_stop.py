"""A signal ends a training after its iteration, with a checkpoint and the exit code that shells use."""

import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest
import torch
from mmengine.hooks import EMAHook, Hook

from vitdense.checkpoint import SAFE_GLOBALS, read
from vitdense.engine.checkpoints import SafePoints
from vitdense.engine.stop import ECHO, StopHook
from vitdense.errors import Stopped


@pytest.fixture(autouse=True)
def _ctrl_c_is_heard():
    """Which it is not where the tests run in a shell's background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


class Saves:
    """As much of a runner as is asked: it remembers what it was asked to save."""

    rank, epoch, iter = 0, 2, 6
    hooks = ()

    def __init__(self, folder):
        self.work_dir = str(folder)
        self.safe_points = SafePoints()
        self.saved = []

    def save_checkpoint(self, folder, name, meta, by_epoch):
        self.saved.append((Path(folder) / name, meta))


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_after_the_iteration_with_a_checkpoint(tmp_path, number):
    runner, hook = Saves(tmp_path), StopHook()
    before = signal.getsignal(number)
    with hook.listening():
        hook.after_train_iter(runner, 0)
        assert runner.saved == []
        os.kill(os.getpid(), number)
        with pytest.raises(Stopped, match=f'{number.name} after iteration 7') as stop:
            hook.after_train_iter(runner, 0)
    assert stop.value.exit_code == 128 + number
    assert runner.saved == [(tmp_path / 'iter_7.pth', dict(epoch=2, iter=7))]
    assert (tmp_path / 'last_checkpoint').read_text() == 'iter_7.pth'
    assert signal.getsignal(number) is before


def test_a_signal_in_a_validation_saves_the_iterations_that_were_done(tmp_path):
    runner, hook = Saves(tmp_path), StopHook()
    with hook.listening():
        hook.after_val_iter(runner, 0)
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(Stopped, match='after iteration 6'):
            hook.after_val_iter(runner, 0)
    assert runner.saved == [(tmp_path / 'iter_6.pth', dict(epoch=2, iter=6))]


@pytest.mark.parametrize(
    ('number', 'error'), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)]
)
def test_a_second_signal_stops_at_once_but_not_the_echo_of_the_first(number, error, monkeypatch):
    hook = StopHook()
    with hook.listening():
        os.kill(os.getpid(), number)
        os.kill(os.getpid(), number)  # as torchrun hands it on
        assert hook.received == number
        monkeypatch.setattr(time, 'monotonic', lambda: hook.when + 1.01 * ECHO)
        with pytest.raises(error):
            os.kill(os.getpid(), number)


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_a_process_that_a_run_forks_ends_by_a_signal(number):
    """As those of a pool, which MMDetection's VOCMetric waits for."""
    fork = multiprocessing.get_context('fork')
    ready = fork.Event()
    with StopHook().listening():
        child = fork.Process(target=lambda: (ready.set(), time.sleep(60)))
        child.start()
        ready.wait(20)  # what comes earlier, Python forgets in a new process
        os.kill(child.pid, number)
        child.join(20)
    assert child.exitcode == -number


class Signals(Hook):
    """Sends this process a signal at a place in a run."""

    priority = 'HIGHEST'

    def __init__(self, place, iteration):
        self.place, self.iteration = place, iteration

    def _send(self, runner, place):
        if place == self.place and runner.iter == self.iteration:
            os.kill(os.getpid(), signal.SIGTERM)

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self._send(runner, 'train')

    def after_val_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self._send(runner, 'val')


@pytest.mark.parametrize(('place', 'iteration'), [('train', 1), ('val', 2)])
def test_a_stopped_and_resumed_run_ends_with_the_weights_and_the_average_of_one_that_never_stopped(
    make_runner, tmp_path, place, iteration
):
    """Also from a validation, in which MMEngine's EMAHook has exchanged the two."""
    average = dict(custom_hooks=[dict(type=EMAHook, momentum=0.3)])
    torch.manual_seed(0)
    make_runner(tmp_path / 'straight', **average).train()

    torch.manual_seed(0)
    hook, runner = StopHook(), make_runner(tmp_path / 'stopped', **average)
    for one in (hook, Signals(place, iteration)):
        runner.register_hook(one)
    with hook.listening(), pytest.raises(Stopped, match='after iteration 2, '):
        runner.train()
    path = str(tmp_path / 'stopped/iter_2.pth')
    make_runner(tmp_path / 'stopped', **average, load_from=path, resume=True).train()

    for number in (2, 4):
        ends = [
            read(tmp_path / name / f'iter_{number}.pth', allow=SAFE_GLOBALS)
            for name in ('straight', 'stopped')
        ]
        for key in ('state_dict', 'ema_state_dict'):
            for name, value in ends[0][key].items():
                assert torch.equal(ends[1][key][name], value), (number, key, name)
        assert not all(
            torch.equal(ends[0]['state_dict'][name], ends[0]['ema_state_dict'][f'module.{name}'])
            for name in ends[0]['state_dict']
        )


def test_a_signal_that_was_ignored_from_the_start_stays_ignored(tmp_path):
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        hook, runner = StopHook(), Saves(tmp_path)
        with hook.listening():
            os.kill(os.getpid(), signal.SIGINT)
            hook.after_train_iter(runner, 0)
        assert runner.saved == []
    finally:
        signal.signal(signal.SIGINT, before)
