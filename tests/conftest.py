"""The tools, called in this process, which is quicker than starting another."""

import os
import sys

if processes := os.environ.get('PYTEST_XDIST_WORKER_COUNT'):  # a share of the cores each, said before torch
    cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()  # macOS
    os.environ.setdefault('OMP_NUM_THREADS', str(max(1, cores // int(processes))))

import pytest

from vitdense.engine.memory import keep_freed_memory

keep_freed_memory()  # as the tools do

for name in ('FORCE_COLOR', 'TTY_COMPATIBLE', 'TTY_INTERACTIVE'):  # make rich take a file for a terminal
    os.environ.pop(name, None)


COSTLY = {'built', 'trained'}  # fixtures whose tests stay together, so that they are made once


@pytest.hookimpl(tryfirst=True)  # before xdist reads the marks
def pytest_collection_modifyitems(items):
    for item in items:
        for name in COSTLY & set(item.fixturenames):
            item.add_marker(pytest.mark.xdist_group(name))


@pytest.fixture
def call_tool(monkeypatch, capfd):
    """Call a function of `vitdense.cli` with words of a command line: exit code, output, error output."""

    def call(tool, *words):
        monkeypatch.setattr(sys, 'argv', [f'tools/{tool.__name__}.py', *map(str, words)])
        capfd.readouterr()
        code = 0
        with monkeypatch.context() as own:  # a tool's process forces every load to be safe; this one goes on
            own.setenv('TORCH_FORCE_WEIGHTS_ONLY_LOAD', '0')
            try:
                tool()
            except SystemExit as end:
                code = end.code
        return code, *capfd.readouterr()

    return call
