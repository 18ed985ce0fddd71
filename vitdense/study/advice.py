"""Which one to take: the sentences at the head of a study's page, with their reasons and their limits."""

from collections.abc import Iterator, Sequence

from ..benchmark.timing import Load
from ..report.verdict import LITTLE
from ..show.scores import number
from .results import Row, comparison, front, incomparable

FEW_IMAGES = 500  # below, an interval over images is wide
FEW_SEEDS = 3


def advice(rows: Sequence[Row], wanted: float | None = None) -> list[str]:
    """Which one to take, and what each quicker one costs.

    Args:
        rows: of all candidates, measured.
        wanted: seconds of one image that may not be exceeded.
    """
    if reason := incomparable(rows):
        return [f'Their scores cannot be compared: {reason}.']
    best_first = front(rows)[::-1]
    if not best_first:
        scored = [row for row in rows if row.facts]
        if not scored:
            return ['No candidate was trained to its end, so there is nothing to advise.']
        top = max(scored, key=lambda row: row.score)
        return [f'No latency was measured; {top.name} has the highest {top.metric}, {number(top.score)}.']
    allowed = [row for row in best_first if not wanted or row.seconds <= wanted]
    if not allowed:
        fastest = best_first[-1]
        return [
            f'None answers within {1000 * (wanted or 0):g} ms: the fastest, {fastest.name}, takes '
            f'{_milliseconds(fastest)} here. Smaller images or a smaller variant may.'
        ]
    best, *quicker = allowed
    if best.score < LITTLE * best.unit:
        return [
            f'None has learned enough to choose by: the highest {best.metric} is {number(best.score)}, of '
            f'{best.name}. Train longer, or from weights.'
        ]
    if sum(bool(row.facts) for row in rows) == 1:
        return [
            f'{best.name} alone was scored: {best.metric} {number(best.score)}, {_milliseconds(best)} an '
            f'image. There is nothing to compare it with.'
        ]
    within = f' of those within {1000 * wanted:g} ms' if wanted else ''
    return [
        f'Take {best.name}: its {best.metric} of {number(best.score)} is the highest{within}, at '
        f'{_milliseconds(best)} an image.',
        *_close(best, rows, wanted),
        *(_price(best, row) for row in quicker),
    ]


def limits(rows: Sequence[Row], load: Load | None, trained: str) -> Iterator[str]:
    """What the advice does not rest on.

    Args:
        rows: of all candidates.
        load: of the machine while the latencies were measured.
        trained: how long each was trained, in words.
    """
    scored = [row for row in rows if row.facts]
    if not scored:
        return
    yield f'Each was trained {trained}; with a longer training or other weights the order may change.'
    seeds = {len(row.facts) for row in scored}
    if min(seeds) < FEW_SEEDS:
        said = 'one seed' if max(seeds) == 1 else f'{min(seeds)} seeds'
        yield f'Of {said}: another one moves a score, too, and the intervals over images do not say so.'
    images = {row.interval.images for row in scored if row.interval}
    if images and min(images) < FEW_IMAGES:
        yield f'{min(images)} validation images are few: the intervals are wide.'
    if load and not load.quiet:
        yield (
            f'Other processes kept {load.others:.1f} cores busy while the latencies were measured; the same '
            f'command measures again.'
        )
    if failed := [row.name for row in rows if not row.facts]:
        yield f'Nothing is known of {", ".join(failed)}.'


def _close(best: Row, rows: Sequence[Row], wanted: float | None) -> Iterator[str]:
    """A runner-up that these images cannot tell from it, and that is no quicker."""
    fast_enough = [row for row in rows if row.latency and (not wanted or row.seconds <= wanted)]
    slower = [row for row in fast_enough if row is not best and row.seconds >= best.seconds]
    for row in sorted(slower, key=lambda row: -row.score)[:1]:
        found = comparison(best, row)
        if found and found[1] <= 0:
            yield (
                f'{row.name} is slower, and its {number(row.score)} may be as good: the difference is '
                f'{number(found[0])}, 95 % interval {number(found[1])} to {number(found[2])}.'
            )


def _price(best: Row, row: Row) -> str:
    """What a quicker one gives away."""
    faster = f'{row.name} is {best.seconds / row.seconds:.1f} times as fast ({_milliseconds(row)})'
    found = comparison(best, row)
    if found is None:
        return f'{faster} and has {number(best.score - row.score)} less.'
    difference, low, high = found
    said = f'{number(difference)} less, 95 % interval {number(low)} to {number(high)}'
    return f'{faster} and has {said}' + (', which may be chance.' if low <= 0 else '.')


def _milliseconds(row: Row) -> str:
    return f'{1000 * row.seconds:.0f} ms'
