"""What can be timed, by the name that a person types."""

import ast
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import timm
import torch
from mmcv.cnn import fuse_conv_bn
from mmengine.config import Config, ConfigDict
from mmengine.registry import MODELS, DefaultScope
from timm.layers import BatchNormAct2d
from torch import Tensor, nn

from .. import backbones
from ..backbones.pyramid import Pyramid
from ..complexity import Cost, cost, model_cost
from ..config.read import load_config
from ..engine.precision import autocast_networks
from ..errors import UserError
from ..exported.runtimes import is_exported
from ..model_state import in_mode
from .files import exported
from .setting import RunSetting

# MMDetection's own, as its configs of these names build them, but that in a training step all norms take the
# batch's statistics.
PEERS = {
    'resnet50': dict(type='mmdet.ResNet', depth=50, norm_eval=False),
    'swin_t': dict(
        type='mmdet.SwinTransformer', embed_dims=96, depths=(2, 2, 6, 2), num_heads=(3, 6, 12, 24)
    ),
    'pvtv2_b2': dict(type='mmdet.PyramidVisionTransformerV2', embed_dims=64, num_layers=[3, 4, 6, 3]),
}


class TimedModel(NamedTuple):
    """A model, ready to run.

    cost: of one image, forward; None of an exported file.
    """

    name: str
    cost: Cost | None
    run: Callable[[], Any]


def timed_model(name: str, setting: RunSetting) -> TimedModel:
    """A model by its name.

    Args:
        name: a class of `vitdense.backbones` and a variant, `TransCNN:small`, with more of its arguments
            where there are any, `SuperViT:deit_s,keep_rate=0.5`; a name in `PEERS`; `timm:` and a model of
            timm, whose features are timed; a config of a detector or a segmentor, ours by its path,
            MMDetection's by `mmdet:retinanet/retinanet_r50_fpn_1x_coco.py`; or an exported file (`files.py`).
        setting: what to run.

    Raises:
        UserError: there is no such model, or it does not take such images.
    """
    if name.endswith('.py'):
        return _whole(name, setting)
    if is_exported(name):
        return TimedModel(name, None, exported(name, setting))
    backbone: Any = _backbone(name).to(setting.device).to(memory_format=torch.channels_last)
    backbone.train(setting.training)
    image = torch.randn(setting.batch, 3, *setting.size, device=setting.device)
    image = image.contiguous(memory_format=torch.channels_last)
    if setting.fused:
        backbone = _fused(name, backbone)
    features = backbone.forward_features if name.startswith('timm:') else backbone
    try:
        counted = _forward_cost(backbone, image[:1])
    except (AssertionError, RuntimeError, ValueError) as error:
        size = ' × '.join(map(str, setting.size))
        raise UserError(f'{name}: does not take images of {size}: {error}') from error
    if setting.compiled:
        features = torch.compile(features, dynamic=False)

    def forward() -> None:
        with torch.no_grad(), setting.autocast():
            features(image)

    def train() -> None:
        with setting.autocast():
            maps = features(image)
        maps = [maps] if isinstance(maps, Tensor) else maps
        sum(map.float().square().mean() for map in maps).backward()
        for parameter in backbone.parameters():
            parameter.grad = None

    return TimedModel(name, counted, train if setting.training else forward)


def _fused(name: str, backbone: Any) -> Any:
    """A backbone with its batch norms folded into convolutions: the same map."""
    if isinstance(backbone, Pyramid):
        return backbone.fuse()
    if any(isinstance(module, BatchNormAct2d) for module in backbone.modules()):
        raise UserError(f'{name}: --fuse: its batch norms hold activations and are not folded')
    return fuse_conv_bn(backbone)


def _forward_cost(backbone: nn.Module, image: Tensor) -> Cost:
    with in_mode(backbone, training=False):
        counted, _, _ = cost(backbone, image)
    return counted


def _backbone(name: str) -> nn.Module:
    if name in PEERS:
        import mmdet.models  # noqa: F401 (registers them)

        return MODELS.build(PEERS[name])
    kind, _, words = name.partition(':')
    if kind == 'timm':
        if not timm.is_model(words):
            raise UserError(f'{name}: timm has no such model')
        return timm.create_model(words, num_classes=0)
    if kind not in backbones.__all__:
        known = [*backbones.__all__, *PEERS, 'timm:NAME', 'CONFIG.py']
        raise UserError(f'{name}: no such model; known: {", ".join(known)}')
    arch, _, more = words.partition(',')
    try:
        arguments = _arguments(more)
        return getattr(backbones, kind)(arch or next(iter(getattr(backbones, kind).archs)), **arguments)
    except (SyntaxError, TypeError, ValueError) as error:
        raise UserError(f'{name}: {error}') from error


def _arguments(words: str) -> dict[str, Any]:
    """Of `out_indices=(1, 2),with_cp=True`."""
    call = ast.parse(f'f({words})', mode='eval').body
    if not isinstance(call, ast.Call) or call.args or any(word.arg is None for word in call.keywords):
        raise ValueError(f'expected KEY=VALUE, got {words!r}')
    return {str(word.arg): ast.literal_eval(word.value) for word in call.keywords}


def _whole(name: str, setting: RunSetting) -> TimedModel:
    """A detector or a segmentor: from a normalised image to boxes or label maps."""
    if setting.training:
        raise UserError(f'{name}: a whole model is timed at inference; for a training step name its backbone')
    path = name
    if name.startswith('mmdet:'):
        import mmdet

        path = str(Path(mmdet.__file__).parent / '.mim/configs' / name.removeprefix('mmdet:'))
    cfg = load_config(path)
    cfg.setdefault('default_scope', 'mmdet')
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        model: Any = MODELS.build(cfg.model)
    _predict_much(model.test_cfg)
    model.eval().to(setting.device).to(memory_format=torch.channels_last)
    if setting.fused:
        model.backbone = _fused(name, model.backbone)
    if setting.dtype != torch.float32:
        autocast_networks(model, setting.device.type, setting.dtype)
    if setting.compiled:
        model.backbone = torch.compile(model.backbone, dynamic=False)
    image = torch.randn(setting.batch, 3, *setting.size, device=setting.device)
    image = image.contiguous(memory_format=torch.channels_last)
    samples = _samples(cfg, setting)

    def predict() -> None:
        with torch.no_grad():
            model.predict(image, samples)

    return TimedModel(name, sum(model_cost(cfg, setting.size).values(), Cost()), predict)


def _predict_much(test_cfg: ConfigDict) -> None:
    """Let the most detections through that a config allows: an untrained model is sure of none."""
    for part in (test_cfg, test_cfg.get('rcnn')):
        if part and 'score_thr' in part:
            part.score_thr = 0


def _samples(cfg: Config, setting: RunSetting) -> Sequence[Any]:
    size = dict(
        img_shape=setting.size, ori_shape=setting.size, pad_shape=setting.size, batch_input_shape=setting.size
    )
    if cfg.default_scope == 'mmseg':
        from mmseg.structures import SegDataSample as Sample
    else:
        from mmdet.structures import DetDataSample as Sample
    return [Sample(metainfo=dict(size, scale_factor=(1.0, 1.0))) for _ in range(setting.batch)]
