"""The stochastic-depth schedule that most of the papers share."""


def drop_path_rates(last: float, depths: tuple[int, ...]) -> list[list[float]]:
    """Rates that grow linearly from 0 at the first block to `last` at the last, grouped by stage.

    The schedule runs over all of the variant's blocks, whether or not they are all built.
    """
    step = last / max(sum(depths) - 1, 1)
    rates = iter(range(sum(depths)))
    return [[next(rates) * step for _ in range(depth)] for depth in depths]
