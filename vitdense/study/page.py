"""The page of a study, and its table on a terminal."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from rich.table import Table
from rich.text import Text

from ..console import plural
from ..report.charts import Chart, Series, hexadecimal, line
from ..report.facts import write_whole
from ..report.page import duration, render
from ..show.colours import distinct_colours
from ..show.scores import number
from .latency import Latencies
from .results import COLUMNS, Row, cells, front

PAGE = 'study.html'
FRONT_COLOUR = '#777777'


def study_table(rows: Sequence[Row]) -> Table:
    """A row for each candidate; why one has no score, or not of all seeds."""
    metric = next((row.metric for row in rows if row.metric), 'score')
    table = Table(title='study', title_justify='left')
    for column in COLUMNS:
        heading = metric if column == 'score' else column
        table.add_column(heading, justify='left' if column in ('config', 'by seed') else 'right')
    for row in rows:
        table.add_row(*map(Text, cells(row)))  # a config's name may look like markup
    return table


def write_study_page(
    out: Path,
    rows: Sequence[Row],
    latencies: Latencies | None,
    sentences: Sequence[str],
    limits: Sequence[str],
) -> Path:
    """Write the page, in place of an earlier one."""
    best = front(rows)
    text = render(
        'study.html',
        title=f'Study: {plural(len(rows), "candidate")}',
        sentences=sentences,
        limits=limits,
        columns=COLUMNS,
        rows=[(cells(row), row in best, row.failed, _link(row)) for row in rows],
        charts=list(_charts(rows, latencies)),
        class_tables=list(_class_tables(rows)),
        growth=list(_growth(rows, latencies)),
        latencies=latencies,
        number=number,
        duration=duration,
    )
    write_whole(out / PAGE, text)
    return out / PAGE


def _link(row: Row) -> list[tuple[int, str]]:
    """The pages of its trainings, relative to the study's."""
    return [(seed, f'{quote(run.folder.name)}/report.html') for seed, run in row.runs.items()]


def _colours(rows: Sequence[Row]) -> dict[str, str]:
    names = sorted(row.name for row in rows)
    colours = map(hexadecimal, distinct_colours(len(names) + 1)[1:])
    return dict(zip(names, colours, strict=True))


def _charts(rows: Sequence[Row], latencies: Latencies | None) -> Iterator[Chart]:
    colours, scored = _colours(rows), [row for row in rows if row.facts]
    metric = next((row.metric for row in scored), 'score')
    if measured := [row for row in scored if row.latency]:
        series: list[Series] = []
        for row in measured:
            assert row.latency
            place = (round(1000 * row.latency.median, 2),)
            said = f'{row.name}: {number(row.score)}, {place[0]:.0f} ms'
            series.append(Series(row.name, (row.score,), place, colours[row.name], notes=(said,)))
            if row.ends:
                series.append(Series('', row.ends, 2 * place, colours[row.name], joined=True))
        best = front(rows)
        x = tuple(round(1000 * row.latency.median, 2) for row in best if row.latency)
        edge = Series('beaten by none', tuple(row.score for row in best), x, FRONT_COLOUR, True, joined=True)
        yield Chart(
            'front',
            'points',
            'Score against latency, with 95 % intervals over images',
            'milliseconds of one image',
            metric,
            (*series, edge),
            height=0.6,
        )
    curves = []
    for row in scored:
        steps = {int(step): score for step, score in row.first.validations}
        curves.append(line(row.name, steps, colours[row.name]))
    if curves := [one for one in curves if one.y]:
        yield Chart(
            'curves', 'lines', 'Validations, first seed', 'iteration', metric, tuple(curves), height=0.6
        )
    if latencies:
        grown = [
            Series(
                row.name,
                tuple(
                    round(1000 * latencies.timings[scale][row.name].median, 2) for scale in latencies.sizes
                ),
                tuple(round(high * wide / 1e6, 4) for high, wide in latencies.sizes.values()),
                colours[row.name],
            )
            for row in measured
        ]
        if grown:
            yield Chart(
                'growth', 'lines', 'Latency by image', 'megapixels', 'milliseconds', tuple(grown), height=0.6
            )


def _growth(rows: Sequence[Row], latencies: Latencies | None) -> Iterator[tuple[str, list[str]]]:
    """Milliseconds at each size, and how much more the largest takes than its pixels are more."""
    for row in rows:
        if latencies and row.latency:
            times = [latencies.timings[scale][row.name].median for scale in latencies.sizes]
            yield row.name, [f'{1000 * seconds:.0f}' for seconds in times] + [f'{times[-1] / times[1]:.1f} ×']


def _class_tables(rows: Sequence[Row]) -> Iterator[dict[str, Any]]:
    """The score of each class, and what a row has less of it than the best one; first seed."""
    scored = [row for row in rows if row.facts]
    tables = {row.name: row.first.per_class for row in scored}
    for kind in next(iter(tables.values()), {}):
        if not all(kind in table for table in tables.values()):
            continue
        classes = list(next(iter(tables.values()))[kind])
        column = list(next(iter(next(iter(tables.values()))[kind].values())))[-1]
        found = []
        for name in classes:
            values = [table[kind].get(name, {}).get(column, -1) for table in tables.values()]
            if min(values) >= 0:
                top = max(values)
                found.append(
                    (
                        name,
                        [
                            (number(float(value)), number(float(value - top)) if value < top else '')
                            for value in values
                        ],
                    )
                )
        yield dict(kind=kind, column=column, names=list(tables), rows=found)
