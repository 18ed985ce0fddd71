"""Checkpoint files: read without executing anything; released weights are loaded whole or not at all.

The authors of the backbones published classification checkpoints under their own parameter names. Here they
are unwrapped, renamed, fitted and compared with the backbone; only a complete match is copied into it.
"""

import argparse
import hashlib
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from mmengine.logging import print_log
from mmengine.model.weight_init import update_init_info
from mmengine.registry import WEIGHT_INITIALIZERS
from safetensors.torch import load_file
from torch import Tensor, nn

from .backbones.pyramid import Pyramid
from .compat import load_weights
from .errors import UserError
from .layers.position import fit_table
from .mmengine_internals import records_initialization
from .records import SAFE_GLOBALS

# The wrappings in use, in the order in which they are looked for; the released files hold one of them.
WRAPPERS = ('state_dict', 'model', 'model_ema')


class Refused(ValueError):
    """A file that would execute code while it is unpickled; it did not."""


def read(path: str | Path, allow: list[Any] | None = None) -> Any:
    """The contents of a `.safetensors` or torch checkpoint file, on the CPU.

    A torch file is unpickled with `weights_only=True`, once: what that refuses is not loaded. Command-line
    options (`argparse.Namespace`), which training scripts save beside their weights, are plain data and pass,
    as do the types in `allow` (`SAFE_GLOBALS` for the checkpoints of a training).

    Raises:
        FileNotFoundError: there is no such file.
        Refused: the file would execute code.
        ValueError: the file is damaged or no checkpoint.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f'{path}: no such checkpoint file')
    try:
        if path.suffix == '.safetensors':
            return load_file(path)
        if zipfile.is_zipfile(path):
            check_sums(path)  # torch does not look at them
        return load_weights(path, [argparse.Namespace, *(allow or [])])
    except UnpicklingError as error:
        if unsupported := re.search(r'Unsupported (?:global|class).*', str(error)):
            raise Refused(f'{path}: refused to load: {unsupported[0].strip()}') from error
        raise ValueError(f'{path}: refused to load: the file is damaged or not a checkpoint') from error
    except Exception as error:  # a damaged pickle fails in as many ways as there are bytes
        reason = ': '.join([type(error).__name__, *str(error).splitlines()[:1]])
        raise ValueError(f'{path}: damaged or not a checkpoint ({reason})') from error


def check_sums(path: Path) -> None:
    """Look whether a file of `torch.save` is as it was written: an archive, each part with its checksum.

    Raises:
        zipfile.BadZipFile: it is not.
    """
    with zipfile.ZipFile(path) as archive:
        if bad := archive.testzip():
            raise zipfile.BadZipFile(f'{bad} has another checksum than when it was written')


def read_checkpoint(filename: str) -> dict:
    """The contents of a checkpoint file.

    Raises:
        UserError: no such file, a file that is damaged or would execute code, or no checkpoint.
    """
    try:
        checkpoint = read(filename, allow=SAFE_GLOBALS)
    except (FileNotFoundError, ValueError) as error:
        raise UserError(str(error)) from error
    if not isinstance(checkpoint, dict) or not isinstance(checkpoint.get('state_dict', checkpoint), dict):
        raise UserError(f'{filename}: not a checkpoint: it holds a {type(checkpoint).__name__}')
    return checkpoint


def check_state(model: nn.Module, state: Mapping[str, Any], filename: str) -> None:
    """Compare a state dict with a model.

    Raises:
        UserError: it has not exactly the model's keys and shapes; names what differs.
    """
    ours = model.state_dict()
    missing, left_over = ours.keys() - state.keys(), state.keys() - ours.keys()
    misshapen = [k for k in ours.keys() & state.keys() if ours[k].shape != getattr(state[k], 'shape', None)]
    problems = [
        f'{len(keys)} {label} (such as {min(keys)})'
        for label, keys in (
            ('of the model are missing', missing),
            ('are unknown', left_over),
            ('differ in shape', misshapen),
        )
        if keys
    ]
    if problems:
        raise UserError(
            f'{filename}: the checkpoint of another model: of its weights, {", ".join(problems)}. '
            f'Are the config, --arch and --sample those that it was trained with?'
        )


def unwrap(contents: Any, name: str) -> Mapping[str, Tensor]:
    """The state dict in a checkpoint's contents, whatever it is wrapped in.

    Raises:
        ValueError: there is none.
    """
    while isinstance(contents, Mapping):
        inner = next((contents[w] for w in WRAPPERS if isinstance(contents.get(w), Mapping)), None)
        if inner is None:
            break
        contents = inner
    if not isinstance(contents, Mapping) or not contents:
        raise ValueError(f'{name}: expected a state dict, got {type(contents).__name__}')
    strangers = [k for k, v in contents.items() if not (isinstance(k, str) and isinstance(v, Tensor))]
    if strangers:
        raise ValueError(f'{name}: not a state dict: {", ".join(map(repr, strangers))} name no tensors')
    return contents


def load_released(backbone: Pyramid, source: str | Path | Mapping[str, Any]) -> None:
    """Load the weights that a backbone's authors released.

    Args:
        backbone: a backbone of this package, of the variant that the weights belong to.
        source: a `.safetensors` or `.pth` path, an http(s) address of one, `'timm:'` and the name of a model
            of timm (`'timm:pit_s_224'`), whose pretrained weights timm then downloads, or a state dict.

    Raises:
        FileNotFoundError, ValueError: from `read`.
        ValueError: timm knows no such model, or no weights of it.
        ValueError: names every parameter that is missing, left over or of another shape. The backbone is
            then as it was.
    """
    name = 'the state dict' if isinstance(source, Mapping) else str(source)
    state = unwrap(source if isinstance(source, Mapping) else _contents(str(source)), name)
    renamed = {}
    for key, tensor in state.items():
        key = key.removeprefix('module.')
        if not key.startswith(backbone.released_head):
            ours_of_it = _rename(key, backbone.released_names)
            if ours_of_it in renamed:
                raise ValueError(f'{name}: holds {ours_of_it} twice, under {key} and another name')
            renamed[ours_of_it] = tensor

    if any(parameter.is_meta for parameter in backbone.parameters()):
        raise ValueError(f'{type(backbone).__name__}: is on the meta device, where nothing can be loaded')
    ours = {k: v for k, v in backbone.state_dict().items() if not k.startswith(backbone.unreleased)}
    for key in ours.keys() & renamed.keys():
        if key.startswith(backbone.released_tables):
            renamed[key] = fit_table(renamed[key], ours[key].shape)
    # A released file holds the stages behind the last of `out_indices`, which are not built.
    unbuilt = range(len(backbone.stages), backbone.stage_count)
    later = {k for k in renamed if (m := re.match(r'stages\.(\d+)\.', k)) and int(m[1]) in unbuilt}
    missing = sorted(ours.keys() - renamed.keys())
    left_over = sorted(renamed.keys() - ours.keys() - later)
    misshapen = sorted(
        f'{key} {_said(renamed[key])} instead of {_said(ours[key])}'
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
    whole = {key: renamed[key].reshape(ours[key].shape) for key in ours}
    backbone.load_state_dict(whole, strict=False)  # lacks at most what is unreleased
    print_log(f'{type(backbone).__name__}: loaded all {len(ours)} tensors from {name}', logger='current')


@WEIGHT_INITIALIZERS.register_module(name='Released', force=True)
class ReleasedInit:
    """`init_cfg=dict(type='Released', checkpoint=source)`: `load_released` as MMEngine's initialiser."""

    def __init__(self, checkpoint: str):
        self.checkpoint = checkpoint

    def __call__(self, module: Pyramid) -> None:
        load_released(module, self.checkpoint)
        if records_initialization(module):
            update_init_info(module, f'{type(self).__name__}: loaded from {self.checkpoint}')


def _contents(source: str) -> Any:
    if source.startswith('timm:'):
        import timm  # here, as it takes more than a second, most of it torchvision's

        try:
            return timm.create_model(source.removeprefix('timm:'), pretrained=True).state_dict()
        except Exception as error:  # timm's own, the download's, the hub's
            raise ValueError(f'{source}: timm gives no such weights: {error}') from error
    contents = read(local(source), allow=SAFE_GLOBALS)
    if isinstance(contents, Mapping) and {'meta', 'state_dict'} <= contents.keys():
        raise ValueError(
            f'{source}: a checkpoint of a training, not weights that the authors released; start from it '
            f'with --init, or load_from in the config'
        )
    return contents


def local(source: str) -> str:
    """The path itself, or where an address was downloaded to, in torch's own cache folder."""
    if not source.startswith(('http://', 'https://')):
        return source
    folder = Path(torch.hub.get_dir()) / 'checkpoints'
    folder.mkdir(parents=True, exist_ok=True)
    stem, dot, suffix = source.split('?')[0].rsplit('/', 1)[-1].rpartition('.')
    which = hashlib.sha256(source.encode()).hexdigest()[:8]  # many authors' files have one name
    path = folder / f'{stem}-{which}{dot}{suffix}'
    if not path.exists():
        try:
            torch.hub.download_url_to_file(source, str(path))
        except OSError as error:  # among them urllib's
            raise ValueError(f'{source}: could not be downloaded ({error})') from error
    return str(path)


def _rename(key: str, names: tuple) -> str:
    for pattern, replacement in names:
        key = re.sub(pattern, replacement, key)
    return key


def _fits(theirs: Tensor, ours: Tensor) -> bool:
    """Equal shapes, up to the trailing ones by which a 1×1 convolution differs from a linear layer."""

    def trimmed(shape: torch.Size) -> list[int]:
        sides = list(shape)
        while sides and sides[-1] == 1:
            sides.pop()
        return sides

    same_kind = theirs.is_floating_point() == ours.is_floating_point()
    return same_kind and trimmed(theirs.shape) == trimmed(ours.shape)


def _said(tensor: Tensor) -> str:
    return f'{tuple(tensor.shape)}' + ('' if tensor.is_floating_point() else f' of {tensor.dtype}')
