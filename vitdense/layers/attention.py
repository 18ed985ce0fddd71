"""Multi-head attention between its projections: heads are split, attend, and are joined again."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ..compat import has_bfloat16_products, runs_eagerly_on_cpu

WEIGHTS = 1 << 21  # at a time: 4 MB in bfloat16
LEAST_ROWS = 64  # of queries, whose product with the keys is then quick


def split_heads(tokens: Tensor, parts: int, heads: int) -> tuple[Tensor, ...]:
    """(B, N, parts·C) → `parts` views (B, heads, N, C/heads)."""
    return tokens.unflatten(2, (parts, heads, -1)).permute(2, 0, 3, 1, 4).unbind()


def attend(q: Tensor, k: Tensor, v: Tensor, *, mask: Tensor | None = None) -> Tensor:
    """Softmax attention of heads (B, heads, N, d), joined: (B, N, heads·d)."""
    if mask is None and (parts := _parts(q)) > 1:
        return _in_parts(q, k, v, parts)
    if mask is None and _is_quick_in_products(q, k, v):
        return _in_products(q, k, v)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2).flatten(2)


def _parts(q: Tensor) -> int:
    """Into how many parts the queries of a training step are cut, so that each thread of a CPU has one.

    torch's backward pass has one thread for each head of each image: of one image with one head, one works.
    """
    if not runs_eagerly_on_cpu(q) or not (q.requires_grad and torch.is_grad_enabled()):
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


def _is_quick_in_products(q: Tensor, k: Tensor, v: Tensor) -> bool:
    """Whether attention is quicker as two products than by torch's kernel, which computes in float32.

    By a third, at inference in bfloat16 on a CPU whose products of bfloat16 are twice as fast as of float32.
    """
    if q.dtype is not torch.bfloat16 or not runs_eagerly_on_cpu(q):
        return False
    trains = torch.is_grad_enabled() and any(t.requires_grad for t in (q, k, v))
    return not trains and has_bfloat16_products()


def _in_products(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """softmax(q kᵀ/√d) v, the weights of some queries at a time."""
    batch, heads = q.shape[:2]
    scale = q.shape[3] ** -0.5
    q, k, v = (t.flatten(0, 1) for t in (q, k, v))  # (B·heads, N, d)
    keys = k.transpose(1, 2)
    nothing = q.new_empty(1)
    rows = min(q.shape[1], max(LEAST_ROWS, WEIGHTS // k.shape[1]))
    some = max(1, WEIGHTS // (rows * k.shape[1]))  # heads at a time
    seen = torch.empty_like(q)
    for i in range(0, len(q), some):
        for j in range(0, q.shape[1], rows):
            part = q[i : i + some, j : j + rows]
            weights = torch.baddbmm(nothing, part, keys[i : i + some], beta=0, alpha=scale).softmax(2)
            torch.bmm(weights, v[i : i + some], out=seen[i : i + some, j : j + rows])
    return seen.unflatten(0, (batch, heads)).transpose(1, 2).flatten(2)
