"""Stochastic depth: residual branches that are dropped at random in training.

Source: G. Huang, Y. Sun, Z. Liu, D. Sedra, K. Weinberger, "Deep Networks with Stochastic Depth",
arXiv 1603.09382.
"""

from torch import Tensor, nn


class DropPath(nn.Module):
    """In training, the branch of an image is zero with probability p = `drop_prob`, else divided by 1 − p."""

    def __init__(self, drop_prob: float):
        super().__init__()
        self.drop_prob = drop_prob

    def forward(self, x: Tensor) -> Tensor:
        """(B, …) → the same shape."""
        if self.drop_prob == 0 or not self.training:
            return x
        keep_prob = 1 - self.drop_prob
        kept = x.new_empty(x.shape[0], *[1] * (x.ndim - 1)).bernoulli_(keep_prob)
        return x * (kept / keep_prob if keep_prob else kept)

    def extra_repr(self) -> str:
        return f'drop_prob={self.drop_prob:0.3f}'


def check_probability(rate: float) -> None:
    if not 0 <= rate <= 1:
        raise ValueError(f'drop_path_rate={rate}: expected a probability, 0 to 1')


def drop_path_rates(last: float, depths: tuple[int, ...]) -> list[list[float]]:
    """The schedule of most papers: rates grow linearly from 0 at the first block to `last` at the last.

    They are grouped by stage, and run over all of the variant's blocks, whether or not they are all built.

    Raises:
        ValueError: `last` is no probability.
    """
    check_probability(last)
    step = last / max(sum(depths) - 1, 1)
    rates = iter(range(sum(depths)))
    return [[next(rates) * step for _ in range(depth)] for depth in depths]
