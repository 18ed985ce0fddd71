"""`tools/slurm_train.sh` asks Slurm for a process for each GPU; here a script takes the place of srun."""

import os
import subprocess

import pytest
from small import REPOSITORY

SCRIPT = REPOSITORY / 'tools/slurm_train.sh'


@pytest.fixture
def launch(tmp_path):
    """What srun was called with, word by word."""
    srun = tmp_path / 'srun'
    srun.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    srun.chmod(0o755)

    def launch(*words, **environment):
        done = subprocess.run(
            [SCRIPT, *words],
            env=dict(PATH=f'{tmp_path}:{os.environ["PATH"]}', **environment),
            capture_output=True,
            text=True,
        )
        return done.returncode, done.stdout.splitlines(), done.stderr

    return launch


def test_two_nodes_of_eight_gpus(launch):
    words = ['configs/mask_rcnn_vvt.py', '--work-dir', 'my run']
    code, asked, _ = launch(*words, PARTITION='gpu', GPUS='16', SRUN_ARGS='--time=1:00 --signal=TERM@120')
    assert code == 0
    script = asked.index('python')
    assert {'--partition=gpu', '--ntasks=16', '--ntasks-per-node=8', '--gres=gpu:8'} <= set(asked[:script])
    assert asked[script - 2 : script] == ['--time=1:00', '--signal=TERM@120']
    assert '--job-name=mask_rcnn_vvt' in asked
    assert asked[script:] == ['python', '-u', f'{REPOSITORY}/tools/train.py', *words, '--launcher', 'slurm']


def test_two_gpus_of_a_node(launch):
    code, asked, _ = launch('configs/pspnet_pit.py', PARTITION='gpu', GPUS='2')
    assert code == 0
    assert {'--ntasks=2', '--ntasks-per-node=2', '--gres=gpu:2'} <= set(asked)


@pytest.mark.parametrize(
    ('words', 'environment', 'name'),
    [
        (['configs/pspnet_pit.py'], {}, 'PARTITION'),
        ([], dict(PARTITION='gpu'), 'config'),
    ],
)
def test_a_missing_partition_or_config_is_named(launch, words, environment, name):
    code, asked, err = launch(*words, **environment)
    assert code != 0
    assert asked == []
    assert name in err
