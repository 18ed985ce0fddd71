"""Hierarchical multi-head self-attention (H-MHSA) of TransCNN and its successor HAT-Net.

Source: Y. Liu, Y.-H. Wu, G. Sun, L. Zhang, A. Chhatkuli, L. Van Gool, "Vision Transformers with Hierarchical
Attention", arXiv 2106.03180, section 3.
"""

from collections.abc import Callable

from torch import Tensor, nn

from .attention import attend, split_heads
from .cells import from_cells, to_cells
from .drop_path import DropPath
from .fold import fold_before
from .linear import PointwiseLinear

Norm = Callable[[int], nn.Module]


class HierarchicalAttention(nn.Module):
    """Attention inside grids of g × g pixels, then from every pixel to the average-pooled map.

    Both steps see the whole of what they need, so no token is dropped, and the cost of the first is linear
    in the number of pixels, that of the second quadratic with a factor 1/r².

        local  = attention of the pixels of a grid to each other
        x'     = norm(x + local)
        global = attention of x' to norm(pool_r(x'))
        output = proj(x' + global)

    With g = 1 there is no first step: plain attention among all pixels.

    Args:
        dim: channels C; `head_dim`: channels of a head; C is a multiple of it.
        grid_size: side g of a grid in pixels.
        pool_ratio: side r of the pooled windows in pixels; windows over the edge average their real pixels.
        norm: maker of a norm for C channels.
    """

    def __init__(self, dim: int, head_dim: int, grid_size: int, pool_ratio: int, norm: Norm):
        super().__init__()
        self.heads = dim // head_dim
        self.grid_size = grid_size
        self.norm = norm(dim)
        self.qkv = PointwiseLinear(dim, 3 * dim)
        self.proj = nn.Conv2d(dim, dim, 1)
        if grid_size > 1:
            self.grid_norm = norm(dim)
            self.q = nn.Conv2d(dim, dim, 1)
            # ceil_mode keeps the last rows and columns, whose windows average real pixels only
            self.pool = nn.AvgPool2d(pool_ratio, ceil_mode=True, count_include_pad=False)
            self.pool_norm = norm(dim)
            self.kv = nn.Conv2d(dim, 2 * dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → the same shape."""
        size = x.shape[2], x.shape[3]
        if self.grid_size == 1:
            tokens = self.norm(x).flatten(2).transpose(1, 2)  # (B, HW, C)
            return self.proj(_to_map(attend(*split_heads(self.qkv(tokens), 3, self.heads)), size))

        pixels, real = to_cells(self.norm(x), self.grid_size)  # (B·n, g², C)
        local = attend(*split_heads(self.qkv(pixels), 3, self.heads), mask=real)
        x = self.grid_norm(x + from_cells(local, size, self.grid_size))

        q = self.q(x).flatten(2).transpose(1, 2)  # (B, HW, C)
        kv = self.kv(self.pool_norm(self.pool(x))).flatten(2).transpose(1, 2)  # (B, ⌈H/r⌉⌈W/r⌉, 2C)
        seen = attend(*split_heads(q, 1, self.heads), *split_heads(kv, 2, self.heads))
        return self.proj(x + _to_map(seen, size))

    def fold(self) -> None:
        """Fold the norms where they are batch norms, but `grid_norm`, whose output is also the residual."""
        if isinstance(self.norm, nn.BatchNorm2d):
            fold_before(self.norm, self.qkv)
            self.norm = nn.Identity()
            if self.grid_size > 1:
                fold_before(self.pool_norm, self.kv)
                self.pool_norm = nn.Identity()


def _to_map(tokens: Tensor, size: tuple[int, int]) -> Tensor:
    """(B, HW, C) → (B, C, H, W), a view."""
    return tokens.unflatten(1, size).permute(0, 3, 1, 2)


class HierarchicalBlock(nn.Module):
    """x + attention(x), then x + convolution(x), each under stochastic depth."""

    def __init__(self, attn: nn.Module, conv: nn.Module, drop_path: float):
        super().__init__()
        self.attn = attn
        self.conv = conv
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) → the same shape."""
        x = x + self.drop_path(self.attn(x))
        return x + self.drop_path(self.conv(x))
