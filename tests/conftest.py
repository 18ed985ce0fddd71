"""What the tests share: commands called in this process, and a run of four numbers."""

import os
import sys
from itertools import count
from pathlib import PurePath

from vitdense.threads import wait_briefly

# Both before torch is imported: waiting threads leave the cores to the other workers, which get a share each.
wait_briefly()
if processes := os.environ.get('PYTEST_XDIST_WORKER_COUNT'):
    cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()  # macOS
    os.environ.setdefault('OMP_NUM_THREADS', str(max(1, cores // int(processes))))

import pytest
from hypothesis import settings
from line import Line, Mean, loader
from mmengine.config import Config
from runs import Outcome
from small import workplace

from vitdense.cli import main
from vitdense.garbage import collected_later
from vitdense.memory import keep_freed_memory

keep_freed_memory()  # as the tools do

settings.register_profile('vitdense', deadline=None)  # the first call of a kernel may take seconds
settings.load_profile('vitdense')

for name in ('FORCE_COLOR', 'TTY_COMPATIBLE', 'TTY_INTERACTIVE'):  # make rich take a file for a terminal
    os.environ.pop(name, None)


# their fixtures are costly
ONE_WORKER = {
    'test_export.py',
    'test_finished_run.py',
    'test_pages.py',
    'test_sample.py',
    'test_two_processes.py',
    'test_whole_study.py',
}


@pytest.hookimpl(optionalhook=True)  # where xdist is not installed, or switched off
def pytest_xdist_make_scheduler(config, log):
    from xdist.scheduler import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):
        """Each test to the next worker that is free, a file with costly fixtures as a whole."""

        def _split_scope(self, nodeid):
            file = nodeid.partition('::')[0]
            return file if PurePath(file).name in ONE_WORKER else nodeid

    return Scheduling(config, log)


@pytest.fixture(scope='session')
def libraries():
    """The libraries, imported and left out of garbage collections: MMEngine makes one of every dataset."""
    with collected_later():
        from mmdet.utils import register_all_modules as register_mmdet
        from mmseg.utils import register_all_modules as register_mmseg

        register_mmdet(init_default_scope=False)
        register_mmseg(init_default_scope=False)


@pytest.fixture
def call_tool(libraries, monkeypatch, capfd):
    """Run a command in this process, which is quicker than another: exit code, output, error output."""

    def call(command, *words):
        monkeypatch.setattr(sys, 'argv', [f'tools/{command}.py', *map(str, words)])
        capfd.readouterr()
        code = 0
        with monkeypatch.context() as own:  # a command makes every load safe; undo it
            own.setenv('TORCH_FORCE_WEIGHTS_ONLY_LOAD', '0')
            try:
                main(command)
            except SystemExit as end:
                code = end.code
        return code, *capfd.readouterr()

    return call


@pytest.fixture
def call(call_tool, tmp_path, monkeypatch):
    """A command in an empty folder with the small config."""
    workplace(tmp_path)

    def call(command, *words, cwd=tmp_path):
        monkeypatch.chdir(cwd)
        return Outcome(*call_tool(command, *words))

    return call


@pytest.fixture
def no_pictures(monkeypatch):
    """Curves, samples, predictions and a page's charts in print, seconds of each run, are not drawn."""
    monkeypatch.setattr('vitdense.show.curves.draw_curves', lambda *words: True)
    monkeypatch.setattr('vitdense.show.pictures.draw_predictions', lambda *words: '')
    monkeypatch.setattr('vitdense.show.pictures.draw_training_samples', lambda *words: 0)
    monkeypatch.setattr('vitdense.report.page.svg', lambda chart: '')


@pytest.fixture
def make_runner(tmp_path):
    """Runners that write to a folder of the test; by default 4 iterations, validated every 2."""
    from vitdense.engine.runner import VitdenseRunner  # which needs a newer torch than the backbones

    number = count()  # one log for each

    def make(work_dir=tmp_path / 'run', model=None, **changes):
        config = tmp_path / 'line.py'
        config.touch()
        settings = dict(
            model=model or Line(),
            train_dataloader=loader(1),  # MMEngine sleeps for two seconds after an epoch's last batch
            val_dataloader=loader(2),
            val_evaluator=dict(type=Mean),
            train_cfg=dict(by_epoch=False, max_iters=4, val_interval=2),
            val_cfg=dict(),
            optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
            default_hooks=dict(
                logger=dict(type='LoggerHook', interval=1),
                checkpoint=dict(type='CheckpointHook', interval=1, by_epoch=False),
            ),
            visualizer=dict(type='Visualizer', vis_backends=[dict(type='LocalVisBackend')]),
            log_processor=dict(by_epoch=False),
            cfg=Config(
                dict(model=dict(backbone=dict()), train_dataloader=dict(batch_size=1)), filename=str(config)
            ),
            experiment_name=f'{tmp_path.name}-{next(number)}',
            randomness=dict(seed=0),
        )
        return VitdenseRunner(work_dir=str(work_dir), **settings | changes)

    return make
