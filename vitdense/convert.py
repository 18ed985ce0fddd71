"""An old pickle to safetensors, which holds tensors and nothing that could be executed."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from .checkpoint import SAFE_GLOBALS, read, unwrap


def convert(source: str | Path, target: str | Path, trusted: bool = False) -> dict[str, Tensor]:
    """Write the weights of a checkpoint to a `.safetensors` file, and read them back.

    Args:
        source: a `.pth` file in any wrapper that `unwrap` knows; of a training run, its weights.
        target: the `.safetensors` file to write; an existing file is not overwritten.
        trusted: the file may execute anything while it is unpickled. It does so in another process, of which
            nothing but the written tensors is used.

    Raises:
        FileNotFoundError: there is no such file, or no such folder to write to.
        FileExistsError: the target is there already.
        Refused: the source would execute something and is not trusted.
        ValueError: it is damaged or holds no weights.
    """
    source, target = Path(source), Path(target)
    if target.exists():
        raise FileExistsError(f'{target}: exists, and is not overwritten')
    if target.suffix != '.safetensors':
        raise ValueError(f'{target}: expected the name of a .safetensors file')
    if not target.parent.is_dir():
        raise FileNotFoundError(f'{target.parent}: no such folder to write {target.name} to')
    part = target.with_name(f'{target.name}.part')
    try:
        if trusted:
            if not source.is_file():
                raise FileNotFoundError(f'{source}: no such checkpoint file')
            _write_elsewhere(source, part)
        else:
            write(read(source, allow=SAFE_GLOBALS), part, source)
        weights = load_file(part)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    return weights


def write(contents: Any, target: Path, source: Path) -> None:
    """The weights in a checkpoint's contents, each in memory of its own, as the format asks.

    Raises:
        ValueError: there are none.
    """
    weights: Mapping[str, Tensor] = unwrap(contents, str(source))
    save_file({name: tensor.detach().contiguous().clone() for name, tensor in weights.items()}, target)


def _write_elsewhere(source: Path, target: Path) -> None:
    """`write`, in a process that unpickles everything, and in a folder where relative names mean nothing."""
    command = [sys.executable, '-m', __name__, str(source.absolute()), str(target.absolute())]
    environment = {key: value for key, value in os.environ.items() if key != 'TORCH_FORCE_WEIGHTS_ONLY_LOAD'}
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or [f'exit code {done.returncode}']
        raise ValueError(f'{source}: could not be converted: {last[0]}')


if __name__ == '__main__':
    file, made = map(Path, sys.argv[1:])
    write(torch.load(file, map_location='cpu', weights_only=False), made, file)
