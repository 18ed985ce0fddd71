"""What a run notes of itself is read again as it was, or refused in one line."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time

import pytest
from runs import Outcome, files, refused
from small import REPOSITORY
from tiny_runs import SHORT, scored, some_facts

from vitdense.engine.work_dir import PAGE
from vitdense.errors import UserError
from vitdense.folder_lock import LOCK
from vitdense.report import facts as facts_file
from vitdense.report.again import read_run
from vitdense.report.facts import FILE, FOLDER, read_facts, write_facts, write_whole
from vitdense.report.page import write_page


def test_facts_are_read_as_they_were_written(tmp_path):
    facts = some_facts(evaluated=scored(0.25), validations=[[2, 0.5], [4, 0.25]], seed=7)
    facts.event('resumed')
    write_facts(facts, tmp_path)
    assert read_facts(tmp_path) == facts
    assert dataclasses.is_dataclass(read_facts(tmp_path).evaluated)
    assert [path.name for path in (tmp_path / FOLDER).iterdir()] == [FILE]


NO_FACTS = {
    'of another version': dict(version=99),
    'half': '{"version": 1, "name": ',
    'a list': '[]',
    'a number': '7',
    'with an entry less': json.dumps(dict(version=1, evaluated=None)),
    'with an entry more': dict(mood='good'),
    'no text': b'\xff\xfe\x00',
}


@pytest.mark.parametrize('what', NO_FACTS)
def test_facts_that_cannot_be_read_are_refused_and_nothing_is_written(call, tmp_path, what):
    write_facts(some_facts(), tmp_path / 'run')
    file = tmp_path / 'run' / FOLDER / FILE
    text = NO_FACTS[what]
    if isinstance(text, dict):  # a change
        text = json.dumps(json.loads(file.read_text()) | text)
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    before = files(tmp_path)
    for words in (['run'], ['run', '--card']):
        assert f'{FOLDER}/{FILE}' in refused(call('report', *words))
    assert files(tmp_path) == before


@pytest.mark.parametrize('where', ['absent', 'empty', 'tiny.py'])
def test_a_folder_without_facts_is_refused_and_nothing_is_written(call, tmp_path, where):
    (tmp_path / 'empty').mkdir()
    before = files(tmp_path)
    assert where in refused(call('report', where))
    assert files(tmp_path) == before
    assert (tmp_path / 'absent').exists() is False


def test_a_file_that_cannot_be_replaced_stays_as_it_was(tmp_path, monkeypatch):
    write_facts(some_facts(), tmp_path)
    before = files(tmp_path)

    def full(*words):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(facts_file.os, 'replace', full)
    with pytest.raises(OSError, match='space'):
        write_facts(some_facts(name='other'), tmp_path)
    assert files(tmp_path) == before


def test_a_reader_never_finds_a_part_of_a_file(tmp_path):
    file = tmp_path / 'new' / 'page.html'
    write_whole(file, 'first')
    with file.open() as opened:
        write_whole(file, 'second')
        assert opened.read() == 'first'
    assert file.read_text() == 'second'


# ---- runs that were killed --------------------------------------------------------------------------------


def logged(folder, *steps):
    """As MMEngine's LocalVisBackend writes it."""
    file = folder / '20300101_000000/vis_data/scalars.json'
    file.parent.mkdir(parents=True)
    file.write_text(''.join(f'{json.dumps(dict(loss=1.0, lr=0.1, step=step))}\n' for step in steps))


HOLD = """
import sys
from pathlib import Path
from vitdense.folder_lock import lock
assert lock(Path(sys.argv[1])) == ''
print('locked', flush=True)
sys.stdin.read()
"""


def test_a_run_that_no_process_runs_was_killed_after_what_it_has_logged(tmp_path):
    write_facts(some_facts(state='running', iteration=10), tmp_path)
    logged(tmp_path, 5, 10, 15)
    (tmp_path / LOCK).touch()  # of a process that is no more
    found = read_run(tmp_path)
    assert (found.state, found.iteration) == ('killed', 15)
    assert found.reason
    assert read_facts(tmp_path).state == 'running'  # a look changes nothing


def test_a_run_that_another_process_runs_is_running(tmp_path):
    write_facts(some_facts(state='running', iteration=10), tmp_path)
    process = subprocess.Popen(
        [sys.executable, '-c', HOLD, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout.readline() == 'locked\n'
        assert read_run(tmp_path).state == 'running'
    finally:
        process.kill()
        process.communicate()
    assert read_run(tmp_path).state == 'killed'


@pytest.mark.parametrize('state', ['finished', 'stopped', 'failed'])
def test_a_run_that_has_said_how_it_ended_was_not_killed(tmp_path, state):
    facts = some_facts(state=state)
    write_facts(facts, tmp_path)
    assert read_run(tmp_path) == facts


def test_the_page_of_a_run_that_is_late_says_so(look, tmp_path):
    facts = some_facts(state='running', written=1.8e9, pause=30.0)
    write_page(facts, tmp_path, tmp_path / PAGE)
    for now, late in ((1.8e9, False), (1.8e9 + 60, False), (1.8e9 + 600, True)):
        seen = look(tmp_path / PAGE, now=now)
        assert seen.messages == []
        assert seen.found['late'] == [late]


@pytest.mark.nightly
def test_a_training_that_sigkill_ended_is_known_as_killed(place, look, call_tool):
    words = ['boxes.py', '--sample', '--work-dir', 'run', '--cfg-options', *SHORT, 'train_cfg.max_iters=500']
    with (place / 'said.txt').open('w') as said:
        process = subprocess.Popen(
            [sys.executable, REPOSITORY / 'tools/train.py', *words],
            cwd=place,
            stdout=said,
            stderr=said,
            env=dict(os.environ, CUDA_VISIBLE_DEVICES='-1'),
        )
    end = time.monotonic() + 120
    while not (place / 'run/iter_6.pth').is_file():
        assert process.poll() is None, (place / 'said.txt').read_text()
        assert time.monotonic() < end
        time.sleep(0.1)
    assert read_run(place / 'run').state == 'running'
    process.send_signal(signal.SIGKILL)
    process.wait(60)

    left = read_facts(place / 'run')
    assert left.state == 'running'  # it could not say more
    due = left.written + 2 * left.pause + 60
    assert look(place / 'run' / PAGE, now=due - 5).found['late'] == [False]
    assert look(place / 'run' / PAGE, now=due + 5).found['late'] == [True]

    (log,) = (place / 'run').glob('*/vis_data/scalars.json')
    records = [json.loads(line) for line in log.read_text().splitlines()]
    last = max(record['step'] for record in records if 'loss' in record)
    done = Outcome(*call_tool('report', place / 'run'))
    assert (done.code, done.err) == (0, '')
    seen = look(place / 'run' / PAGE)
    assert f'Killed after iteration {last} of 500' in seen.found['text']
    assert seen.messages == []
    assert seen.found['late'] == []


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(UserError, match='no such folder'):
        read_facts(tmp_path / 'absent')
