"""Vicinity Vision Transformer (VVT): attention that favours what is near, at a cost linear in pixels.

Source: W. Sun, Z. Qin, H. Deng, J. Wang, Y. Zhang, K. Zhang, N. Barnes, S. Birchfield, L. Kong, Y. Zhong,
"Vicinity Vision Transformer", IEEE TPAMI 2023 (arXiv 2206.10552), section 3.

The authors' code: github.com/OpenNLPLab/Vicinity-Vision-Transformer; no licence found. Their weights, of
224 × 224 training: OneDrive, linked from its README.
"""

import math
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.registry import MODELS
from torch import Tensor, nn

from ..layers.drop_path import DropPath, drop_path_rates
from ..layers.gelu import gelu
from ..layers.init import trunc_normal_
from ..layers.linear import PointwiseLinear
from ..layers.norm import LayerNorm2d
from ..layers.vicinity import VicinityAttention
from .pyramid import Pyramid

# Parameters and multiply-adds at 224×224 as the authors count them, with the 1000-class classifier.
# fmt: off
_WIDTHS = dict(dims=(96, 160, 320, 512), heads=(1, 2, 5, 8), feature_reduction=2, gate_reduction=1)
VARIANTS = {
    'tiny':   dict(depths=(2, 2, 2, 2),  mlp_ratios=(8, 8, 4, 4), **_WIDTHS),  # 12.9 M, 3.0 G
    'small':  dict(depths=(3, 3, 9, 3),  mlp_ratios=(8, 8, 4, 4), **_WIDTHS),  # 25.5 M, 5.6 G
    'medium': dict(depths=(3, 3, 27, 3), mlp_ratios=(8, 8, 4, 4), **_WIDTHS),  # 47.9 M, 9.4 G
    'large':  dict(depths=(4, 4, 36, 4), mlp_ratios=(4, 4, 4, 4), **_WIDTHS),  # 61.8 M, 10.8 G
}
# fmt: on


class ConvMLP(nn.Module):
    """Two linear layers with a 3×3 depthwise convolution and GELU between them; (B, H, W, C) → the same."""

    def __init__(self, dim: int, ratio: int):
        super().__init__()
        hidden = dim * ratio
        self.fc1 = PointwiseLinear(dim, hidden)
        self.conv = nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden)
        self.fc2 = PointwiseLinear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(self.fc1(x).permute(0, 3, 1, 2))
        return self.fc2(gelu(x).permute(0, 2, 3, 1))


class VicinityBlock(nn.Module):
    """x + attention(norm(x)), then x + MLP(norm(x)), each under stochastic depth."""

    def __init__(self, dim: int, attn: nn.Module, mlp: nn.Module, drop_path: float):
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attn = attn
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = mlp
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → the same shape."""
        x = x.permute(0, 2, 3, 1)
        x = x + self.drop_path(self.attn(self.norm1(x)))
        x = x + self.drop_path(self.mlp(self.norm2(x)))
        return x.permute(0, 3, 1, 2)


def patch_embed(in_dim: int, dim: int, kernel_size: int, stride: int) -> nn.Sequential:
    """Overlapping patches: (B, C, H, W) → (B, C', ⌈H/stride⌉, ⌈W/stride⌉), normalised over channels."""
    conv = nn.Conv2d(in_dim, dim, kernel_size, stride=stride, padding=kernel_size // 2)
    return nn.Sequential(OrderedDict(proj=conv, norm=LayerNorm2d(dim, eps=1e-5)))


@MODELS.register_module(force=True)
class VVT(Pyramid):
    """VVT pyramid, strides 4, 8, 16, 32.

    Four stages, each of an overlapping patch embedding, vicinity blocks and a last norm, whose output is
    both the stage's map and what the next stage takes. See `Pyramid` for the other arguments.

    Args:
        drop_path_rate: stochastic depth of the last block; the rate grows linearly from 0 at the first.
    """

    archs = VARIANTS
    released_names = (
        (r'^patch_embed1\.', 'stem.'),
        (r'^patch_embed(\d)\.', lambda m: f'stages.{int(m[1]) - 1}.downsample.'),
        (r'^block(\d)\.(\d+)\.', lambda m: f'stages.{int(m[1]) - 1}.blocks.{m[2]}.'),
        (r'^norm(\d)\.', lambda m: f'stages.{int(m[1]) - 1}.norm.'),
        (r'\.attn\.(q|k|v)_proj\.', r'.attn.\1.'),
        (r'\.attn\.out_proj\.', '.attn.proj.'),
        (r'\.attn\.se_fc\.', '.attn.gate.'),
        (r'\.dwconv\.dwconv\.', '.conv.'),
    )
    released_head = ('head.',)

    def __init__(
        self,
        arch: str | Mapping[str, Any] = 'small',
        drop_path_rate: float = 0.0,
        out_indices: Sequence[int] = (0, 1, 2, 3),
        frozen_stages: int = -1,
        norm_eval: bool = False,
        with_cp: bool = False,
        init_cfg: dict | list[dict] | None = None,
    ):
        a = self.variant(arch)
        super().__init__(
            arch=a,
            channels=a.dims,
            strides=(4, 8, 16, 32),
            out_indices=out_indices,
            frozen_stages=frozen_stages,
            norm_eval=norm_eval,
            with_cp=with_cp,
            init_cfg=init_cfg,
        )
        rates = drop_path_rates(drop_path_rate, a.depths)
        self.stem = patch_embed(self.in_channels, a.dims[0], 7, 4)
        for i in range(self.stages_needed):
            self.add_stage(
                downsample=patch_embed(a.dims[i - 1], a.dims[i], 3, 2) if i > 0 else None,
                blocks=self.blocks([self._block(a, i, rate) for rate in rates[i]]),
                norm=LayerNorm2d(a.dims[i], eps=1e-6),
            )
        self.apply(self._init)
        self.freeze()

    @staticmethod
    def _block(a: Any, i: int, drop_path: float) -> VicinityBlock:
        dim = a.dims[i]
        attn = VicinityAttention(dim, a.heads[i], a.feature_reduction, a.gate_reduction)
        return VicinityBlock(dim, attn, ConvMLP(dim, a.mlp_ratios[i]), drop_path)

    @staticmethod
    def _init(module: nn.Module) -> None:
        if isinstance(module, nn.Linear):
            trunc_normal_(module.weight, std=0.02)
        elif isinstance(module, nn.Conv2d):
            fan_out = module.out_channels // module.groups * math.prod(module.kernel_size)
            nn.init.normal_(module.weight, std=math.sqrt(2 / fan_out))
        bias = getattr(module, 'bias', None)
        if bias is not None:
            nn.init.zeros_(bias)
