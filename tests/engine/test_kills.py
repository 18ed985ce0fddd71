"""A training that is killed, again and again, ends with the weights of one that was not, bit for bit."""

import os
import random
import re
import signal
import subprocess
import sys
import time

import pytest
import torch
from small import ARCH, REPOSITORY

from vitdense import sample
from vitdense.checkpoint import read
from vitdense.engine.runner import RECORDS

ITERATIONS = 27
START = 'from mmengine.config import read_base\nwith read_base():\n    from .configs.'
COMMON = f"""
model.backbone.update(arch={ARCH}, drop_path_rate=0.5)
default_hooks.checkpoint.update(by_epoch=False, interval=3)
default_hooks.logger.update(interval=1)
train_dataloader.update(batch_size=4, num_workers=2)
val_dataloader.update(num_workers=0, persistent_workers=False)
val_dataloader.dataset.update(indices=4)
"""
# The detector counts in epochs, of nine iterations, and groups images by shape; the segmentor counts in
# iterations. Both augment, drop out, and keep an average of their weights.
CONFIGS = {
    'detector': f"""{START}retinanet_transcnn import *
from mmengine.hooks import EMAHook
model.neck.update(in_channels=[8, 16, 24, 32], out_channels=16)
model.bbox_head.update(in_channels=16, feat_channels=16, stacked_convs=1, num_classes=5)
custom_hooks = [dict(type=EMAHook)]
metainfo = dict(classes={sample.CLASSES}, palette={sample.THING_PALETTE})
for loader in (train_dataloader, val_dataloader, test_dataloader):
    loader.dataset.update(metainfo=metainfo)
    loader.dataset.pipeline[1 if loader is not train_dataloader else 2].scale = (128, 128)
train_dataloader.dataset.update(indices=36)
train_cfg.update(max_epochs={ITERATIONS // 9})
""",
    'segmentor': f"""{START}pspnet_transcnn import *
from mmengine.hooks import EMAHook
model.decode_head.update(in_channels=[16, 24, 32], channels=16)
model.auxiliary_head.update(in_channels=24, channels=16)
custom_hooks = [dict(type=EMAHook)]
""",
}
WORDS = {
    'detector': ['--data-root', str(sample.root() / 'coco')],
    'segmentor': [
        '--sample',
        '--cfg-options',
        'train_dataloader.batch_size=4',
        f'train_cfg.max_iters={ITERATIONS}',
        'train_cfg.val_interval=9',
        'param_scheduler.0.end=2',
        'param_scheduler.1.begin=2',
        f'param_scheduler.1.end={ITERATIONS}',
        'default_hooks.checkpoint.interval=3',
        'val_dataloader.dataset.indices=4',
    ],
}


@pytest.fixture(params=CONFIGS)
def start(request, tmp_path):
    """Start a training in a process of its own; what it says goes to <name>.txt."""
    (tmp_path / 'configs').symlink_to(REPOSITORY / 'configs')
    (tmp_path / 'small.py').write_text(f'"""Small enough for a test."""\n{CONFIGS[request.param]}{COMMON}')

    def start(name, *more):
        words = [REPOSITORY / 'tools/train.py', 'small.py', '--work-dir', name, *more, *WORDS[request.param]]
        with (tmp_path / f'{name}.txt').open('a') as output:
            return subprocess.Popen(
                [sys.executable, *map(str, words)],
                cwd=tmp_path,
                stdout=output,
                stderr=output,
                start_new_session=True,
                env=dict(os.environ, CUDA_VISIBLE_DEVICES='-1', OMP_NUM_THREADS='1'),
            )

    return start


def newest(folder):
    """The iteration of the newest checkpoint in a work dir."""
    return max((int(path.stem.split('_')[1]) for path in folder.glob('iter_*.pth')), default=0)


def wait_for(process, condition, seconds=300):
    end = time.monotonic() + seconds
    while process.poll() is None and not condition():
        assert time.monotonic() < end
        time.sleep(0.002)


def final(folder):
    """Everything that the end of a run holds, but for what names times and paths."""
    checkpoint = read(folder / f'iter_{ITERATIONS}.pth', allow=RECORDS)
    return {key: checkpoint[key] for key in ('state_dict', 'ema_state_dict', 'optimizer', 'param_schedulers')}


def flat(node, name=''):
    if isinstance(node, dict):
        for key, value in node.items():
            yield from flat(value, f'{name}.{key}')
    elif isinstance(node, (list, tuple)):
        for key, value in enumerate(node):
            yield from flat(value, f'{name}.{key}')
    else:
        yield name, node


def test_a_killed_training_ends_as_one_that_was_not(start, tmp_path):
    assert start('straight').wait(600) == 0, (tmp_path / 'straight.txt').read_text()

    chance = random.Random(0)
    killed = tmp_path / 'killed'
    said = tmp_path / 'killed.txt'

    process = start('killed')
    wait_for(process, lambda: newest(killed) >= 3)
    os.killpg(process.pid, signal.SIGTERM)  # to the loading processes too, as clusters do
    assert process.wait(60) == 143
    stopped = re.search(
        r'stopped by SIGTERM after iteration (\d+), and saved; --resume goes on', said.read_text()
    )
    assert newest(killed) == int(stopped[1])

    for _ in range(2):  # at any moment after the next checkpoint
        process = start('killed', '--resume')
        before = newest(killed)
        wait_for(process, lambda: newest(killed) > before)  # noqa: B023 (called in this turn only)
        time.sleep(chance.uniform(0, 0.5))
        process.kill()
        process.wait(60)

    process = start('killed', '--resume')  # while it is saving
    wait_for(process, lambda: any(killed.glob('*.part')))
    process.kill()
    process.wait(60)

    last = max(killed.glob('iter_*.pth'), key=lambda path: path.stat().st_mtime)
    content = last.read_bytes()  # and the newest one is damaged
    last.write_bytes(content[: len(content) // 2] + b'damaged' + content[len(content) // 2 + 7 :])
    process = start('killed', '--resume')
    assert process.wait(600) == 0, said.read_text()
    assert f'{last.name}: damaged; ' in said.read_text().replace('\n', ' ')

    straight, resumed = (dict(flat(final(tmp_path / name))) for name in ('straight', 'killed'))
    assert straight.keys() == resumed.keys()
    for key, value in straight.items():
        same = torch.equal(value, resumed[key]) if isinstance(value, torch.Tensor) else value == resumed[key]
        assert same, key
