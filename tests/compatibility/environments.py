"""Installations that people have, made from the package index, and tested: the table of docs/openmmlab.md.

    python tests/compatibility/environments.py --folder DIR [NAME …]

uses the Python that runs it. An environment takes 6 GB and half an hour on two cores; one that is there is
used again. The exit code is 1 if anything failed.
"""

import argparse
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
TESTS = Path(__file__).resolve().parents[1]

BACKBONES = [
    *('backbones', 'layers', 'necks', 'test_checkpoint.py', 'test_released_files.py', 'test_convert.py'),
    *('test_compat.py', 'test_mmcv_ops.py', 'test_mmcv_version.py', 'test_registered.py'),
]
DROP_IN = ['test_drop_in.py']
COMMANDS = 'the commands of vitdense'
COLUMNS = {
    'backbones, checkpoints, ops': BACKBONES,
    'in the configs and by the tools of MMDetection and MMSegmentation': [*DROP_IN, '-m', ''],  # nightly, too
    COMMANDS: ['.', *(f'--ignore={name}' for name in (*BACKBONES, *DROP_IN))],
}

# MMEngine 0.10.7 imports setuptools' `pkg_resources`, which 81 has no more
ORIGINALS = ['mmengine==0.10.7', 'mmdet==3.3.0', 'mmsegmentation==1.2.2', 'ftfy', 'regex', 'setuptools<81']
BESIDE = ['safetensors', 'timm', 'rich', 'matplotlib', 'psutil', 'pycocotools', 'torchmetrics']
NUMPY_1 = ['numpy==1.26.4', 'opencv-python<4.12']  # newer OpenCV needs NumPy 2


def requirements(name: str) -> list[str]:
    """Of a list in setup.py, its lower bounds, such as `rich==13.0`."""
    listed = re.search(rf'\b{name}\s?=\s?\[(.*?)\]', (ROOT / 'setup.py').read_text(), re.DOTALL)[1]
    return [f'{package}=={version}' for package, version in re.findall(r"'([\w-]+)>=([\d.]+)'", listed)]


class Environment(NamedTuple):
    """What is installed before `pip install --no-deps -e .`, and what of `COLUMNS` is another there."""

    packages: list[str]
    columns: dict[str, list[str]] = {}


def originals(torch: str, torchvision: str, mmcv: str, *more: str) -> list[str]:
    return [
        *(f'torch=={torch}', f'torchvision=={torchvision}', f'mmcv-lite=={mmcv}', *more),
        *(*ORIGINALS, *BESIDE, 'hypothesis', 'pytest', 'pytest-xdist'),
    ]


TOO_OLD = 'torch_it_needs or help_of_every or by_name or run_with'  # they say so, and some need less
ENVIRONMENTS = {
    'torch-2.1': Environment(
        originals('2.1.2', '0.16.2', '2.1.0', *NUMPY_1), {COMMANDS: ['test_cli.py', '-k', TOO_OLD]}
    ),
    'torch-2.5': Environment(originals('2.5.1', '0.20.1', '2.2.0', *NUMPY_1)),
    'torch-2.15': Environment(originals('2.15.0', '0.29.2', '2.1.0', 'numpy>=2')),
    'lowest': Environment([*requirements('install_requires'), *requirements('TEST')]),
}
SHOWN = [
    *('torch', 'numpy', 'mmengine', 'mmcv-lite', 'mmdet', 'mmsegmentation'),
    *('onedl-mmengine', 'onedl-mmcv', 'onedl-mmdetection', 'onedl-mmsegmentation'),
]


def make(folder: Path, packages: Sequence[str]) -> Path:
    """A virtual environment's Python."""
    python = folder / 'bin/python'
    if not (folder / 'made').exists():
        _call(sys.executable, '-m', 'venv', '--clear', folder)
        _call(python, '-m', 'pip', 'install', '--quiet', *packages)
        (folder / 'made').touch()
    _call(python, '-m', 'pip', 'install', '--quiet', '--no-deps', '-e', ROOT)
    return python


def installed(python: Path) -> str:
    """`Python 3.10.13, torch 2.1.2, …`"""
    version = subprocess.check_output([python, '--version'], text=True).strip()
    listed = subprocess.check_output([python, '-m', 'pip', 'list', '--format', 'json'], text=True)
    packages = {package['name'].lower(): package['version'] for package in json.loads(listed)}
    return ', '.join([version, *(f'{name} {packages[name]}' for name in SHOWN if name in packages)])


def passes(python: Path, words: Sequence[str], log: Path) -> tuple[bool, str]:
    """Whether pytest ends well, and its last line, such as '31 passed, 2 skipped'."""
    with log.open('w') as file:
        command = [python, '-m', 'pytest', '-q', '-p', 'no:cacheprovider', *words]
        env = os.environ | dict(PYTHONPATH='')
        done = subprocess.run(command, cwd=TESTS, stdout=file, stderr=subprocess.STDOUT, env=env)
    counts = re.findall(r'\d+ (?:passed|failed|skipped|errors?)', log.read_text().splitlines()[-1])
    return done.returncode == 0, ', '.join(counts) or f'exit code {done.returncode}'


def rows(names: Sequence[str], folder: Path, words: Sequence[str]) -> Iterator[tuple[bool, list[str]]]:
    for name in names:
        environment = ENVIRONMENTS[name]
        python = make(folder / name, environment.packages)
        cells, good = [installed(python)], True
        for number, (column, paths) in enumerate((COLUMNS | environment.columns).items()):
            well, said = passes(python, [*paths, *words], folder / f'{name}_{number}.txt')
            print(f'{name}: {column}: {said}', file=sys.stderr, flush=True)
            cells.append(said)
            good = good and well
        yield good, cells


def _call(*words: object) -> None:
    subprocess.run([str(word) for word in words], check=True)


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('names', nargs='*', metavar='NAME', help=f'of {", ".join(ENVIRONMENTS)}; all by default')
    p.add_argument('--folder', type=Path, required=True, help='where the environments and their logs are')
    args, words = p.parse_known_args()  # the rest is pytest's
    if unknown := set(args.names) - set(ENVIRONMENTS):
        p.error(f'{", ".join(sorted(unknown))}: not among {", ".join(ENVIRONMENTS)}')
    folder = args.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    found = list(rows(args.names or list(ENVIRONMENTS), folder, words))
    print(f'As of {date.today()}:\n')
    for cells in (['installed', *COLUMNS], ['---'] * (1 + len(COLUMNS)), *(cells for _, cells in found)):
        print(f'| {" | ".join(cells)} |')
    sys.exit(not all(good for good, _ in found))


if __name__ == '__main__':
    main()
