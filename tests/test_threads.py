"""What the commands set before torch is loaded, so that waiting threads leave the cores to others."""

import os
import subprocess
import sys

import pytest

from vitdense.threads import OWN, describe

SCRIPT = 'import os, sys\nprint("torch" in sys.modules, *(os.environ.get(name) for name in sys.argv[1:]))'


@pytest.mark.parametrize(
    ('users', 'expected'),
    [
        ({}, 'False None 10000 0'),
        ({'OMP_WAIT_POLICY': 'PASSIVE'}, 'False PASSIVE None None'),
        ({'GOMP_SPINCOUNT': '5'}, 'False None 5 None'),
        ({'KMP_BLOCKTIME': '200'}, 'False None None 200'),
    ],
)
def test_a_command_sets_it_and_a_setting_of_the_users_stays(users, expected, tmp_path):
    (tmp_path / 'script.py').write_text(SCRIPT)
    environment = {name: value for name, value in os.environ.items() if name not in OWN} | users
    command = [sys.executable, '-m', 'vitdense', 'run', str(tmp_path / 'script.py'), *OWN]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == expected, done.stderr


def test_what_is_in_force_is_said(monkeypatch):
    for name in OWN:
        monkeypatch.delenv(name, raising=False)
    assert describe() == ''
    monkeypatch.setenv('GOMP_SPINCOUNT', '5')
    assert describe() == 'GOMP_SPINCOUNT=5'
