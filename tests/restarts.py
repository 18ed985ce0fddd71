"""Two small trainings that can be started, killed, and compared to the last bit."""

import os
import subprocess
import sys
import time

import torch
from small import ARCH, REPOSITORY

from vitdense.checkpoint import SAFE_GLOBALS, read
from vitdense.data import sample

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
        'train_dataloader.num_workers=2',
        'train_dataloader.persistent_workers=True',
        f'train_cfg.max_iters={ITERATIONS}',
        'train_cfg.val_interval=9',
        'param_scheduler.0.end=2',
        'param_scheduler.1.begin=2',
        f'param_scheduler.1.end={ITERATIONS}',
        'default_hooks.checkpoint.interval=3',
        'val_dataloader.dataset.indices=4',
    ],
}


def start(folder, kind, name, *more):
    """Start a training in a process of its own; what it says goes to <name>.txt.

    Args:
        folder: to work in.
        kind: one of CONFIGS.
        name: of its work dir.
        more: words of the command line.
    """
    if not (folder / 'configs').exists():
        (folder / 'configs').symlink_to(REPOSITORY / 'configs')
        (folder / 'small.py').write_text(f'"""Small enough for a test."""\n{CONFIGS[kind]}{COMMON}')
    words = [REPOSITORY / 'tools/train.py', 'small.py', '--work-dir', name, *more, *WORDS[kind]]
    with (folder / f'{name}.txt').open('a') as output:
        return subprocess.Popen(
            [sys.executable, *map(str, words)],
            cwd=folder,
            stdout=output,
            stderr=output,
            start_new_session=True,
            env=dict(os.environ, CUDA_VISIBLE_DEVICES='-1', OMP_NUM_THREADS='1'),
        )


def newest(folder):
    """The iteration of the newest checkpoint in a work dir."""
    return max((int(path.stem.split('_')[1]) for path in folder.glob('iter_*.pth')), default=0)


def wait_for(process, condition, seconds=300):
    """Until a condition holds or a process has ended."""
    end = time.monotonic() + seconds
    while process.poll() is None and not condition():
        assert time.monotonic() < end
        time.sleep(0.002)


def final(folder):
    """Everything that the end of a run holds, but for what names times and paths."""
    checkpoint = read(folder / f'iter_{ITERATIONS}.pth', allow=SAFE_GLOBALS)
    return {key: checkpoint[key] for key in ('state_dict', 'ema_state_dict', 'optimizer', 'param_schedulers')}


def _flat(node, name=''):
    if isinstance(node, dict):
        for key, value in node.items():
            yield from _flat(value, f'{name}.{key}')
    elif isinstance(node, (list, tuple)):
        for key, value in enumerate(node):
            yield from _flat(value, f'{name}.{key}')
    else:
        yield name, node


def damage(path):
    """Overwrite a few bytes in the middle of a file."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2] + b'damaged' + content[len(content) // 2 + 7 :])


def different(one, other):
    """What differs between the ends of two runs: names of tensors and numbers."""
    ends = [dict(_flat(final(folder))) for folder in (one, other)]
    changed = ends[0].keys() ^ ends[1].keys()
    for key in ends[0].keys() & ends[1].keys():
        here, there = ends[0][key], ends[1][key]
        same = torch.equal(here, there) if isinstance(here, torch.Tensor) else here == there
        if not same:
            changed.add(key)
    return sorted(changed)
