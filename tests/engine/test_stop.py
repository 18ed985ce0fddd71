"""A signal ends a training after its iteration, with a checkpoint and the exit code that shells use."""

import os
import signal
from pathlib import Path

import pytest

from vitdense.engine.stop import StopHook, Stopped


@pytest.fixture(autouse=True)
def _ctrl_c_is_heard():
    """Which it is not where the tests run in a shell's background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


class Saves:
    """As much of a runner as is asked: it remembers what it was told to save."""

    rank, epoch, iter = 0, 2, 6

    def __init__(self, folder):
        self.work_dir = str(folder)
        self.saved = []

    def save_checkpoint(self, folder, name, meta, by_epoch):
        self.saved.append((Path(folder) / name, meta))


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_the_iteration_is_finished_saved_and_told(tmp_path, number):
    runner, hook = Saves(tmp_path), StopHook()
    before = signal.getsignal(number)
    with hook.listening():
        hook.after_train_iter(runner, 0)
        assert runner.saved == []
        os.kill(os.getpid(), number)
        with pytest.raises(Stopped, match=f'stopped by {number.name} after iteration 7, and saved') as stop:
            hook.after_train_iter(runner, 0)
    assert stop.value.code == 128 + number
    assert runner.saved == [(tmp_path / 'iter_7.pth', dict(epoch=2, iter=7))]
    assert (tmp_path / 'last_checkpoint').read_text() == 'iter_7.pth'
    assert signal.getsignal(number) is before


def test_a_validation_is_broken_off_with_the_iterations_that_were_done(tmp_path):
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
def test_a_second_signal_stops_at_once(number, error):
    hook = StopHook()
    with hook.listening():
        os.kill(os.getpid(), number)
        with pytest.raises(error):
            os.kill(os.getpid(), number)


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
