"""Vicinity Vision Transformer (VVT): attention that favours what is near, at a cost linear in pixels.

Source: W. Sun, Z. Qin, H. Deng, J. Wang, Y. Zhang, K. Zhang, N. Barnes, S. Birchfield, L. Kong, Y. Zhong,
"Vicinity Vision Transformer", IEEE TPAMI 2023 (arXiv 2206.10552), section 3.

The authors' code: github.com/OpenNLPLab/Vicinity-Vision-Transformer; no licence found. Their weights, of
224 × 224 training: OneDrive, linked from its README.
"""

import math
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.registry import MODELS
from torch import Tensor, nn

from ..layers.drop_path import DropPath, drop_path_rates
from ..layers.gelu import gelu
from ..layers.init import trunc_normal_
from ..layers.linear import PointwiseLinear
from ..layers.norm import LayerNorm2d
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


class VicinityAttention(nn.Module):
    """Attention whose weights fall with the distance in rows and in columns.

    Pixel i in row r, column c sees pixel j in row r', column c' with the weight

        relu(q_i)·relu(k_j) · (cos(π/2 · (r − r')/H) + cos(π/2 · (c − c')/W)),

    divided by the sum of its weights. Since cos(a − b) = cos a cos b + sin a sin b, keys and values can be
    summed over the map before they are multiplied by a query. Queries, keys and values have C/reduction
    channels (feature reduction), and a gate from the map's mean amplifies channels of the result (feature
    preserving connection).

    Args:
        dim: channels C; `heads`: the reduced channels are a multiple of it.
        feature_reduction, gate_reduction: divisors of C inside the attention and inside the gate.
    """

    def __init__(self, dim: int, heads: int, feature_reduction: int, gate_reduction: int):
        super().__init__()
        self.heads = heads
        self.q = PointwiseLinear(dim, dim // feature_reduction)
        self.k = PointwiseLinear(dim, dim // feature_reduction)
        self.v = PointwiseLinear(dim, dim // feature_reduction)
        self.proj = PointwiseLinear(dim // feature_reduction, dim)
        self.gate = nn.Sequential(
            nn.Linear(dim, dim // gate_reduction, bias=False),
            nn.ReLU(inplace=True),
            nn.Linear(dim // gate_reduction, dim, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, C) → the same shape."""
        q, k, v = self.split(x)
        seen = self.attend(q, k, v).permute(0, 2, 3, 1, 4).flatten(3)
        gate = self.gate(x.mean((1, 2)))[:, None, None]  # (B, 1, 1, C)
        return bound(self.proj(seen)) * (1 + gate)

    def split(self, x: Tensor) -> tuple[Tensor, ...]:
        """Rectified queries and keys, and values, of a map (B, H, W, C), each (B, heads, H, W, d)."""
        parts = F.relu(self.q(x)), F.relu(self.k(x)), self.v(x)
        batch, height, width, channels = parts[0].shape
        shape = batch, height, width, self.heads, channels // self.heads
        return tuple(part.reshape(shape).permute(0, 3, 1, 2, 4) for part in parts)

    @staticmethod
    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """The weighted mean of v for each q, all (B, heads, H, W, d), computed in float32 at least."""
        dtype = v.dtype
        # sums over 10⁵ pixels overflow float16 and lose the small terms in bfloat16
        with nullcontext() if v.is_meta else torch.autocast(v.device.type, enabled=False):
            q, k, v = (t.to(torch.promote_types(dtype, torch.float32)) for t in (q, k, v))
            by_row, rows_sum = nearby_rows(q, k, v)
            by_column, columns_sum = nearby_rows(*(t.transpose(2, 3) for t in (q, k, v)))
            weight = bound(1 / (rows_sum + columns_sum.transpose(2, 3) + 1e-4))
            return bound(bound(by_row + by_column.transpose(2, 3)) * weight).to(dtype)


def nearby_rows(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """Sums over all pixels j with the weights q_i·k_j · cos(π/2 · (r − r')/H) of their rows r and r'.

    The cosine is the same for all pixels of a row: each row's Σ k vᵀ is made once and re-weighted as a
    matrix. That is half the multiply-adds of re-weighting every key and query, and a quarter of the memory.

    q, k, v: (B, heads, H, W, d) → Σ_j weight · v_j (B, heads, H, W, d) and Σ_j weight (B, heads, H, W, 1).
    """
    batch, heads, height, _, dim = q.shape
    angle = torch.arange(height, device=q.device, dtype=q.dtype) * (math.pi / 2 / height)
    wave = torch.stack((angle.cos(), angle.sin()))  # (2, H)

    kv = (k.transpose(3, 4) @ v).reshape(batch, heads, height, dim * dim)  # row by row
    kv = wave.T @ bound(wave @ kv)  # summed over the map (B, heads, 2, d²), then as each row sees it
    k = wave.T @ (wave @ k.sum(3))  # (B, heads, H, d)
    return q @ kv.reshape(batch, heads, height, dim, dim), q @ k[..., None]


def bound(x: Tensor) -> Tensor:
    """Magnitudes held in [1e-4, 1e4], signs and zeros kept: not in the paper, but in the authors' code.

    The released weights were trained with it. It acts at dense sizes: more than some 10⁴ pixels of stage 1
    sum to weights above 1e4, whose reciprocal it raises.
    """
    return x.abs().clamp(1e-4, 1e4) * x.sign()


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
