"""A new run finds a folder of its own; a resumed one finds where it was."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from vitdense.engine.work_dir import WORK_DIRS, last_checkpoint, new_work_dir, resumed_run
from vitdense.errors import UserError


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def run(folder, *checkpoints):
    """A work dir as MMEngine leaves it."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in checkpoints:
        torch.save(dict(state_dict={}), folder / name)
    if checkpoints:
        # where the run was then; it may have been moved since
        (folder / 'last_checkpoint').write_text(f'/elsewhere/{checkpoints[-1]}')
    return folder


def test_a_new_run_takes_the_first_free_number():
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


HOLDER = """
import sys, time
from pathlib import Path
from vitdense.folder_lock import lock
print(lock(Path(sys.argv[1])), flush=True)
time.sleep(600)
"""


@pytest.fixture
def other_run():
    """A process that is at work in work_dirs/pit, and has not saved anything yet."""
    command = [sys.executable, '-c', HOLDER, str(WORK_DIRS / 'pit')]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == '\n'
    yield process
    process.kill()
    process.wait()


def test_a_folder_that_another_run_is_at_work_in_is_not_shared_until_that_ends(other_run):
    assert new_work_dir(None, 'pit') == WORK_DIRS / 'pit-2'
    sentence = rf'work_dirs/pit: another run is running there \(process {other_run.pid} on .+\)'
    with pytest.raises(UserError, match=sentence):
        new_work_dir('work_dirs/pit', 'pit')
    (WORK_DIRS / 'pit/iter_1.pth').touch()
    for wanted, checkpoint in (('work_dirs/pit', 'auto'), (None, 'work_dirs/pit/iter_1.pth')):
        with pytest.raises(UserError, match=sentence):
            resumed_run(wanted, 'pit', checkpoint)
    other_run.kill()
    other_run.wait()
    assert resumed_run(None, 'pit', 'work_dirs/pit/iter_1.pth')[0] == WORK_DIRS / 'pit'


@pytest.mark.parametrize('left', ['epoch_1.pth', 'last_checkpoint', 'not_finite'])
def test_a_wanted_folder_with_what_a_run_has_made_is_refused(left):
    Path('mine').mkdir()
    Path('mine', left).touch()
    with pytest.raises(UserError, match='--work-dir mine holds the checkpoints of an earlier run'):
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


def test_the_best_weights_are_no_run_to_go_on_with():
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
        (None, 'auto', '--resume: no checkpoint in work_dirs/pit;'),
        ('mine', 'auto', '--resume: no checkpoint in mine;'),
        (None, 'mine/epoch_3.pth', '--resume mine/epoch_3.pth: no such checkpoint file'),
        (None, 'mine', '--resume mine: no such checkpoint file'),
    ],
)
def test_where_there_is_nothing_to_resume_that_is_said(wanted, checkpoint, expected):
    run(Path('mine'))
    with pytest.raises(UserError, match=expected):
        resumed_run(wanted, 'pit', checkpoint)


def test_a_run_without_checkpoints_has_no_last_one():
    assert last_checkpoint(run(Path('mine'))) is None


def damage(path):
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2] + b'xx' + content[len(content) // 2 + 2 :])


def test_of_damaged_checkpoints_the_newest_whole_one_is_taken_and_the_others_are_named(capfd):
    folder = run(Path('mine'), 'iter_1.pth', 'iter_2.pth', 'iter_3.pth')
    for age, name in enumerate(('iter_3.pth', 'iter_2.pth', 'iter_1.pth')):
        os.utime(folder / name, (0, 1000 - age))
    damage(folder / 'iter_3.pth')
    (folder / 'iter_2.pth').write_bytes(b'')
    assert resumed_run('mine', 'pit', 'auto') == (folder, folder / 'iter_1.pth')
    assert 'mine/iter_3.pth, mine/iter_2.pth: damaged; mine/iter_1.pth is used' in capfd.readouterr().out
    damage(folder / 'iter_1.pth')
    with pytest.raises(UserError, match=r'no whole checkpoint in mine; damaged: mine/iter_3\.pth'):
        resumed_run('mine', 'pit', 'auto')


def test_without_its_record_the_newest_checkpoint_is_found():
    folder = run(Path('mine'), 'iter_1.pth', 'iter_2.pth')
    os.utime(folder / 'iter_1.pth', (0, 0))
    (folder / 'last_checkpoint').unlink()
    assert resumed_run('mine', 'pit', 'auto') == (folder, folder / 'iter_2.pth')
