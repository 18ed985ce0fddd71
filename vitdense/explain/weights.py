"""Attention weights written out from what a layer attended with, and held against what it computed.

No layer makes the matrix of its weights: the kernels of torch never store it, and VVT's sums are factored.
Here the rows that a picture needs are made in float64 from the paper's formula. Each row has to sum to 1 and,
multiplied by the values, to give the layer's own output; a row that does not is an error, and no picture.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..layers.vicinity import bound

TOLERANCE = (
    1e-4  # of the largest value: float32 sums over 10⁴ pixels, and its exponentials of scores up to 100
)
ROWS = 1 << 24  # numbers of a part of the matrix, 128 MB


class NotItsOutput(RuntimeError):
    """Weights that are not the layer's: they do not sum to 1, or do not give its output."""


@dataclass(frozen=True, eq=False)
class Attention(ABC):
    """One attention of a layer, of one batch.

    layer: its name in the backbone.
    q, k, v: what attended, by heads.
    output: what the layer made of them, before its heads are joined.
    """

    layer: str
    q: Tensor
    k: Tensor
    v: Tensor
    output: Tensor

    @property
    @abstractmethod
    def queries(self) -> int:
        """How many there are."""

    def weights(self, rows: Sequence[int] | Tensor, item: int = 0) -> Tensor:
        """The weights (heads, len(rows), keys) of some queries, in float64.

        Args:
            rows: the queries' numbers.
            item: of the batch.

        Raises:
            NotItsOutput: they do not sum to 1, or do not give the layer's output.
        """
        rows = torch.as_tensor(rows, dtype=torch.long)
        weights, made, output, values = self._rows(rows, item)
        sums = weights.sum(2)
        if not torch.allclose(sums[sums != 0], sums.new_ones(()), rtol=0, atol=1e-9):
            raise NotItsOutput(f'{self.layer}: attention weights sum to {sums.min():.6f} to {sums.max():.6f}')
        error = (made - output).abs().max() / values.abs().max().clamp(min=1e-4)
        if not error <= TOLERANCE:
            raise NotItsOutput(f"{self.layer}: attention weights miss the layer's output by {error:.1e}")
        return weights

    def columns(self, keys: Sequence[int], item: int = 0) -> Tensor:
        """The weights (heads, queries, len(keys)) that all queries give to some keys; raises as `weights`."""
        return torch.cat([part[:, :, list(keys)] for part in self.parts(item)], 1)

    def parts(self, item: int = 0) -> list[Tensor]:
        """All rows, some at a time."""
        some = max(1, ROWS // max(1, self.k.shape[1] * math.prod(self.k.shape[2:-1])))
        numbers = torch.arange(self.queries)
        return [self.weights(part, item) for part in numbers.split(some)]

    @abstractmethod
    def _rows(self, rows: Tensor, item: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Of some queries: weights, what they make of the values, the layer's output; and the values."""


@dataclass(frozen=True, eq=False)
class SoftmaxAttention(Attention):
    """softmax(q kᵀ/√d) v of q, k, v (B, heads, N, d); `mask`, if any, is true for the keys that are seen."""

    mask: Tensor | None = None

    @property
    def queries(self) -> int:
        return self.q.shape[2]

    def _rows(self, rows: Tensor, item: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        q, k, v = (t[item].double() for t in (self.q, self.k, self.v))
        scores = q[:, rows] @ k.transpose(1, 2) / math.sqrt(q.shape[2])
        if self.mask is not None:
            mask = self.mask.expand(*self.q.shape[:3], self.k.shape[2])[item][:, rows]
            scores = scores.masked_fill(~mask, -math.inf)
        weights = scores.softmax(2)
        return weights, weights @ v, self.output[item][:, rows].double(), v


@dataclass(frozen=True, eq=False)
class VicinityWeights(Attention):
    """VVT's, of rectified q and k, and v (B, heads, H, W, d): relu(q_i)·relu(k_j)·(cos + cos) / Σ_j.

    A query that no key answers has weights of zero. The authors' code, whose numbers the layer keeps, bounds
    sums and quotients (`bound`), which is no part of the weights: the layer's output is compared with theirs
    under the same bounds.
    """

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of the map."""
        return self.q.shape[2], self.q.shape[3]

    @property
    def queries(self) -> int:
        return math.prod(self.size)

    def vicinity(self, rows: Tensor) -> Tensor:
        """cos(π/2 · (r − r')/H) + cos(π/2 · (c − c')/W) of some pixels and all: (len(rows), HW), float64."""
        height, width = self.size
        r, c = torch.arange(height).double(), torch.arange(width).double()
        by_row = (math.pi / 2 * (rows[:, None] // width - r) / height).cos()  # (rows, H)
        by_column = (math.pi / 2 * (rows[:, None] % width - c) / width).cos()  # (rows, W)
        return (by_row[:, :, None] + by_column[:, None, :]).flatten(1)

    def _rows(self, rows: Tensor, item: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        q, k, v = (t[item].flatten(1, 2).double() for t in (self.q, self.k, self.v))
        raw = q[:, rows] @ k.transpose(1, 2) * self.vicinity(rows)
        total = raw.sum(2, keepdim=True)
        weights = torch.where(total > 0, raw / total, 0.0)
        sums = raw @ v + self._added_by_bounds(q[:, rows], rows, k, v)
        made = bound(bound(sums) * bound(1 / (total + 1e-4)))
        return weights, made, self.output[item].flatten(1, 2)[:, rows].double(), v

    def _added_by_bounds(self, q: Tensor, rows: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """What the bounds of Σ_j wave(j) · k_j v_jᵀ add to Σ_j weight · v_j of some queries q (heads, n, d).

        The layer makes these sums of d × d numbers once for all queries. Small ones are raised to 1e-4: of a
        map of few pixels, or of values near zero, it shows in the output.
        """
        height, width = self.size
        pixels = torch.arange(height * width)
        added = torch.zeros_like(q)
        for of_queries, of_keys, length in (
            (rows // width, pixels // width, height),
            (rows % width, pixels % width, width),
        ):
            for wave in (torch.cos, torch.sin):
                there, here = (
                    wave(math.pi / 2 / length * one.double())[:, None] for one in (of_keys, of_queries)
                )
                sums = (there * k).transpose(1, 2) @ v
                added += here * (q @ (bound(sums) - sums))
        return added
