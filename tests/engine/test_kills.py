"""A training that is killed, again and again, ends with the weights of one that was not, bit for bit."""

import os
import random
import re
import signal
import time
from functools import partial

import pytest
from restarts import CONFIGS, damage, different, newest, start, wait_for

from vitdense.engine.work_dir import last_checkpoint


@pytest.mark.nightly
@pytest.mark.parametrize('kind', CONFIGS)
def test_a_killed_and_resumed_training_ends_with_the_same_weights(kind, tmp_path):
    begin = partial(start, tmp_path, kind)
    assert begin('straight').wait(600) == 0, (tmp_path / 'straight.txt').read_text()

    chance = random.Random(0)
    killed = tmp_path / 'killed'
    said = tmp_path / 'killed.txt'

    process = begin('killed')
    wait_for(process, lambda: newest(killed) >= 3)
    os.killpg(process.pid, signal.SIGTERM)  # to the loading processes too, as clusters do
    assert process.wait(60) == 143
    stopped = re.search(r'SIGTERM after iteration (\d+), .*--resume', said.read_text())
    assert newest(killed) == int(stopped[1])

    for _ in range(2):  # at any moment after the next checkpoint
        process = begin('killed', '--resume')
        before = newest(killed)
        wait_for(process, lambda: newest(killed) > before)  # noqa: B023 (called in this turn only)
        time.sleep(chance.uniform(0, 0.5))
        process.kill()
        process.wait(60)

    process = begin('killed', '--resume')  # while it is saving
    wait_for(process, lambda: any(killed.glob('*.part')))
    process.kill()
    process.wait(60)

    # a kill may come before the newest one is named, and while it is
    last = last_checkpoint(killed) or killed / f'iter_{newest(killed)}.pth'
    damage(last)
    process = begin('killed', '--resume')
    assert process.wait(600) == 0, said.read_text()
    assert f'{last.name}: damaged; ' in said.read_text().replace('\n', ' ')

    assert different(tmp_path / 'straight', killed) == []
