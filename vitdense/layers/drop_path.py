"""The stochastic-depth schedule that most of the papers share."""


def check_probability(rate: float) -> None:
    if not 0 <= rate <= 1:
        raise ValueError(f'drop_path_rate={rate}: expected a probability, 0 to 1')


def drop_path_rates(last: float, depths: tuple[int, ...]) -> list[list[float]]:
    """Rates that grow linearly from 0 at the first block to `last` at the last, grouped by stage.

    The schedule runs over all of the variant's blocks, whether or not they are all built.

    Raises:
        ValueError: `last` is no probability.
    """
    check_probability(last)
    step = last / max(sum(depths) - 1, 1)
    rates = iter(range(sum(depths)))
    return [[next(rates) * step for _ in range(depth)] for depth in depths]
