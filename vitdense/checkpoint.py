"""Released weights in: whole or not at all, and without executing anything.

The authors of the backbones published classification checkpoints under their own parameter names. Here they
are unwrapped, renamed, fitted and compared with the backbone; only a complete match is copied into it.
"""

import argparse
import re
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from mmengine.logging import print_log
from mmengine.registry import WEIGHT_INITIALIZERS
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

# The wrappings in use, in the order in which they are looked for; the released files hold one of them.
WRAPPERS = ('state_dict', 'model', 'model_ema')


def read(path: str | Path, allow: list[Any] | None = None) -> Any:
    """The contents of a `.safetensors` or torch checkpoint file, on the CPU.

    A torch file is unpickled with `weights_only=True`, once: what that refuses is not loaded. The records of
    command-line options (`argparse.Namespace`) that training scripts leave beside their weights are plain
    data and pass, as do the types in `allow`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, is no checkpoint, or would execute code.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f'{path}: no such checkpoint file')
    try:
        if path.suffix == '.safetensors':
            return load_file(path)
        with torch.serialization.safe_globals([argparse.Namespace, *(allow or [])]):
            return torch.load(path, map_location='cpu', weights_only=True)
    except UnpicklingError as error:
        refused = re.search(r'Unsupported (?:global|class|operand).*', str(error))
        reason = refused.group(0) if refused else 'the file is damaged or not a checkpoint'
        raise ValueError(f'{path}: refused to load: {reason.strip()}') from error
    except (RuntimeError, EOFError, SafetensorError, OSError, KeyError, AttributeError, TypeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f'{path}: damaged or not a checkpoint ({reason})') from error


def load_released(backbone: nn.Module, source: str | Path | Mapping[str, Any]) -> None:
    """Load the weights that a backbone's authors released.

    Args:
        backbone: a backbone of this package, of the variant that the weights belong to.
        source: a `.safetensors` or `.pth` path, an http(s) address of one, or its contents.

    Raises:
        FileNotFoundError, ValueError: from `read`.
        ValueError: names every parameter that is missing, left over or of another shape. The backbone is
            then as it was.
    """
    name = 'the state dict' if isinstance(source, Mapping) else str(source)
    state = _unwrap(source if isinstance(source, Mapping) else read(_local(str(source))), name)
    renamed = {}
    for key, tensor in state.items():
        key = key.removeprefix('module.')
        if not key.startswith(backbone.released_head):
            renamed[_rename(key, backbone.released_names)] = tensor

    ours = backbone.state_dict()
    # A released file holds the stages behind the last of `out_indices`, which are not built.
    built = len(backbone.stages)
    later = {k for k in renamed if (m := re.match(r'stages\.(\d+)\.', k)) and int(m[1]) >= built}
    missing = sorted(ours.keys() - renamed.keys())
    left_over = sorted(renamed.keys() - ours.keys() - later)
    misshapen = sorted(
        f'{key} {tuple(renamed[key].shape)} instead of {tuple(ours[key].shape)}'
        for key in ours.keys() & renamed.keys()
        if not _fits(renamed[key], ours[key])
    )
    if missing or left_over or misshapen:
        problems = [
            f'{label} ({len(keys)}): {", ".join(keys)}'
            for label, keys in (('missing', missing), ('left over', left_over), ('misshapen', misshapen))
            if keys
        ]
        raise ValueError(
            f'{name} does not hold the weights of this {type(backbone).__name__}; nothing was loaded. '
            f'Is `arch` the variant of the file? ' + '; '.join(problems)
        )
    backbone.load_state_dict({key: renamed[key].reshape(ours[key].shape) for key in ours})
    print_log(f'{type(backbone).__name__}: loaded all {len(ours)} tensors from {name}', logger='current')


@WEIGHT_INITIALIZERS.register_module(name='Released')
class ReleasedInit:
    """`init_cfg=dict(type='Released', checkpoint=path_or_url)`: `load_released` as MMEngine's initialiser."""

    def __init__(self, checkpoint: str):
        self.checkpoint = checkpoint

    def __call__(self, module: nn.Module) -> None:
        load_released(module, self.checkpoint)


def _local(source: str) -> str:
    """The path itself, or where an address was downloaded to, in torch's own cache folder."""
    if not source.startswith(('http://', 'https://')):
        return source
    folder = Path(torch.hub.get_dir()) / 'checkpoints'
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / source.split('?')[0].rsplit('/', 1)[-1]
    if not path.exists():
        torch.hub.download_url_to_file(source, str(path))
    return str(path)


def _unwrap(contents: Any, name: str) -> Mapping[str, Tensor]:
    while isinstance(contents, Mapping):
        inner = next((contents[w] for w in WRAPPERS if isinstance(contents.get(w), Mapping)), None)
        if inner is None:
            break
        contents = inner
    if not isinstance(contents, Mapping) or not contents:
        raise ValueError(f'{name}: expected a state dict, got {type(contents).__name__}')
    strangers = [key for key, value in contents.items() if not isinstance(value, Tensor)]
    if strangers:
        raise ValueError(f'{name}: not a state dict: {", ".join(map(str, strangers))} hold no tensors')
    return contents


def _rename(key: str, names: tuple) -> str:
    for pattern, replacement in names:
        key = re.sub(pattern, replacement, key)
    return key


def _fits(theirs: Tensor, ours: Tensor) -> bool:
    """Equal shapes, up to the trailing ones by which a 1×1 convolution differs from a linear layer."""

    def trimmed(shape: torch.Size) -> list[int]:
        shape = list(shape)
        while shape and shape[-1] == 1:
            shape.pop()
        return shape

    return trimmed(theirs.shape) == trimmed(ours.shape)
