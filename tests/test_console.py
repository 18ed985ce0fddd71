"""What libraries print and warn is in the log, and not on the terminal."""

import logging
import os
import subprocess
import sys
import warnings

import pytest
from mmengine.logging import MMLogger

from vitdense.console import display_path, file_only, make_console, quiet, say


@pytest.fixture
def log(tmp_path):
    """A function that begins a log as a runner does, and returns its file."""

    def begin():
        file = tmp_path / 'run.log'
        file_only(MMLogger.get_instance(f'log of {tmp_path}', logger_name='vitdense', log_file=str(file)))
        return file

    return begin


def test_while_it_is_quiet_prints_and_warnings_go_to_the_log(log, capfd):
    showwarning = warnings.showwarning
    with quiet():
        file = log()
        print('first line\nsecond ', end='')
        print('line')
        warnings.warn('take care', stacklevel=1)
        print('unfinished', end='')
    assert warnings.showwarning is showwarning
    assert capfd.readouterr() == ('', '')
    written = file.read_text()
    for text in ('first line\n', 'second line\n', 'UserWarning: take care', 'unfinished\n'):
        assert written.count(text) == 1


def test_brackets_in_a_line_are_no_markup(capfd):
    say(make_console(), 'train', '390 images, [coco]/[/b]/a', width=6)
    assert capfd.readouterr().out == ' train  390 images, [coco]/[/b]/a\n'


EARLY = """
import sys, warnings
from mmengine.logging import MMLogger
from vitdense.console import file_only, quiet

with quiet():
    print('printed early')
    warnings.warn('take early care')
    for name in ('first', 'second'):
        log = MMLogger.get_instance(name, logger_name=name, log_file=f'{sys.argv[1]}/{name}.log')
        file_only(log)
        print('printed late')
"""


def test_the_log_begins_with_what_was_printed_and_warned_before_there_was_a_log(tmp_path):
    command = [sys.executable, '-c', EARLY, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout, done.stderr) == (0, '', '')
    written = (tmp_path / 'first.log').read_text()
    places = [written.index(text) for text in ('printed early', 'take early care', 'printed late')]
    assert places == sorted(places)
    assert 'early' not in (tmp_path / 'second.log').read_text()


def test_logged_errors_stay_in_the_log_too(log, capfd):
    with quiet():
        file = log()
        for level in (logging.INFO, logging.WARNING, logging.ERROR):
            MMLogger.get_current_instance().log(level, 'message of level %d', level)
    assert capfd.readouterr() == ('', '')
    assert file.read_text().count('message of level') == 3


@pytest.mark.parametrize('ending', [None, ValueError('stop'), KeyboardInterrupt()])
def test_afterwards_prints_reach_the_terminal_again(log, capfd, ending):
    try:
        with quiet():
            log()
            if ending:
                raise ending
    except (ValueError, KeyboardInterrupt):
        pass
    print('display_path')
    assert capfd.readouterr().out == 'display_path\n'


def test_the_console_writes_to_the_real_output_while_prints_do_not_and_folds_no_line(log, capfd):
    line = 'a b' * 100
    with quiet():
        log()
        make_console().print(line)
        print('to the log')
    assert capfd.readouterr().out == f'{line}\n'


def test_the_console_styles_nothing_where_there_is_no_terminal(capfd):
    assert not sys.__stdout__.isatty()
    make_console().print('[bold]label[/]  /path/to/1.5')
    assert capfd.readouterr().out == 'label  /path/to/1.5\n'


def test_a_path_is_shown_as_a_person_would_type_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert display_path(tmp_path / 'runs' / 'one') == 'runs/one'
    assert display_path('runs/one') == 'runs/one'
    assert display_path(tmp_path.parent / 'elsewhere') == str(tmp_path.parent / 'elsewhere')


def test_output_that_nobody_reads_is_a_broken_pipe_and_not_a_failure_of_the_console(monkeypatch):
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, 'w', buffering=1) as terminal, quiet():
        monkeypatch.setattr(sys, '__stdout__', terminal)
        with pytest.raises(BrokenPipeError):
            make_console().print('nobody reads this')
        monkeypatch.undo()
        os.dup2(os.open(os.devnull, os.O_WRONLY), writer)  # so that it closes
