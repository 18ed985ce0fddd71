"""`--log`: MMEngine's backends beside the run's own files, and its results in them."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from mmengine.config import Config
from mmengine.visualization import LocalVisBackend, TensorboardVisBackend
from mmengine.visualization.vis_backend import BaseVisBackend
from runs import BRIEF, refused

from vitdense.errors import UserError
from vitdense.show import trackers
from vitdense.show.trackers import LOGGERS, add_trackers, require_trackers, trackers_open

NAMES = ['tensorboard', 'wandb', 'mlflow']


@pytest.mark.parametrize('names', [['tensorboard'], ['wandb', 'mlflow']])
def test_a_package_that_is_not_there_is_named_with_its_installation(call, tmp_path, monkeypatch, names):
    monkeypatch.setattr(trackers, 'find_spec', lambda name: None)
    said = refused(call('train', 'tiny.py', '--sample', '--log', *names))
    assert said.endswith(f'pip install {" ".join(names)}\n')
    assert not (tmp_path / 'work_dirs').exists()


def test_another_name_is_refused(call):
    outcome = call('train', 'tiny.py', '--sample', '--log', 'tensorboards')
    assert outcome.code == 2
    assert 'tensorboards' in outcome.err


@pytest.fixture
def wandb(monkeypatch):
    """As much of wandb as is asked before a run: nobody is logged in."""
    for name in ('WANDB_MODE', 'WANDB_API_KEY', 'WANDB_PROJECT'):
        monkeypatch.delenv(name, raising=False)
    fake = SimpleNamespace(
        setup=lambda: SimpleNamespace(settings=SimpleNamespace(mode='online')),
        login=lambda prompt: False,
        errors=SimpleNamespace(Error=ValueError),
    )
    monkeypatch.setitem(sys.modules, 'wandb', fake)
    monkeypatch.setattr(trackers, 'find_spec', lambda name: True)
    return fake


def test_wandb_does_not_ask_for_an_account_where_nobody_sees_it(wandb, monkeypatch):
    with pytest.raises(UserError, match=r'wandb login.*WANDB_MODE=offline'):
        require_trackers(['wandb'])
    monkeypatch.setenv('WANDB_MODE', 'offline')
    require_trackers(['wandb'])
    monkeypatch.delenv('WANDB_MODE')
    wandb.login = lambda prompt: True
    require_trackers(['wandb'])


def kinds(cfg):
    return [one['type'] for one in cfg.visualizer.vis_backends]


def test_backends_come_beside_those_that_there_are_and_none_twice(monkeypatch):
    monkeypatch.setitem(
        sys.modules, 'mlflow', SimpleNamespace(get_tracking_uri=lambda: 'sqlite:///mlflow.db')
    )
    monkeypatch.delenv('WANDB_PROJECT', raising=False)
    own = [dict(type=LocalVisBackend), dict(type=TensorboardVisBackend)]
    cfg = Config(
        dict(visualizer=dict(type='DetLocalVisualizer', vis_backends=own), work_dir='work_dirs/my-2')
    )
    add_trackers(cfg, ['tensorboard', 'wandb', 'wandb', 'mlflow'])
    assert kinds(cfg)[2:] == [f'mmengine.visualization.{name}VisBackend' for name in ('Wandb', 'MLflow')]
    wandb, mlflow = cfg.visualizer.vis_backends[2:]
    assert wandb['init_kwargs'] == dict(name='my-2', project='vitdense')
    assert mlflow['tracking_uri'] == 'sqlite:///mlflow.db'
    assert (mlflow['exp_name'], mlflow['run_name']) == ('vitdense', 'my-2')
    monkeypatch.setenv('WANDB_PROJECT', 'boats')
    plain = Config(dict(work_dir='run'))
    add_trackers(plain, ['wandb'])
    assert [kind.split('.')[-1] for kind in kinds(plain)] == ['LocalVisBackend', 'WandbVisBackend']
    assert 'project' not in plain.visualizer.vis_backends[1]['init_kwargs']  # the environment's holds


class Recorder(BaseVisBackend):
    """A backend that notes what comes."""

    def __init__(self, events):
        super().__init__('')
        self.events = events

    def _init_env(self):
        pass

    @property
    def experiment(self):
        return self

    def add_scalars(self, scalars, step=0, file_path=None, **more):
        self.events += ['scores'] * ('line/count' in scalars)

    def close(self):
        self.events.append('closed')


@pytest.mark.parametrize('fails', [False, True])
def test_results_come_at_the_end_also_of_a_run_that_stops(make_runner, monkeypatch, fails):
    events = []

    def log(experiment, best, report):
        events.append((sorted(best), report and report.name))
        if fails:
            raise ConnectionError('no network')

    def stops(runner):
        with trackers_open(runner):
            runner.train()
            assert events == ['scores'] * 2
            Path(runner.work_dir, 'report.html').touch()
            raise KeyboardInterrupt

    monkeypatch.setitem(LOGGERS, 'Recorder', log)
    checkpoint = dict(type='CheckpointHook', by_epoch=False, save_best='auto', rule='greater')
    runner = make_runner(default_hooks=dict(checkpoint=checkpoint))
    runner.visualizer._vis_backends['recorder'] = Recorder(events)
    with pytest.raises(KeyboardInterrupt):
        stops(runner)
    assert events[2:] == [(['best_ckpt'], 'report.html'), *(['closed'] * (not fails))]


def test_each_tracker_gets_the_best_checkpoint_and_the_report(tmp_path):
    seen = {}
    report = tmp_path / 'report.html'
    best = dict(best_ckpt='best.pth')
    LOGGERS['TensorboardVisBackend'](SimpleNamespace(add_text=seen.__setitem__), best, report)
    assert seen == dict(best_ckpt='best.pth', report=str(report))
    run = SimpleNamespace(summary={})
    saved = []
    wandb = SimpleNamespace(run=run, save=lambda path, base_path, policy: saved.append((path, base_path)))
    LOGGERS['WandbVisBackend'](wandb, best, report)
    assert run.summary == best
    assert saved == [(str(report), str(tmp_path))]
    tags, files = {}, []
    mlflow = SimpleNamespace(set_tag=tags.__setitem__, log_artifact=files.append)
    LOGGERS['MLflowVisBackend'](mlflow, best, report)
    assert (tags, files) == (best, [str(report)])
    LOGGERS['MLflowVisBackend'](mlflow, {}, None)
    assert files == [str(report)]


def test_tensorboard_has_losses_scores_and_the_best_checkpoint(call, tmp_path, no_pictures):
    pytest.importorskip('tensorboard')
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    done = call(
        'train', 'tiny.py', '--sample', '--work-dir', 'out', '--log', 'tensorboard', '--cfg-options', *BRIEF
    )
    assert (done.code, done.err) == (0, '')
    (folder,) = (tmp_path / 'out').glob('*/vis_data')
    events = EventAccumulator(str(folder))
    events.Reload()
    assert {'loss', 'lr', 'coco/bbox_mAP'} <= {*events.Tags()['scalars']}
    (score,) = events.Scalars('coco/bbox_mAP')
    assert score.step == 2
    assert 'best_ckpt/text_summary' in events.Tags()['tensors']
