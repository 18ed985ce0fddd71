"""A study from its command to its page: real trainings, a config that fails, kills in the middle."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import psutil
import pytest
from small import REPOSITORY, workplace
from tiny_runs import SHORT

from vitdense.folder_lock import is_locked
from vitdense.study.plan import FILE

OPTIONS = ['--sample', '--cfg-options', *SHORT, 'param_scheduler.0.end=2', 'param_scheduler.1.begin=2']


def place(folder):
    """Three small configs; one fails in its first iteration."""
    workplace(folder)
    text = (folder / 'tiny.py').read_text()
    (folder / 'other.py').write_text(text.replace('stacked_convs=1', 'stacked_convs=2'))
    (folder / 'broken.py').write_text(text + 'model.neck.update(in_channels=[1, 2, 3, 4])\n')
    return folder


def command(*configs, out='out', options=OPTIONS):
    tool = REPOSITORY / 'tools/study.py'
    return [sys.executable, str(tool), *configs, '--out', out, *options]


def start(folder, *words, **options):
    return subprocess.Popen(
        command(*words, **options),
        cwd=folder,
        env=dict(os.environ, CUDA_VISIBLE_DEVICES='-1'),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def scores(out):
    """Config, score, interval, by seed, parameters, multiply-adds, iterations: all that no clock decides."""
    rows = re.findall(r'^│ (\w\S*) +│(.*)│$', out, re.MULTILINE)
    cells = [(name, *(cell.strip() for cell in rest.split('│'))) for name, rest in rows]
    return sorted((*row[:4], *row[5:8]) for row in cells)


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
    """A study of three, of which one fails."""
    folder = place(tmp_path_factory.mktemp('study'))
    process = start(folder, 'tiny.py', 'other.py', 'broken.py')
    out, err = process.communicate(timeout=600)
    return folder, process.returncode, out, err


def test_a_config_that_fails_is_a_row_with_its_reason(whole):
    folder, code, out, err = whole
    assert (code, err) == (1, '')
    rows = scores(out)
    assert [row[0] for row in rows] == ['broken', 'other', 'tiny']
    assert set(rows[0][1:]) == {'–'}
    assert re.search(r'failed  broken-seed0: \S', out)
    reason = re.search(r'failed  broken-seed0: (.*)', out)[1]
    page = (folder / 'out/study.html').read_text()
    assert 'seed 0 failed' in page
    assert reason.split(':')[-1].strip()[:20] in page


def test_the_page_has_a_row_a_chart_and_a_link_for_each(whole):
    folder, _, out, _ = whole
    page = (folder / 'out/study.html').read_text()
    for name in ('tiny', 'other'):
        assert f'{name}-seed0/report.html' in page
        assert (folder / f'out/{name}-seed0/report.html').is_file()
    assert all(f'id="chart-{name}"' in page for name in ('front', 'curves', 'growth'))
    assert json.loads((folder / 'out' / FILE).read_text())['shared'][0] == '--sample'
    assert all(row[6] == '4' for row in scores(out)[1:])  # iterations


def test_the_same_command_trains_only_what_is_not_trained(whole):
    folder, _, out, _ = whole
    before = {path: path.stat().st_mtime_ns for path in (folder / 'out').glob('*-seed0/*.pth')}
    process = start(folder, 'tiny.py', 'other.py')
    again, err = process.communicate(timeout=600)
    assert (process.returncode, err) == (0, '')
    assert '2 of 2 trainings are there already' in again
    assert 'training  ' not in again
    assert scores(again) == scores(out)[1:]
    assert {path: path.stat().st_mtime_ns for path in before} == before


@pytest.mark.nightly
def test_a_study_that_was_killed_twice_ends_with_the_table_of_one_that_was_not(tmp_path):
    """By SIGTERM, after which a training saves itself, and by SIGKILL of the study and its training."""
    longer = [*OPTIONS, 'train_cfg.max_iters=40', 'train_cfg.val_interval=20', 'param_scheduler.1.end=40']
    longer += ['default_hooks.checkpoint.interval=20']
    names = ('tiny.py', 'other.py')
    place(tmp_path)
    alone = start(tmp_path, *names, out='alone', options=longer)
    expected, _ = alone.communicate(timeout=900)
    assert alone.returncode == 0

    first = start(tmp_path, *names, options=longer)
    until(lambda: list((tmp_path / 'out/tiny-seed0').glob('iter_20.pth')))
    first.send_signal(signal.SIGTERM)
    _, err = first.communicate(timeout=600)
    assert first.returncode == 143
    assert err == 'stopped by SIGTERM; the same command continues the study\n'
    assert not is_locked(tmp_path / 'out/tiny-seed0')

    second = start(tmp_path, *names, options=longer)
    until(lambda: (tmp_path / 'out/other-seed0/report/facts.json').is_file())
    trainings = psutil.Process(second.pid).children()
    for process in (second, *trainings):
        process.kill()
    second.communicate(timeout=600)
    third = start(tmp_path, *names, options=longer)
    out, err = third.communicate(timeout=900)
    assert (third.returncode, err) == (0, '')
    assert scores(out) == scores(expected)
    assert re.search('(training|resuming)  other-seed0', out)
    assert '1 of 2 trainings are there already' in out


def until(true, seconds=300):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, 'it did not happen'
        time.sleep(0.2)
