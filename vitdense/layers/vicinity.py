"""Vicinity attention of VVT: weights that fall with the distance, at a cost linear in pixels.

Source: W. Sun, Z. Qin, H. Deng, J. Wang, Y. Zhang, K. Zhang, N. Barnes, S. Birchfield, L. Kong, Y. Zhong,
"Vicinity Vision Transformer", IEEE TPAMI 2023 (arXiv 2206.10552), section 3.
"""

import math
from contextlib import nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .linear import PointwiseLinear


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
