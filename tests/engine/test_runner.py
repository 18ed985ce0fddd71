"""A checkpoint loads whole or not at all and runs nothing, and a run that cannot start harms nothing."""

import os
import re
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import torch
from line import Line, Mean, Points, loader
from mmengine.config import Config
from mmengine.logging import HistoryBuffer
from small import NEWER_MMENGINE
from torch import nn
from yapf.yapflib import yapf_api

from vitdense.checkpoint import SAFE_GLOBALS, check_state, read
from vitdense.engine.runner import VitdenseRunner
from vitdense.errors import UserError


@pytest.fixture
def saved(make_runner, tmp_path):
    """The path of a run's last checkpoint."""
    make_runner(tmp_path / 'saved').train()
    return tmp_path / 'saved' / 'iter_4.pth'


def rewritten(path, **changes):
    """Another checkpoint beside this one, with changed entries."""
    other = path.with_name('other.pth')
    torch.save(torch.load(path, weights_only=False) | changes, other)
    return other


def weights(runner):
    return {name: tensor.clone() for name, tensor in runner.model.state_dict().items()}


def test_the_checkpoint_of_a_run_loads_with_its_loss_histories(make_runner, saved):
    runner = make_runner()
    before = weights(runner)
    checkpoint = runner.load_checkpoint(str(saved))
    for name, tensor in weights(runner).items():
        assert torch.equal(tensor, checkpoint['state_dict'][name])
        assert not torch.equal(tensor, before[name])
    history = checkpoint['message_hub']['log_scalars']['train/loss']
    assert isinstance(history, HistoryBuffer)
    assert len(history.data[0]) == 4


def test_a_bare_state_dict_loads_too(make_runner, tmp_path):
    state = {'backbone.weight': torch.ones(1, 2), 'backbone.bias': torch.zeros(1)}
    torch.save(state, tmp_path / 'state.pth')
    runner = make_runner()
    runner.load_checkpoint(str(tmp_path / 'state.pth'))
    assert all(torch.equal(tensor, state[name]) for name, tensor in weights(runner).items())


@pytest.mark.parametrize(
    ('state', 'expected'),
    [
        ({'backbone.weight': torch.ones(1, 2)}, r'1 of the model are missing \(such as backbone.bias\)'),
        (
            {'a': torch.ones(1), 'b': torch.ones(1)},
            r'2 of the model are missing .*, 2 are unknown \(such as a\)',
        ),
        (
            {'backbone.weight': torch.ones(1, 3), 'backbone.bias': torch.zeros(1)},
            r'of its weights, 1 differ in shape \(such as backbone.weight\)\. Are',
        ),
        ({'backbone.weight': 'text', 'backbone.bias': torch.zeros(1)}, '1 differ in shape'),
        ({}, '2 of the model are missing'),
    ],
)
def test_the_checkpoint_of_another_model_is_refused_and_the_model_stays_as_it_is(
    make_runner, tmp_path, state, expected
):
    torch.save(dict(state_dict=state), tmp_path / 'other.pth')
    runner = make_runner()
    before = weights(runner)
    with pytest.raises(
        UserError, match=f'{tmp_path}/other.pth: the checkpoint of another model: .*{expected}'
    ):
        runner.load_checkpoint(str(tmp_path / 'other.pth'))
    assert all(torch.equal(tensor, before[name]) for name, tensor in weights(runner).items())


def test_a_state_dict_of_equal_keys_and_shapes_fits():
    check_state(nn.Linear(2, 1), nn.Linear(2, 1).state_dict(), 'file')


class Calls:
    """Unpickles, the careless way, as the result of a call."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    'hostile',
    [
        Calls(os.system, 'touch marker'),
        Calls(getattr, HistoryBuffer, '__init__'),
        Calls(getattr, str, 'join'),
        Calls(eval, 'open("marker", "w")'),
    ],
    ids=['os.system', 'getattr of a constructor', 'getattr of a type', 'eval'],
)
def test_a_checkpoint_with_a_hostile_pickle_executes_nothing(
    make_runner, saved, tmp_path, monkeypatch, hostile
):
    monkeypatch.chdir(tmp_path)
    other = rewritten(saved, optimizer=hostile)
    (tmp_path / 'marker').unlink(missing_ok=True)
    with pytest.raises(UserError, match=r'other\.pth: refused to load: '):
        make_runner().load_checkpoint(str(other))
    assert not (tmp_path / 'marker').exists()


@pytest.mark.parametrize('contents', [[1, 2], 'text', dict(state_dict=3)], ids=['list', 'text', 'number'])
def test_a_file_of_something_else_is_not_a_checkpoint(make_runner, tmp_path, contents):
    torch.save(contents, tmp_path / 'other.pth')
    with pytest.raises(UserError, match=r'other\.pth: not a checkpoint'):
        make_runner().load_checkpoint(str(tmp_path / 'other.pth'))


def test_a_resumed_run_ends_as_one_that_never_stopped(make_runner, saved):
    train_cfg = dict(by_epoch=False, max_iters=6, val_interval=2)
    optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.1, momentum=0.9))
    whole = make_runner(saved.parent / 'whole', train_cfg=train_cfg, optim_wrapper=optim_wrapper)
    whole.train()
    resumed = make_runner(
        saved.parent / 'resumed',
        train_cfg=train_cfg,
        optim_wrapper=optim_wrapper,
        resume=True,
        load_from=str(saved.parent / 'whole' / 'iter_4.pth'),
    )
    resumed.train()
    assert resumed.iter == 6
    for name, tensor in weights(whole).items():
        assert torch.equal(weights(resumed)[name], tensor)


@pytest.mark.parametrize('part', ['meta', 'message_hub', 'optimizer'])
def test_weights_alone_cannot_be_resumed(make_runner, saved, part):
    contents = torch.load(saved, weights_only=False)
    del contents[part]
    torch.save(contents, saved)
    make_runner(load_from=str(saved)).load_or_resume()  # as weights they load
    with pytest.raises(UserError, match=r'iter_4\.pth: holds weights, .*--resume'):
        make_runner(load_from=str(saved), resume=True).train()


def test_the_config_in_a_checkpoint_is_not_run(make_runner, saved, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    meta = torch.load(saved, weights_only=False)['meta']
    other = rewritten(saved, meta=meta | dict(config='open("marker", "w")\n'))
    make_runner(load_from=str(other), resume=True).train()
    assert not (tmp_path / 'marker').exists()


def test_the_config_is_copied_to_the_work_dir_once_the_run_can_start(make_runner, saved, tmp_path):
    runner = make_runner(load_from=str(saved))
    kept = tmp_path / 'run' / 'line.py'
    assert not kept.exists()
    runner.load_or_resume()
    assert Config.fromfile(kept).model == dict(backbone=dict())


def test_a_config_in_the_work_dir_itself_is_not_overwritten(make_runner, tmp_path):
    (tmp_path / 'line.py').write_text('# mine\nmodel = dict(backbone=dict())\n')
    make_runner(tmp_path).load_or_resume()
    assert (tmp_path / 'line.py').read_text().startswith('# mine\n')


@NEWER_MMENGINE
def test_the_text_of_the_config_is_made_once_in_a_run(tmp_path, monkeypatch):
    made, format_code = [], yapf_api.FormatCode

    def counted(*words, **more):
        made.append(words)
        return format_code(*words, **more)

    monkeypatch.setattr(yapf_api, 'FormatCode', counted)
    config = tmp_path / 'line.py'
    config.touch()
    data = loader(1) | dict(dataset=dict(type=Points))
    cfg = dict(
        model=dict(type=Line),
        work_dir=str(tmp_path / 'run'),
        train_dataloader=data,
        train_cfg=dict(by_epoch=False, max_iters=2),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
        default_hooks=dict(checkpoint=dict(type='CheckpointHook', interval=1, by_epoch=False)),
        experiment_name=tmp_path.name,
    )
    VitdenseRunner.from_cfg(Config(cfg, filename=str(config))).train()
    assert len(list((tmp_path / 'run').glob('*.pth'))) == 2
    assert (tmp_path / 'run/line.py').is_file()
    assert len(made) == 1


def test_the_log_is_a_file_and_not_the_terminal(make_runner, capfd):
    runner = make_runner()
    runner.train()
    out, err = capfd.readouterr()
    assert not re.search('INFO|WARNING', out + err)
    assert 'Iter(train) [4/4]' in Path(runner.logger.log_file).read_text()


def test_a_checkpoint_that_is_cut_by_a_full_disk_leaves_the_earlier_one(make_runner, tmp_path):
    runner = make_runner(tmp_path / 'run')
    runner.train()
    runner.save_checkpoint(str(tmp_path), 'last.pth')
    before = (tmp_path / 'last.pth').read_bytes()
    with (
        patch('mmengine.fileio.LocalBackend.put', side_effect=OSError('No space left on device')),
        pytest.raises(OSError, match='No space left'),
    ):
        runner.save_checkpoint(str(tmp_path), 'last.pth')
    assert (tmp_path / 'last.pth').read_bytes() == before
    runner.save_checkpoint(str(tmp_path), 'next.pth')
    assert read(tmp_path / 'next.pth', allow=SAFE_GLOBALS)['meta']['samples'] > 0
    assert not list(tmp_path.glob('*.part'))


@pytest.mark.parametrize('kept', [1, 2])
def test_an_old_checkpoint_stays_until_the_new_one_is_whole(make_runner, tmp_path, kept):
    folder = tmp_path / 'run'
    seen = []

    def look(descriptor):  # while the new one has not got its name
        seen.append(sorted(path.name for path in folder.glob('*.pth')))

    hooks = dict(checkpoint=dict(type='CheckpointHook', interval=1, by_epoch=False, max_keep_ckpts=kept))
    runner = make_runner(folder, default_hooks=hooks)
    with patch('os.fsync', look):
        runner.train()
    names = [f'iter_{number}.pth' for number in range(1, 5)]
    assert seen == [names[max(0, i - kept) : i] for i in range(4)]
    assert sorted(path.name for path in folder.glob('*.pth')) == names[-kept:]


class Given(Mean):
    """The scores of one validation after the other, as NumPy has them."""

    def __init__(self, values):
        super().__init__()
        self.values = iter(values)

    def compute_metrics(self, results):
        return dict(score=np.float64(next(self.values)))


def best_hooks(**changes):
    best = dict(save_best='line/score', rule='greater') | changes
    return dict(checkpoint=dict(type='CheckpointHook', interval=1, by_epoch=False, max_keep_ckpts=2, **best))


def test_the_best_checkpoint_is_weights_alone_and_stays_until_a_better_one_is_whole(make_runner, tmp_path):
    folder = tmp_path / 'run'
    seen = []

    def look(descriptor):  # while the new one has not got its name
        seen.append(sorted(path.name for path in folder.glob('best_*.pth')))

    runner = make_runner(
        folder,
        default_hooks=best_hooks(),
        train_cfg=dict(by_epoch=False, max_iters=4, val_interval=1),
        val_evaluator=dict(type=Given, values=(0.2, 0.3, 0.1, 0.4)),
    )
    with patch('os.fsync', look):
        runner.train()
    first, second, third = ([f'best_line_score_iter_{number}.pth'] for number in (1, 2, 4))
    # the newest, then a better one, then the newest again, which names it
    assert seen == [[], [], first, first, first, first + second, second, second, second, second + third]
    assert [path.name for path in folder.glob('best_*.pth')] == third
    best = read(folder / third[0], allow=SAFE_GLOBALS)
    assert best['message_hub']['runtime_info']['best_score'] == 0.4
    assert not {'optimizer', 'param_schedulers'} & best.keys()
    assert sorted(path.name for path in folder.glob('iter_*.pth')) == ['iter_3.pth', 'iter_4.pth']
    assert (folder / 'last_checkpoint').read_text().endswith('iter_4.pth')


def test_a_resumed_run_knows_the_best_score_and_ends_with_the_same_weights(make_runner, tmp_path):
    loops = dict(by_epoch=False, max_iters=4, val_interval=2)
    whole = make_runner(tmp_path / 'whole')
    whole.train()
    cut = make_runner(
        tmp_path / 'cut',
        default_hooks=best_hooks(),
        train_cfg=dict(loops, max_iters=2),
        val_evaluator=dict(type=Given, values=(0.5,)),
    )
    cut.train()
    resumed = make_runner(
        tmp_path / 'cut',
        default_hooks=best_hooks(),
        train_cfg=loops,
        val_evaluator=dict(type=Given, values=(0.4,)),
        load_from=str(tmp_path / 'cut/iter_2.pth'),
        resume=True,
    )
    resumed.train()
    assert [path.name for path in (tmp_path / 'cut').glob('best_*.pth')] == ['best_line_score_iter_2.pth']
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(resumed.model.state_dict()[name], tensor)


def test_a_best_checkpoint_of_the_same_name_is_the_new_one(make_runner, tmp_path):
    """As of a hook that counts epochs in a run that counts iterations: its epoch is 0 to the end."""
    hooks = best_hooks()
    hooks['checkpoint'].update(by_epoch=True)
    evaluator = dict(type=Given, values=(0.2, 0.3))
    runner = make_runner(tmp_path / 'run', default_hooks=hooks, val_evaluator=evaluator)
    runner.train()
    (best,) = (tmp_path / 'run').glob('best_*.pth')
    assert best == Path(runner.message_hub.get_info('best_ckpt'))
    assert read(best, allow=SAFE_GLOBALS)['message_hub']['runtime_info']['best_score'] == 0.3


@pytest.mark.parametrize('moved', [True, False], ids=['the folder was renamed', 'resumed in another folder'])
@pytest.mark.parametrize(('score', 'best'), [(0.4, 2), (0.6, 4)], ids=['worse', 'better'])
def test_the_best_checkpoint_of_a_run_follows_it_and_that_of_another_stays(
    make_runner, tmp_path, moved, score, best
):
    loops = dict(by_epoch=False, max_iters=4, val_interval=2)
    first = dict(train_cfg=dict(loops, max_iters=2), val_evaluator=dict(type=Given, values=(0.5,)))
    make_runner(tmp_path / 'cut', default_hooks=best_hooks(), **first).train()
    old, new = tmp_path / 'cut', tmp_path / 'new'
    if moved:
        old = old.rename(new)
    evaluator = dict(type=Given, values=(score,))
    again = dict(load_from=str(old / 'iter_2.pth'), resume=True, train_cfg=loops, val_evaluator=evaluator)
    runner = make_runner(new, default_hooks=best_hooks(), **again)
    runner.train()
    known = Path(runner.message_hub.get_info('best_ckpt'))
    assert known == (new if best == 4 or moved else old) / f'best_line_score_iter_{best}.pth'
    files = {path for folder in {old, new} for path in folder.glob('best_*.pth')}
    assert files == {known} if moved else files == {known, old / 'best_line_score_iter_2.pth'}


def test_a_score_that_the_evaluator_has_not_ends_no_run(make_runner, tmp_path):
    make_runner(tmp_path / 'run', default_hooks=best_hooks(save_best='mIoU')).train()
    assert not list((tmp_path / 'run').glob('best_*.pth'))
    assert (tmp_path / 'run/iter_4.pth').is_file()


def test_of_several_scores_each_has_its_best(make_runner, tmp_path):
    both = best_hooks(save_best=['line/whole_mean', 'line/count'])
    make_runner(tmp_path / 'run', default_hooks=both).train()
    names = sorted(path.name.rsplit('_', 1)[0] for path in (tmp_path / 'run').glob('best_*.pth'))
    assert names == ['best_line_count_iter', 'best_line_whole_mean_iter']
