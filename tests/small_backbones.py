"""A row for every backbone: what the tests need to know of it. A new backbone is a new row."""

from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from vitdense.backbones import VVT, DualTokenViT, HATNet, PiT, SuperViT, TransCNN
from vitdense.backbones.pyramid import Pyramid


class Row(NamedTuple):
    backbone: type[Pyramid]
    arch: dict[str, Any]
    """A variant small enough for a test, and its channels and strides."""
    channels: list[int]
    strides: list[int]
    smallest: str
    """Name of the smallest variant of the paper."""
    settings: dict[str, dict[str, Any]] = {}
    """Other arguments by what they are called in a test's name; each is tested like a backbone of its own."""
    idle: tuple[str, ...] = ()
    """Prefixes of parameters that some images leave without influence: their gradient may be all zeros."""
    released_arch: dict[str, Any] | None = None
    """Variant of the authors' state dict in `tests/reference`; None where there is none."""
    other_arch: dict[str, Any] = {}
    """Fields that make another variant of that, which its state dict does not fit."""


_FOUR_STAGES = dict(channels=[8, 16, 24, 32], strides=[4, 8, 16, 32], smallest='tiny')
_HIERARCHICAL = dict(
    dims=(8, 16, 24, 32),
    depths=(1, 1, 2, 1),
    head_dim=8,
    expansions=(2, 2, 2, 2),
    pool_ratios=(8, 4, 2, 1),
    kernel_sizes=(5, 3, 5, 3),
)
_RELEASED_HIERARCHICAL = dict(
    dims=(16, 32, 48, 64),
    head_dim=16,
    depths=(1, 1, 2, 1),
    pool_ratios=(8, 4, 2, 1),
    kernel_sizes=(5, 3, 5, 3),
)
SMALL = {
    'TransCNN': Row(
        TransCNN,
        dict(_HIERARCHICAL, grid_sizes=(8, 8, 8, 1)),
        **_FOUR_STAGES,
        released_arch=dict(_RELEASED_HIERARCHICAL, grid_sizes=(8, 8, 8, 1), expansions=(4, 4, 6, 6)),
        other_arch=dict(depths=(1, 1, 3, 1)),
    ),
    'HATNet': Row(
        HATNet,
        dict(_HIERARCHICAL, grid_sizes=(8, 7, 7, 1)),
        **_FOUR_STAGES,
        released_arch=dict(_RELEASED_HIERARCHICAL, grid_sizes=(8, 4, 4, 1), expansions=(8, 8, 4, 4)),
        other_arch=dict(expansions=(8, 8, 4, 6)),
    ),
    'VVT': Row(
        VVT,
        dict(
            dims=(8, 16, 24, 32),
            depths=(1, 1, 2, 1),
            heads=(1, 2, 3, 4),
            mlp_ratios=(2, 2, 2, 2),
            feature_reduction=2,
            gate_reduction=1,
        ),
        **_FOUR_STAGES,
        released_arch=dict(
            dims=(16, 32, 40, 32),
            depths=(1, 1, 2, 1),
            heads=(1, 2, 5, 4),
            mlp_ratios=(8, 8, 4, 4),
            feature_reduction=2,
            gate_reduction=1,
        ),
        other_arch=dict(mlp_ratios=(8, 8, 4, 8)),
    ),
    'PiT': Row(
        PiT,
        dict(
            image_size=64, patch_size=16, stride=8, head_dim=8, heads=(1, 2, 4), depths=(1, 2, 1), mlp_ratio=2
        ),
        channels=[8, 16, 32],
        strides=[8, 16, 32],
        smallest='ti',
        released_arch=dict(
            image_size=80, patch_size=16, stride=8, head_dim=8, heads=(2, 4, 8), depths=(1, 2, 1), mlp_ratio=4
        ),
        other_arch=dict(depths=(1, 3, 1)),
    ),
    'SuperViT': Row(
        SuperViT,
        dict(
            image_sizes=(32, 48, 64),
            patch_size=16,
            dim=32,
            depth=6,
            heads=2,
            mlp_ratio=2,
            pruned_blocks=(1, 3, 4),
        ),
        channels=[8, 16, 32, 32],
        strides=[4, 8, 16, 32],
        smallest='deit_s',
        settings={'dials turned': dict(scale=5 / 7, keep_rate=0.7)},
        idle=('stem.positions.',),  # of several tables an image takes one
        released_arch=dict(
            image_sizes=(48, 64, 96),
            patch_size=16,
            dim=32,
            depth=12,
            heads=2,
            mlp_ratio=2,
            pruned_blocks=(3, 6, 9),
        ),
        other_arch=dict(depth=13),
    ),
    'DualTokenViT': Row(
        DualTokenViT,
        dict(
            dims=(8, 16, 24),
            depths=(1, 2, 1),
            heads=(1, 2, 3),
            mlp_ratios=(2, 2, 2),
            kernel_sizes=(5, 7, 0),
            token_grid=(7, 7),
            alpha=0.1,
            token_mlp='mix',
        ),
        channels=[8, 16, 24],
        strides=[8, 16, 32],
        smallest='t',
        settings={'ablated': dict(token_grid=0, downsampling='one_step', local='window')},
    ),
}
SETTINGS = {name: {} for name in SMALL} | {
    f'{name}, {setting}': arguments
    for name, row in SMALL.items()
    for setting, arguments in row.settings.items()
}
"""Arguments by the name of what is tested: every backbone as it is, and in its other settings."""


def row_of(name: str) -> Row:
    """The row of a backbone in one of its settings."""
    return SMALL[name.split(',')[0]]


def build(name: str, **arguments: Any) -> Pyramid:
    """A small network in eval mode, the same at every call.

    All its parameters and statistics are random: none hides a mistake behind a 0 or a 1.
    """
    row = row_of(name)
    torch.manual_seed(1)  # with 0, two tokens of SuperViT score so nearly the same that bfloat16 swaps them
    network = row.backbone(**{'arch': row.arch, **SETTINGS[name], **arguments})
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        for norm in batch_norms(network):
            norm.running_mean.normal_(std=0.1)
            norm.running_var.uniform_(0.5, 1.5)
    return network.eval()


@cache
def shared(name: str) -> Pyramid:
    """The network of `build` for tests that only look at it."""
    return build(name)


def images(*shape: int, seed: int = 1, **options: Any) -> Tensor:
    """A batch of normal noise, the same at every call."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(**options)


def batch_norms(network: nn.Module) -> list[_BatchNorm]:
    return [module for module in network.modules() if isinstance(module, _BatchNorm)]
