"""A new training or test gets a folder of its own; a resumed training finds where it was."""

import multiprocessing
import os
import re
import shutil
import time
from pathlib import Path

import pytest
import torch

from vitdense.engine.work_dir import (
    WORK_DIRS,
    last_checkpoint,
    lock,
    new_test_dir,
    new_work_dir,
    record_config,
    resumed_run,
)
from vitdense.errors import UserError


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def run(folder, *checkpoints):
    """A work dir as MMEngine leaves it."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in checkpoints:
        torch.save(dict(state_dict=dict(weight=torch.zeros(1000))), folder / name)
    if checkpoints:
        # where the run was then; it may have been moved since
        (folder / 'last_checkpoint').write_text(f'/elsewhere/{checkpoints[-1]}')
    return folder


def test_a_new_run_gets_the_first_free_number():
    assert new_work_dir(None, 'pit') == WORK_DIRS / 'pit'
    run(WORK_DIRS / 'pit', 'epoch_1.pth')
    assert new_work_dir(None, 'pit') == WORK_DIRS / 'pit-2'
    run(WORK_DIRS / 'pit-2', 'epoch_1.pth')
    run(WORK_DIRS / 'vvt', 'epoch_1.pth')
    assert new_work_dir(None, 'pit') == WORK_DIRS / 'pit-3'


def test_a_folder_without_checkpoints_is_free():
    run(WORK_DIRS / 'pit')
    (WORK_DIRS / 'pit' / 'pit.py').touch()
    assert new_work_dir(None, 'pit') == WORK_DIRS / 'pit'
    assert new_work_dir('work_dirs/pit', 'pit') == WORK_DIRS / 'pit'


def test_a_new_test_gets_the_first_free_number():
    run(WORK_DIRS / 'pit', 'epoch_1.pth')
    (WORK_DIRS / 'pit/predictions.png').touch()
    assert new_test_dir(None, 'pit') == WORK_DIRS / 'pit-test'
    for number in ('', '-2'):
        run(WORK_DIRS / f'pit-test{number}')
        (WORK_DIRS / f'pit-test{number}/predictions.png').touch()
    assert new_test_dir(None, 'pit') == WORK_DIRS / 'pit-test-3'
    with pytest.raises(UserError, match='--work-dir work_dirs/pit '):
        new_test_dir('work_dirs/pit', 'pit')
    assert new_test_dir('mine', 'pit') == Path('mine')


def _hold(folders, ready):
    assert not any(lock(folder) for folder in folders)
    ready.set()
    time.sleep(600)


@pytest.fixture
def other_run():
    """A process that is running in work_dirs/pit and work_dirs/pit-test, and has not saved anything yet."""
    fork = multiprocessing.get_context('fork')
    ready = fork.Event()
    process = fork.Process(target=_hold, args=([WORK_DIRS / 'pit', WORK_DIRS / 'pit-test'], ready))
    process.start()
    assert ready.wait(60)
    yield process
    process.kill()
    process.join()


def test_a_folder_is_locked_until_its_run_ends(other_run):
    assert new_work_dir(None, 'pit') == WORK_DIRS / 'pit-2'
    assert new_test_dir(None, 'pit') == WORK_DIRS / 'pit-test-2'
    sentence = rf'work_dirs/pit: another run .*process {other_run.pid} on '
    with pytest.raises(UserError, match=sentence.replace('pit:', 'pit-test:')):
        new_test_dir('work_dirs/pit-test', 'pit')
    with pytest.raises(UserError, match=sentence):
        new_work_dir('work_dirs/pit', 'pit')
    (WORK_DIRS / 'pit/iter_1.pth').touch()
    for wanted, checkpoint in (('work_dirs/pit', 'auto'), (None, 'work_dirs/pit/iter_1.pth')):
        with pytest.raises(UserError, match=sentence):
            resumed_run(wanted, 'pit', checkpoint)
    other_run.kill()
    other_run.join()
    assert resumed_run(None, 'pit', 'work_dirs/pit/iter_1.pth')[0] == WORK_DIRS / 'pit'


@pytest.mark.parametrize('left', ['epoch_1.pth', 'last_checkpoint', 'not_finite'])
def test_a_wanted_folder_with_an_earlier_training_is_refused(left):
    Path('mine').mkdir()
    Path('mine', left).touch()
    with pytest.raises(UserError, match=r'--work-dir mine .*--resume'):
        new_work_dir('mine', 'pit')


def test_resuming_takes_the_newest_run_and_its_newest_checkpoint():
    run(WORK_DIRS / 'pit', 'epoch_12.pth')
    run(WORK_DIRS / 'pit-2', 'epoch_9.pth', 'epoch_10.pth')
    assert resumed_run(None, 'pit', 'auto') == (WORK_DIRS / 'pit-2', WORK_DIRS / 'pit-2' / 'epoch_10.pth')
    first = WORK_DIRS / 'pit' / 'epoch_12.pth'
    assert resumed_run('work_dirs/pit', 'pit', 'auto') == (first.parent, first)
    shutil.rmtree(WORK_DIRS / 'pit')
    run(WORK_DIRS / 'pit-11')  # which came to nothing
    run(WORK_DIRS / 'pit-extra', 'epoch_3.pth')  # of another config
    assert resumed_run(None, 'pit', 'auto') == (WORK_DIRS / 'pit-2', WORK_DIRS / 'pit-2' / 'epoch_10.pth')


def test_the_best_checkpoint_is_not_resumed():
    folder = run(Path('mine'), 'epoch_1.pth', 'best_coco_bbox_mAP_epoch_1.pth')
    (folder / 'last_checkpoint').write_text('')  # cut short by a full disk
    assert resumed_run('mine', 'pit', 'auto') == (folder, folder / 'epoch_1.pth')


def test_a_checkpoint_by_name_is_resumed_where_it_lies_or_in_the_wanted_folder():
    folder = run(Path('mine'), 'epoch_1.pth', 'epoch_2.pth')
    path = folder / 'epoch_1.pth'
    assert resumed_run(None, 'pit', str(path)) == (folder, path)
    assert resumed_run('other', 'pit', str(path)) == (Path('other'), path)


@pytest.mark.parametrize(
    ('wanted', 'checkpoint', 'expected'),
    [
        (None, 'auto', '--resume: no checkpoint in work_dirs/pit'),
        ('mine', 'auto', '--resume: no checkpoint in mine'),
        (None, 'mine/epoch_3.pth', '--resume mine/epoch_3.pth: no such checkpoint file'),
        (None, 'mine', '--resume mine: no such checkpoint file'),
    ],
)
def test_nothing_to_resume_is_a_user_error(wanted, checkpoint, expected):
    run(Path('mine'))
    with pytest.raises(UserError, match=expected):
        resumed_run(wanted, 'pit', checkpoint)


def test_a_run_without_checkpoints_has_no_last_one():
    assert last_checkpoint(run(Path('mine'))) is None


def damage(path):
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2] + b'xx' + content[len(content) // 2 + 2 :])


def test_resume_takes_the_newest_whole_checkpoint_and_names_damaged_ones(capfd):
    folder = run(Path('mine'), 'iter_1.pth', 'iter_2.pth', 'iter_3.pth')
    for age, name in enumerate(('iter_3.pth', 'iter_2.pth', 'iter_1.pth')):
        os.utime(folder / name, (0, 1000 - age))
    damage(folder / 'iter_3.pth')
    (folder / 'iter_2.pth').write_bytes(b'')
    assert resumed_run('mine', 'pit', 'auto') == (folder, folder / 'iter_1.pth')
    assert re.search('iter_3.pth, .*iter_2.pth: damaged; .*iter_1.pth', capfd.readouterr().out)
    damage(folder / 'iter_1.pth')
    with pytest.raises(UserError, match=r'mine; damaged: mine/iter_3\.pth'):
        resumed_run('mine', 'pit', 'auto')


def test_without_last_checkpoint_the_newest_checkpoint_is_found():
    folder = run(Path('mine'), 'iter_1.pth', 'iter_2.pth')
    os.utime(folder / 'iter_1.pth', (0, 0))
    (folder / 'last_checkpoint').unlink()
    assert resumed_run('mine', 'pit', 'auto') == (folder, folder / 'iter_2.pth')


def test_resume_takes_no_run_of_another_config_of_the_same_name():
    for folder in ('mine', 'theirs', 'other'):
        Path(folder).mkdir()
        Path(folder, 'pit.py').touch()
    record_config(run(WORK_DIRS / 'pit', 'epoch_1.pth'), 'mine/pit.py')
    record_config(run(WORK_DIRS / 'pit-2', 'epoch_2.pth'), 'theirs/pit.py')
    assert resumed_run(None, 'pit', 'auto', 'mine/pit.py')[1] == WORK_DIRS / 'pit' / 'epoch_1.pth'
    assert resumed_run(None, 'pit', 'auto', 'theirs/pit.py')[1] == WORK_DIRS / 'pit-2' / 'epoch_2.pth'
    with pytest.raises(UserError, match=r'work_dirs/pit-2 is a run of theirs/pit\.py'):
        resumed_run(None, 'pit', 'auto', 'other/pit.py')
    (WORK_DIRS / 'pit-2/.config_file').unlink()  # of an earlier version, which did not note it
    assert resumed_run(None, 'pit', 'auto', 'other/pit.py')[0] == WORK_DIRS / 'pit-2'
