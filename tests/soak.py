"""An hour of what a run may meet: `python tests/soak.py --minutes 60`.

In turns, until time is over:

restarts   a small detector or segmentor is stopped and killed at random moments, its newest checkpoint may be
           damaged, and it is started again until it ends: its weights are those of a run that was left alone,
           bit for bit
sizes      each backbone gets a random image: maps of the promised sizes, finite, the same alone as in a batch
files      weight files with hostile pickles in random places, and cut or altered ones, go to every way into
           the program: no marker is ever written, nothing is loaded, the exit code is 2

What was done is printed as a table, exit code 1 if anything was lost.
"""

import argparse
import math
import os
import pickle
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import torch
from restarts import CONFIGS, ITERATIONS, damage, different, newest, start, wait_for
from rich.console import Console
from rich.table import Table
from small import REPOSITORY, Hostile, workplace

from vitdense import backbones
from vitdense.checkpoint import load_released

LOST = ('different weights', 'wrong maps', 'executed files', 'loaded files')
SMALLEST = dict(TransCNN='tiny', HATNet='tiny', VVT='tiny', PiT='ti', SuperViT='deit_s', DualTokenViT='t')
PRETRAINED = '''"""The small detector, from weights that MMEngine reads."""
from mmengine.config import read_base
with read_base():
    from .tiny import *
model.backbone.init_cfg = dict(type='Pretrained', checkpoint={!r})
'''
LARGEST = 400  # pixels of a random image's side


class Soak:
    """What was done, and what went wrong.

    Args:
        seed: of everything that is drawn by chance, but not of when a process is hit.
        folder: to work in.
    """

    def __init__(self, seed: int, folder: Path):
        self.chance = random.Random(seed)
        self.folder = folder
        self.done = Counter({name: 0 for name in LOST})
        self.straight = {}  # the run of each kind that was left alone, and the seconds that it took
        self.backbones = {name: getattr(backbones, name)(arch).eval() for name, arch in SMALLEST.items()}

    def restarts(self) -> None:
        kind = self.chance.choice(list(CONFIGS))
        if kind not in self.straight:
            alone = self.folder / f'{kind}-straight'
            alone.mkdir()
            started = time.monotonic()
            assert start(alone, kind, 'run').wait(900) == 0
            self.straight[kind] = alone / 'run', time.monotonic() - started
        straight, seconds = self.straight[kind]
        folder = Path(tempfile.mkdtemp(dir=self.folder, prefix=f'{kind}-'))
        run = folder / 'run'
        self.done['trainings'] += 1
        while newest(run) < ITERATIONS:
            more = ['--resume'] if newest(run) else []
            process = start(folder, kind, 'run', *more)
            end = time.monotonic() + self.chance.uniform(0.3, 0.9) * seconds
            wait_for(process, lambda end=end: time.monotonic() > end)
            if process.poll() is None:
                gently = self.chance.random() < 0.3
                os.killpg(process.pid, signal.SIGTERM if gently else signal.SIGKILL)
                self.done['stops by SIGTERM' if gently else 'kills'] += 1
            code = process.wait(120)
            if code not in (0, 143, -signal.SIGKILL, -signal.SIGTERM):
                self.done['different weights'] += 1
                print((folder / 'run.txt').read_text()[-3000:], file=sys.stderr)
                return
            self.done['resumes'] += bool(more)
            checkpoints = sorted(run.glob('iter_*.pth'), key=lambda path: path.stat().st_mtime)
            if newest(run) < ITERATIONS and len(checkpoints) > 1 and self.chance.random() < 0.3:
                damage(checkpoints[-1])
                self.done['damaged checkpoints'] += 1
        if changed := different(straight, run):
            self.done['different weights'] += 1
            print(f'{folder}: {len(changed)} differ, such as {changed[:3]}', file=sys.stderr)

    def sizes(self) -> None:
        for name, backbone in self.backbones.items():
            size = self.chance.randint(1, LARGEST), self.chance.randint(1, LARGEST)
            images = torch.randn(2, 3, *size)
            with torch.no_grad():
                maps, alone = backbone(images), backbone(images[:1])
            self.done['images through backbones'] += 1
            for map, own, stride, channels in zip(
                maps, alone, backbone.strides, backbone.channels, strict=True
            ):
                expected = 2, channels, *(math.ceil(side / stride) for side in size)
                close = torch.allclose(map[:1], own, rtol=1e-3, atol=1e-3 * float(map.std()))
                if map.shape != expected or not map.isfinite().all() or not close:
                    self.done['wrong maps'] += 1
                    print(f'{name} {size}: {tuple(map.shape)}, expected {expected}', file=sys.stderr)

    def files(self) -> None:
        marker = self.folder / 'marker'
        file = self.folder / 'weights.pth'
        state = self.backbones['PiT'].state_dict()
        hostile = self.chance.random() < 0.7
        if hostile:
            place = self.chance.choice(['state', 'wrapper', 'bare', 'legacy'])
            if place == 'bare':
                file.write_bytes(pickle.dumps(Hostile(marker)))
            else:
                key = self.chance.choice(list(state))
                inside = dict(state, **{key: Hostile(marker)}) if place == 'state' else state
                whole = dict(model=inside, by=Hostile(marker))
                torch.save(whole, file, _use_new_zipfile_serialization=place != 'legacy')
            self.done['hostile files'] += 1
        else:
            torch.save(state, file)
            content = bytearray(file.read_bytes())
            for _ in range(self.chance.randint(1, 8)):
                content[self.chance.randrange(len(content))] ^= self.chance.randint(1, 255)
            file.write_bytes(content[: self.chance.randint(1, len(content) - 1)])
            self.done['cut and altered files'] += 1
        self._into_a_backbone(file)
        self._into_a_tool(file)
        if marker.exists():
            self.done['executed files'] += 1
            marker.unlink()

    def _into_a_backbone(self, file: Path) -> None:
        backbone = self.backbones['PiT']
        before = {key: value.clone() for key, value in backbone.state_dict().items()}
        try:
            load_released(backbone, file)
        except ValueError:
            pass
        else:
            self.done['loaded files'] += 1
        if not all(torch.equal(value, before[key]) for key, value in backbone.state_dict().items()):
            self.done['loaded files'] += 1

    def _into_a_tool(self, file: Path) -> None:
        work = self.folder / 'tools'
        if not work.exists():
            work.mkdir()
            workplace(work)
        (work / 'pretrained.py').write_text(PRETRAINED.format(str(file)))
        words = self.chance.choice(
            [
                ['test', 'tiny.py', file, '--sample'],
                ['train', 'tiny.py', '--sample', '--preflight', '--resume', file, '--work-dir', 'new'],
                ['train', 'tiny.py', '--sample', '--preflight', '--weights', file, '--work-dir', 'new'],
                ['train', 'tiny.py', '--sample', '--preflight', '--cfg-options', f'load_from={file}'],
                ['train', 'pretrained.py', '--sample', '--preflight'],
                ['convert', file, 'new.safetensors'],
            ]
        )
        command = [sys.executable, REPOSITORY / f'tools/{words[0]}.py', *words[1:]]
        done = subprocess.run(list(map(str, command)), cwd=work, capture_output=True, text=True)
        self.done['files given to tools'] += 1
        if done.returncode != 2:
            self.done['loaded files'] += 1
            print(' '.join(map(str, words)), done.returncode, done.stderr[-2000:], file=sys.stderr)


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    p.add_argument('--minutes', type=float, default=60)
    p.add_argument('--seed', type=int, default=0)
    args = p.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        soak = Soak(args.seed, Path(folder))
        started = time.monotonic()
        while time.monotonic() < started + 60 * args.minutes:
            soak.restarts()
            for _ in range(5):
                soak.sizes()
            for _ in range(3):
                soak.files()
        minutes = (time.monotonic() - started) / 60
    table = Table(title=f'{minutes:.0f} minutes, seed {args.seed}', title_justify='left')
    table.add_column('what')
    table.add_column('times', justify='right')
    for name, count in sorted(soak.done.items(), key=lambda item: item[0] in LOST):
        table.add_row(name, str(count))
    Console().print(table)
    sys.exit(any(soak.done[name] for name in LOST))


if __name__ == '__main__':
    main()
