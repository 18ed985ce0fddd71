"""The tools, called in this process, which is quicker than starting another."""

import os
import sys

import pytest

from vitdense.engine.memory import keep_freed_memory

keep_freed_memory()  # as the tools do

for name in ('FORCE_COLOR', 'TTY_COMPATIBLE', 'TTY_INTERACTIVE'):  # make rich take a file for a terminal
    os.environ.pop(name, None)


@pytest.fixture
def call_tool(monkeypatch, capfd):
    """Call a function of `vitdense.cli` with words of a command line: exit code, output, error output."""
    monkeypatch.setenv('LOCAL_RANK', '0')

    def call(tool, *words):
        monkeypatch.setattr(sys, 'argv', [f'tools/{tool.__name__}.py', *map(str, words)])
        capfd.readouterr()
        code = 0
        try:
            tool()
        except SystemExit as end:
            code = end.code
        return code, *capfd.readouterr()

    return call
