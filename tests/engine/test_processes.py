"""Several processes give the answer of one with the same batch, to rounding, and can take turns with it."""

import json
import os
import re
import signal
import subprocess
import sys

import pytest
import torch
from restarts import wait_for
from small import REPOSITORY

from vitdense.checkpoint import SAFE_GLOBALS, read

pytestmark = pytest.mark.nightly  # each starts a dozen interpreters

ITERATIONS = 8
BATCH = 4
# No batch statistics, and nothing drawn by chance in the model, which each process draws for itself. SGD,
# because AdamW makes whole steps of gradients that are nothing but rounding.
CONFIG = """'''Small enough for a test.'''
from mmengine.config import read_base
with read_base():
    from .configs.pspnet_pit import *
from torch.optim import SGD
arch = dict(
    image_size=64, patch_size=16, stride=8, head_dim=8, heads=(1, 2, 4), depths=(1, 1, 1), mlp_ratio=2
)
norm_cfg = dict(type='GN', num_groups=4)
model.backbone.update(arch=arch, drop_path_rate=0.0)
model.decode_head.update(in_channels=[8, 16, 32], channels=16, norm_cfg=norm_cfg, dropout_ratio=0)
model.auxiliary_head.update(in_channels=16, channels=16, norm_cfg=norm_cfg, dropout_ratio=0)
"""
OPTIONS = [
    f'train_cfg.max_iters={ITERATIONS}',
    'train_cfg.val_interval=4',
    'param_scheduler.0.end=2',
    'param_scheduler.1.begin=2',
    f'param_scheduler.1.end={ITERATIONS}',
    'default_hooks.logger.interval=1',
    'default_hooks.checkpoint.interval=4',
    'optim_wrapper.optimizer.type=torch.optim.SGD',
    'optim_wrapper.optimizer.lr=0.5',
    # with weights, MMSegmentation divides by their sum over the pixels of each process
    'model.decode_head.loss_decode.class_weight=None',
    'model.auxiliary_head.loss_decode.class_weight=None',
    'train_dataloader.num_workers=1',
    'val_dataloader.dataset.indices=5',  # an odd number: one process has one more
    'test_dataloader.dataset.indices=5',
]


@pytest.fixture
def begin(tmp_path):
    """Start a tool in so many processes."""
    (tmp_path / 'configs').symlink_to(REPOSITORY / 'configs')
    (tmp_path / 'small.py').write_text(CONFIG)

    def begin(tool, processes, *words, options=()):
        several = ['-m', 'torch.distributed.run', '--standalone', f'--nproc_per_node={processes}']
        command = [*(several if processes > 1 else []), REPOSITORY / f'tools/{tool}.py', 'small.py', *words]
        if processes > 1:
            command += ['--launcher', 'pytorch']
        command += [
            '--sample',
            '--cfg-options',
            *OPTIONS,
            *options,
            f'train_dataloader.batch_size={BATCH // processes}',
        ]
        return subprocess.Popen(
            [sys.executable, *map(str, command)],
            cwd=tmp_path,
            env=dict(os.environ, CUDA_VISIBLE_DEVICES='-1', OMP_NUM_THREADS='1'),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    return begin


@pytest.fixture
def run(begin):
    """Run a tool in so many processes; what it printed."""

    def run(*words, **options):
        process = begin(*words, **options)
        out, err = process.communicate(timeout=600)
        assert process.returncode == 0, out + err
        return out

    return run


def losses(folder):
    """Of each iteration, also of a resumed run."""
    found = {}
    for file in sorted(folder.glob('*/vis_data/scalars.json')):
        records = map(json.loads, file.read_text().splitlines())
        found |= {record['step']: record['loss'] for record in records if 'loss' in record}
    return found


def weights(folder):
    return read(folder / f'iter_{ITERATIONS}.pth', allow=SAFE_GLOBALS)['state_dict']


def scores(out):
    return re.findall(r'│ (\w+) +│ +(\d+\.\d+) │', out)


def resume(run, folder, processes, **words):
    """Resume a run after its fourth iteration, in a folder of its own."""
    own = folder.with_name(f'{folder.name}-{processes}')
    own.mkdir()
    (own / 'iter_4.pth').write_bytes((folder / 'iter_4.pth').read_bytes())
    out = run('train', processes, '--work-dir', own, '--resume', own / 'iter_4.pth', **words)
    assert '\n   loaded  all weights 100%\n' in out
    return own


def same(expected, folders):
    """The curves and the final weights of some runs are those of one, to rounding."""
    curve, end = losses(expected), weights(expected)
    for folder in folders:
        assert losses(folder)
        for step, loss in losses(folder).items():
            assert loss == pytest.approx(curve[step], rel=1e-4), (folder, step)
        for name, weight in weights(folder).items():
            torch.testing.assert_close(weight, end[name], rtol=1e-3, atol=1e-5, msg=f'{folder} {name}')


def stop(process, folder):
    """SIGTERM to all processes of a run, as clusters send it; after which iteration it stopped."""
    wait_for(process, lambda: losses(folder))
    os.killpg(process.pid, signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1  # torchrun's own
    return int(re.search(r'SIGTERM after iteration (\d), .*--resume', err)[1])


def test_processes_train_as_one_does_and_resume_from_each_others_checkpoints(begin, run, tmp_path):
    one = run('train', 1, '--work-dir', 'one')
    two = run('train', 2, '--work-dir', 'two')
    assert ' batch size 4 (2 processes of 2), ' in two
    assert '\n    norms  no batch statistics' in two
    folders = [tmp_path / name for name in ('one', 'two')]
    for start, processes in (('one', 2), ('two', 1)):
        folders.append(resume(run, tmp_path / start, processes))

    stopped = tmp_path / 'stopped'
    last = stop(begin('train', 2, '--work-dir', stopped), stopped)
    assert 1 <= last < ITERATIONS
    run('train', 2, '--work-dir', stopped, '--resume')
    folders.append(stopped)

    curve = losses(folders[0])
    assert list(curve) == list(range(1, ITERATIONS + 1))
    assert len(set(curve.values())) == ITERATIONS
    same(folders[0], folders[1:])

    half = len(scores(one)) // 2  # it was validated twice
    assert len(dict(scores(one))) == half == 3 + 9  # and the classes
    tested = [run('test', count, f'one/iter_{ITERATIONS}.pth') for count in (1, 2)]
    assert scores(tested[0]) == scores(tested[1]) == scores(one)[half:]


def test_a_sharded_model_trains_as_a_whole_one_does(run, tmp_path):
    """Also with AdamW, whose state is sharded too; and its checkpoints are whole."""
    adam = ['optim_wrapper.optimizer.type=torch.optim.AdamW', 'optim_wrapper.optimizer.lr=1e-3']
    sharded = [*adam, 'shard=True']
    whole = tmp_path / 'whole'
    run('train', 1, '--work-dir', whole, options=adam)
    out = run('train', 2, '--work-dir', 'sharded', '--preflight', options=sharded)
    assert re.search(r'^ +memory  about ', out, re.MULTILINE)
    run('train', 2, '--work-dir', 'sharded', options=sharded)
    parts = tmp_path / 'sharded'
    assert (parts / 'predictions.png').is_file()
    same(whole, [parts, resume(run, whole, 2, options=sharded), resume(run, parts, 1, options=adam)])
    moments = [
        read(folder / 'iter_4.pth', allow=SAFE_GLOBALS)['optimizer']['state'] for folder in (whole, parts)
    ]
    for number, expected in moments[0].items():
        torch.testing.assert_close(moments[1][number], expected, rtol=1e-3, atol=1e-6)
