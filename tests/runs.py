"""Commands run in a folder of a test: in a process of their own or in this one, and what they left there."""

import json
import os
import re
import subprocess
import sys
from typing import NamedTuple

from small import REPOSITORY

from vitdense.folder_lock import LOCK

TRAIN, TEST = (REPOSITORY / 'tools' / f'{name}.py' for name in ('train', 'test'))
HERE = 'train_dataloader.num_workers=0'  # workers of a run in this process would take seconds to end
BRIEF = [
    'train_cfg.max_iters=2',
    'train_dataloader.batch_size=2',
    'val_dataloader.dataset.indices=4',
    'default_hooks.logger.interval=1',
    HERE,
]

TABLE = r"""┏━+┳━+┓
┃ score +┃ value ┃
┡━+╇━+┩
(?:│ bbox mAP[ \w]* +│ +(?:\d\.\d{3}|–) │
){6}└─+┴─+┘
"""

CLASS_TABLE = r"""┏━+┳━+┳━+┳━+┓
┃ bbox by class +┃ objects ┃ detections ┃ +AP ┃
┡━+╇━+╇━+╇━+┩
(?:│ \w+ +│ +\d+ │ +\d+ │ +(?:\d\.\d{3}|–) │
){5}└─+┴─+┴─+┴─+┘
"""


def run(*command, cwd):
    """A Python script with its arguments, in a process of its own, on the CPU."""
    return subprocess.run(
        [sys.executable, *map(str, command)],
        cwd=cwd,
        env=dict(os.environ, CUDA_VISIBLE_DEVICES='-1'),
        capture_output=True,
        text=True,
        timeout=900,
    )


class Outcome(NamedTuple):
    code: int
    out: str
    err: str


def files(folder):
    """Every file under a folder with its contents, but for the record of whose folder it is."""
    return {path: path.read_bytes() for path in folder.rglob('*') if path.is_file() and path.name != LOCK}


def losses(folder):
    """Training loss by iteration, of each run in a work dir, in the order of the runs."""
    runs = []
    for file in sorted(folder.glob('*/vis_data/scalars.json')):
        records = map(json.loads, file.read_text().splitlines())
        runs.append({record['step']: record['loss'] for record in records if 'loss' in record})
    return runs


def scores(out):
    """The rows of the last table."""
    *_, table = re.findall(TABLE, out)
    return dict(re.findall(r'│ (bbox mAP[ \w]*?) +│ +(\S+) │', table))


def refused(outcome):
    """What was said about a user error: a single `error: …` on stderr, exit code 2."""
    assert outcome.code == 2
    assert outcome.out == ''
    assert outcome.err.startswith('error: ')
    assert outcome.err.count('error:') == 1
    assert 'Traceback' not in outcome.err
    return outcome.err.removeprefix('error: ')
