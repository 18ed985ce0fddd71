"""What SuperViT scores at each setting of its dials, against the time that it takes."""

from collections.abc import Iterator
from fractions import Fraction

from ..show.scores import number, score_name
from .charts import Chart, Series
from .facts import Dial, RunFacts


def dial_chart(facts: RunFacts) -> Chart | None:
    """Score against measured time, a curve over the scales for each keep rate."""
    if not facts.dials:
        return None
    metric = score_name(facts.evaluated.monitored) if facts.evaluated else 'score'
    series = []
    for keep_rate in sorted({dial.keep_rate for dial in facts.dials}):
        curve = [one for one in facts.dials if one.keep_rate == keep_rate]
        curve.sort(key=lambda one: one.scale)
        series.append(
            Series(
                f'keep rate {keep_rate:.3g}',
                tuple(one.score for one in curve),
                tuple(round(1000 * one.seconds / one.images, 2) for one in curve),
                notes=tuple(', '.join(_dial_cells(one)) for one in curve),
            )
        )
    return Chart(
        'dials',
        'lines',
        'Score against time, over the scales',
        'milliseconds of an image, whole model, in turns',
        metric,
        tuple(series),
        height=0.6,
    )


def dial_rows(facts: RunFacts) -> Iterator[tuple[bool, list[str]]]:
    """Whether no other setting is as quick and scores as high, and the cells; the quickest first."""
    for one in sorted(facts.dials, key=lambda dial: dial.seconds):
        better = (dial for dial in facts.dials if dial is not one and dial.seconds <= one.seconds)
        yield all(dial.score < one.score for dial in better), _dial_cells(one)


def _dial_cells(dial: Dial) -> list[str]:
    return [
        f'{Fraction(dial.scale).limit_denominator(64)}:{dial.keep_rate:.3g}',
        number(dial.score),
        f'{1000 * dial.seconds / dial.images:.1f} ms',
        f'{dial.multiply_adds / 1e9:#.3g} G',
    ]
