"""Multi-head attention between its projections: heads are split, attend, and are joined again."""

import torch.nn.functional as F
from torch import Tensor


def split_heads(tokens: Tensor, parts: int, heads: int) -> tuple[Tensor, ...]:
    """(B, N, parts·C) → `parts` views (B, heads, N, C/heads)."""
    return tokens.unflatten(2, (parts, heads, -1)).permute(2, 0, 3, 1, 4).unbind()


def attend(q: Tensor, k: Tensor, v: Tensor, *, mask: Tensor | None = None) -> Tensor:
    """Softmax attention of heads (B, heads, N, d), joined: (B, N, heads·d)."""
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2).flatten(2)
