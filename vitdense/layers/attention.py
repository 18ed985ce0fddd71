"""Multi-head attention between its projections: heads are split, attend, and are joined again."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ..compat import is_compiling, is_exporting


def split_heads(tokens: Tensor, parts: int, heads: int) -> tuple[Tensor, ...]:
    """(B, N, parts·C) → `parts` views (B, heads, N, C/heads)."""
    return tokens.unflatten(2, (parts, heads, -1)).permute(2, 0, 3, 1, 4).unbind()


def attend(q: Tensor, k: Tensor, v: Tensor, *, mask: Tensor | None = None) -> Tensor:
    """Softmax attention of heads (B, heads, N, d), joined: (B, N, heads·d)."""
    if mask is None and (parts := _parts(q)) > 1:
        return _in_parts(q, k, v, parts)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2).flatten(2)


def _parts(q: Tensor) -> int:
    """Into how many parts the queries of a training step are cut, so that each thread of a CPU has one.

    torch's backward pass has one thread for each head of each image: of one image with one head, one works.
    """
    if is_exporting() or is_compiling() or q.device.type != 'cpu':
        return 1
    if not (q.requires_grad and torch.is_grad_enabled()):
        return 1
    parts = torch.get_num_threads() // (q.shape[0] * q.shape[1])
    return parts if parts > 1 and q.shape[2] % parts == 0 else 1


def _in_parts(q: Tensor, k: Tensor, v: Tensor, parts: int) -> Tensor:
    """Each part of the queries as a head of its own, with the same keys and values."""
    batch, heads = q.shape[:2]
    q = q.unflatten(2, (parts, -1)).flatten(1, 2)  # (B, heads·parts, N/parts, d)
    k, v = (t.unsqueeze(2).expand(-1, -1, parts, -1, -1).flatten(1, 2) for t in (k, v))
    seen = F.scaled_dot_product_attention(q, k, v).unflatten(1, (heads, parts))
    return seen.permute(0, 2, 3, 1, 4).reshape(batch, -1, heads * q.shape[-1])
