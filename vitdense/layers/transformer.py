"""The transformer block of ViT and DeiT, which PiT and SuperViT take as it is.

Source: A. Dosovitskiy et al., "An Image is Worth 16x16 Words", arXiv 2010.11929, section 3.1.
"""

from torch import Tensor, nn

from .attention import attend, split_heads
from .drop_path import DropPath
from .gelu import gelu
from .linear import PointwiseLinear


class SelfAttention(nn.Module):
    """Softmax attention of all tokens to each other in `heads` heads."""

    def __init__(self, dim: int, heads: int):
        super().__init__()
        self.heads = heads
        self.qkv = PointwiseLinear(dim, 3 * dim)
        self.proj = PointwiseLinear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, C) → the same shape."""
        return self.attend(*self.split(x))

    def split(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values of tokens (B, N, C), each (B, heads, N, C/heads)."""
        q, k, v = split_heads(self.qkv(x), 3, self.heads)
        return q, k, v

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Heads (B, heads, N, C/heads) → (B, N, C), joined and projected."""
        return self.proj(attend(q, k, v))


class Mlp(nn.Module):
    """Two linear layers with GELU between them."""

    def __init__(self, dim: int, hidden: int):
        super().__init__()
        self.fc1 = PointwiseLinear(dim, hidden)
        self.fc2 = PointwiseLinear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, C) → the same shape."""
        return self.fc2(gelu(self.fc1(x)))


class Block(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x)), each under stochastic depth."""

    def __init__(self, dim: int, heads: int, mlp_ratio: float, drop_path: float):
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attn = SelfAttention(dim, heads)
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = Mlp(dim, int(dim * mlp_ratio))
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, C) → the same shape."""
        x = x + self.drop_path(self.attn(self.norm1(x)))
        return x + self.drop_path(self.mlp(self.norm2(x)))
