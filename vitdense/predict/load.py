"""A model from a file: a checkpoint, which says itself what it is of, or a config with random weights."""

import copy
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import DATASETS, MODELS

from ..backbones.pyramid import Pyramid
from ..checkpoint import check_state, read_checkpoint
from ..config.bundled import bundled_config
from ..config.description import changed_from, check_types, described_config, is_known
from ..config.read import load_config
from ..config.tree import dicts, innermost
from ..engine.work_dir import trained_model
from ..errors import UserError
from ..exported.model import ExportedFile, described, exported_config, run_by
from ..exported.runtimes import is_exported
from ..findings import first_few
from ..registered import import_all
from ..show.colours import palette_for
from ..trial import trial
from ..weights import classes_in
from .predictor import Predictor, scope_of


class ConfigWarning(UserWarning):
    """A config that was given beside a checkpoint has something otherwise than the checkpoint's own."""


def load(
    source: str | Path, config: str | Path | None = None, device: str | torch.device | None = None
) -> Predictor:
    """A model that predicts.

    Args:
        source: a checkpoint of a training; its work dir, of which the best checkpoint is taken; an exported
            file (`.onnx`, `.xml`, `.pt2`) of `vitdense export`; or a config, by its path or its name
            (`'retinanet_transcnn'`), whose weights are then as its `init_cfg` has them, random by default.
        config: that of a checkpoint that does not say which model it is of. One that differs from what the
            checkpoint says, in the model or in the preprocessing, is a `ConfigWarning`.
        device: by default a GPU, if there is one.

    Raises:
        UserError: no such file, a file that is no checkpoint or would execute code, a checkpoint of another
            tool, one that describes something else than models of the libraries, an exported file that was
            changed since it was certified, or one whose runtime is not installed.
    """
    import_all()
    source = str(source)
    if is_exported(source):
        return _load_exported(source, config, str(device or 'cpu'))
    device = torch.device(device or ('cuda' if torch.cuda.is_available() else 'cpu'))
    if Path(source).suffix == '.py' or (not Path(source).exists() and bundled_config(source)):
        if config is not None:
            raise UserError(f'{source} and config={config}: expected a checkpoint and its config')
        cfg = load_config(source)
        model = _build(cfg, device.type)
        model.init_weights()
        return _predictor(model, cfg, {}, device)
    file = trained_model(source)
    checkpoint = read_checkpoint(str(file))
    if config is None:
        cfg = described_config(checkpoint, file)
        check_types(
            cfg, [cfg.model, innermost(cfg.get('test_dataloader') or dict(dataset={}))[1].get('pipeline')]
        )
    else:
        cfg = load_config(str(config))
        meta = checkpoint.get('meta')
        if changed := changed_from(meta if isinstance(meta, Mapping) else {}, cfg):
            warnings.warn(
                f'{config}: not as {file} was trained: {first_few(changed)}', ConfigWarning, stacklevel=2
            )
    model = _build(cfg, device.type)
    state = checkpoint.get('state_dict', checkpoint)
    check_state(model, state, str(file))
    model.load_state_dict(state)
    if isinstance(getattr(model, 'backbone', None), Pyramid):
        model.backbone.fuse()  # as in a test
    return _predictor(model, cfg, checkpoint, device)


def _load_exported(source: str, config: str | Path | None, device: str) -> Predictor:
    if config is not None:
        raise UserError(f'{source} and config={config}: an exported file carries its config')
    file = ExportedFile.read(source, device)
    cfg = exported_config(file)
    model = _build(cfg, 'cpu')
    run_by(model, file)
    predictor = _predictor(model, cfg, described(file), torch.device('cpu'))
    predictor.uncovered = file.certificate.covers
    return predictor


def _build(cfg: Config, device: str) -> Any:
    from ..engine.precision import PRECISIONS, autocast_networks, check_precision

    if 'test_dataloader' not in cfg:
        raise UserError(f'{cfg.filename}: has no test_dataloader, whose pipeline prepares the images')
    with scope_of(cfg), trial(f'{cfg.filename}: cannot be built'):
        model = revert_sync_batchnorm(MODELS.build(copy.deepcopy(cfg.model)))  # MMDetection adds to it
    if amp := cfg.get('amp'):
        autocast_networks(model, device, PRECISIONS[check_precision(amp)])
    return model


def _predictor(model: Any, cfg: Config, checkpoint: Mapping[str, Any], device: torch.device) -> Predictor:
    """With the classes and the colours that the checkpoint, or else the config's dataset, names."""
    meta = checkpoint.get('meta')
    trained = meta.get('dataset_meta') if isinstance(meta, Mapping) else None
    leaf = innermost(cfg.test_dataloader)[1]
    with scope_of(cfg):
        kind = leaf.get('type')
        kind = (
            DATASETS.get(kind)
            if isinstance(kind, str) and is_known(kind, cfg.get('default_scope') or 'mmengine')
            else kind
        )
    known = getattr(kind, 'METAINFO', {})
    own = trained if isinstance(trained, Mapping) else {**known, **(leaf.get('metainfo') or {})}
    classes = classes_in(checkpoint) or list(own.get('classes') or ())
    outputs = {part['num_classes'] for part in dicts(cfg.model) if 'num_classes' in part}
    classes += [f'class {number}' for number in range(len(classes), max(outputs, default=0))]
    palette = palette_for(classes, own.get('palette'), known)
    return Predictor(model.to(device), cfg, tuple(classes), tuple(palette), Path(cfg.filename).stem)
