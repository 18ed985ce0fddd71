"""A ResNet with parts behind its stages: the basic blocks of ResNet-18 and ResNet-34 take no plug-ins."""

from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.registry import MODELS
from torch import nn

# The networks of MMDetection and MMSegmentation whose stages are sequences of residual blocks.
NETWORKS = ('ResNet', 'ResNetV1c', 'ResNetV1d', 'ResNeXt', 'RegNet', 'Res2Net', 'ResNeSt')


@MODELS.register_module(force=True)
def PluggedBackbone(network: str, plugins: Sequence[Mapping[str, Any]], **arguments: Any) -> nn.Module:
    """Build a network of the library whose config this is, and append parts to its stages.

    A part sees the map that its stage ends with; the next stage and the neck see what the part makes of it.
    The network stays the library's own, so its other arguments, the names of its parameters and thereby its
    pretrained weights are as before.

    Args:
        network: one of `NETWORKS`.
        plugins: dicts of `cfg`, the part's type and arguments without `in_channels`, and `stages`, for each
            stage whether it gets one; all do without it.
        **arguments: of the network.

    Raises:
        ValueError: another network; a plug-in with other entries, or with another number of stages.
    """
    if network not in NETWORKS:
        raise ValueError(f'network={network!r}: expected {", ".join(NETWORKS)}')
    built = MODELS.build(dict(arguments, type=network))
    for plugin in plugins:
        _append(built, dict(plugin))
    built.train(built.training)  # what was appended to a frozen stage is frozen, too
    return built


def _append(network: nn.Module, plugin: dict[str, Any]) -> None:
    names = list(network.res_layers)  # type: ignore[arg-type]
    unknown = plugin.keys() - {'cfg', 'stages'}
    if unknown or 'cfg' not in plugin:
        raise ValueError(
            f'plugins: expected `cfg` and `stages`, got {", ".join(plugin)}; a `position` is inside of a '
            f'Bottleneck, whose ResNet takes `plugins` itself'
        )
    stages = plugin.get('stages', (True,) * len(names))
    if len(stages) != len(names):
        raise ValueError(f'plugins: stages={stages}: the network has {len(names)} stages')
    for name, wanted in zip(names, stages, strict=True):
        if wanted:
            stage = getattr(network, name)
            stage.append(MODELS.build(dict(plugin['cfg'], in_channels=_channels(stage))))


def _channels(stage: nn.Sequential) -> int:
    """Of the map that a stage ends with: basic blocks end with their second norm, others with their third."""
    block: Any = [block for block in stage if hasattr(block, 'norm1')][-1]  # before parts that are there
    return len((block.norm3 if hasattr(block, 'norm3') else block.norm2).weight)
