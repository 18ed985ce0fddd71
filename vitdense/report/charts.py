"""A chart, drawn twice: by Chart.js on a screen, by matplotlib in print and without JavaScript."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from io import StringIO
from typing import Any, Literal
from urllib.parse import quote

import matplotlib

matplotlib.use('Agg')  # there may be no display

from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from ..show.colours import distinct_colours

INK, GRID = '#333333', '#dddddd'
INCHES = 4.2  # of a chart's width, by which its letters are measured
POINTS = 400  # of a curve; a screen has no more
LETTER = 0.065  # inches
NAMED = 12  # series in a legend


@dataclass(frozen=True)
class Series:
    """The points of one curve, or the lengths of one colour's bars.

    x is empty for bars, which have the chart's categories. A name of '' is not in the legend.
    """

    name: str
    y: tuple[float, ...]
    x: tuple[float, ...] = ()
    colour: str = ''
    dashed: bool = False
    notes: tuple[str, ...] = ()  # of the points, where one is pointed at
    joined: bool = False  # points that are a line, as an interval among them


@dataclass(frozen=True)
class Chart:
    """What is drawn.

    name: of the chart on its page, a word.
    height: as a share of the width.
    y_range: of the axis; None for what the values need.
    """

    name: str
    kind: Literal['lines', 'points', 'bars', 'columns']
    title: str
    x_label: str
    y_label: str
    series: tuple[Series, ...]
    categories: tuple[str, ...] = ()
    height: float = 0.5
    y_range: tuple[float, float] | None = None

    @property
    def is_of_bars(self) -> bool:
        """Bars lie, columns stand."""
        return self.kind in ('bars', 'columns')


def hexadecimal(colour: Sequence[int]) -> str:
    """A colour, RGB, as a page has it."""
    red, green, blue = colour
    return f'#{red:02x}{green:02x}{blue:02x}'


def line(name: str, values: dict[int, float], colour: str = '', dashed: bool = False) -> Series:
    """A curve of values by iteration, of so many points that a screen can show them.

    Values that are not finite, as a loss whose step was skipped, have no place on it.
    """
    points = [(x, y) for x, y in values.items() if math.isfinite(y)]
    step = -(-len(points) // POINTS) or 1
    points = points[::step] + points[-1:] * ((len(points) - 1) % step > 0)
    return Series(
        name, tuple(float(y) for _, y in points), tuple(float(x) for x, _ in points), colour, dashed
    )


def chart_js(chart: Chart) -> dict[str, Any]:
    """The configuration that Chart.js takes."""
    along = 'y' if chart.kind == 'bars' else 'x'
    value = 'x' if along == 'y' else 'y'
    named = sum(bool(one.name) for one in chart.series)
    scales: dict[str, Any] = {
        along: dict(title=_title(chart.y_label if along == 'y' else chart.x_label)),
        value: dict(title=_title(chart.x_label if value == 'x' else chart.y_label)),
    }
    if chart.is_of_bars:
        scales[along] |= dict(ticks=dict(autoSkip=False), grid=dict(display=False))
        scales[value]['beginAtZero'] = True
    else:
        scales['x']['type'] = 'linear'
    if chart.y_range:
        scales[value].update(min=chart.y_range[0], max=chart.y_range[1])
    return dict(
        type='bar' if chart.is_of_bars else 'scatter' if chart.kind == 'points' else 'line',
        data=dict(
            labels=list(chart.categories),
            datasets=[_dataset(chart, one, colour) for one, colour in _coloured(chart)],
        ),
        options=dict(
            indexAxis=along if chart.is_of_bars else 'x',
            scales=scales,
            plugins=dict(legend=dict(display=named > 1)),
        ),
    )


@lru_cache(64)  # what does not change during a run is drawn once
def svg(chart: Chart) -> str:
    """The same chart as the address of an SVG image, `data:image/svg+xml,…`."""
    settings: Any = {
        'svg.fonttype': 'none',
        'svg.hashsalt': chart.name,
        'font.size': 8,
        'font.family': 'sans-serif',
        'axes.edgecolor': INK,
        'axes.linewidth': 0.8,
    }
    with plt.rc_context(settings):
        figure = plt.figure(figsize=(INCHES, INCHES * chart.height))
        ax = figure.add_axes(_place(chart))  # matplotlib's layouts draw everything twice
        _draw(ax, chart)
        text = StringIO()
        figure.savefig(text, format='svg', metadata={'Date': None, 'Creator': None})
        plt.close(figure)
    document = text.getvalue()
    return 'data:image/svg+xml,' + quote(document[document.index('<svg') :], safe=" =:/'()<>,;")


def _place(chart: Chart) -> tuple[float, float, float, float]:
    """Left, bottom, width and height of the axes, as shares of the picture's, with room for the letters."""
    letter, row = LETTER / INCHES, 0.17 / (INCHES * chart.height)
    longest = max(map(len, chart.categories), default=0)
    left = letter * (2 + longest) if chart.kind == 'bars' else letter * 12
    bottom = row * (1.3 + bool(chart.x_label) + (0.25 * longest if _is_slanted(chart) else 0))
    named = sum(bool(one.name) for one in chart.series)
    top = 1 - row * (0.4 + (-(-named // _across(chart)) if 1 < named <= NAMED else 0))
    return left, bottom, 0.98 - left, max(top - bottom, 0.2)


def _across(chart: Chart) -> int:
    """How many names a row of the legend has room for."""
    longest = max((len(one.name) for one in chart.series), default=0)
    return max(1, min(4, int((INCHES / LETTER - 14) / (longest + 7))))


def _is_slanted(chart: Chart) -> bool:
    """Names under columns that do not fit side by side."""
    return chart.kind == 'columns' and sum(map(len, chart.categories)) > 60


def _draw(ax: Axes, chart: Chart) -> None:
    ax.set(xlabel=chart.x_label, ylabel=chart.y_label)
    ax.spines[['top', 'right']].set_visible(False)
    ax.set_axisbelow(True)
    ax.grid(color=GRID, linewidth=0.6, axis={'bars': 'x', 'columns': 'y'}.get(chart.kind, 'both'))  # type: ignore[arg-type]
    width = 0.8 / max(len(chart.series), 1)
    for number, (one, colour) in enumerate(_coloured(chart)):
        label = _plain((one.name.replace('_', ' '),))[0] or None
        if chart.is_of_bars:
            places = [index + (number + 0.5) * width - 0.4 for index in range(len(one.y))]
            draw = ax.barh if chart.kind == 'bars' else ax.bar
            draw(places, one.y, width, color=colour, label=label)
        elif chart.kind == 'points' and not one.joined:
            ax.scatter(one.x, one.y, s=14, color=colour, label=label, alpha=0.7, linewidths=0)
        else:
            mark = 'o' if len(one.x) < 30 and chart.kind == 'lines' else ''
            style = '--' if one.dashed else '-'
            ax.plot(one.x, one.y, style, color=colour, label=label, linewidth=1.5, marker=mark, markersize=3)
    if chart.is_of_bars:
        ticks = dict(ticks=range(len(chart.categories)), labels=_plain(chart.categories))
        if chart.kind == 'bars':
            ax.set_yticks(**ticks)  # type: ignore[arg-type]
            ax.invert_yaxis()
        else:
            ax.set_xticks(**ticks)  # type: ignore[arg-type]
            if _is_slanted(chart):
                ax.tick_params(axis='x', rotation=45)
    if chart.y_range:
        (ax.set_xlim if chart.kind == 'bars' else ax.set_ylim)(chart.y_range)
    named = sum(bool(one.name) for one in chart.series)
    if 1 < named <= NAMED:
        ax.legend(
            loc='lower left', bbox_to_anchor=(0, 1), ncols=_across(chart), frameon=False, borderaxespad=0.2
        )


def _plain(names: tuple[str, ...]) -> list[str]:
    return [name.replace('$', r'\$') for name in names]  # no mathematics


def _title(text: str) -> dict[str, Any]:
    return dict(display=bool(text), text=text)


def _coloured(chart: Chart) -> list[tuple[Series, str]]:
    colours = [hexadecimal(colour) for colour in distinct_colours(len(chart.series) + 1)]
    return [
        (one, one.colour or colours[(number + 1) % len(colours)]) for number, one in enumerate(chart.series)
    ]


def _dataset(chart: Chart, one: Series, colour: str) -> dict[str, Any]:
    if chart.is_of_bars:
        lengths = [value if math.isfinite(value) else None for value in one.y]
        return dict(label=one.name, data=lengths, backgroundColor=colour)
    pairs = zip(one.x, one.y, strict=True)
    points = [dict(x=x, y=y) for x, y in pairs if math.isfinite(x) and math.isfinite(y)]
    few = len(points) < 30 and chart.kind == 'lines'
    return dict(
        label=one.name,
        showLine=chart.kind == 'lines' or one.joined,
        data=points,
        notes=list(one.notes),
        borderColor=colour,
        backgroundColor=colour + ('b0' if chart.kind == 'points' else ''),
        borderWidth=2,
        borderDash=[6, 4] if one.dashed else [],
        pointRadius=3 if few or (chart.kind == 'points' and not one.joined) else 0,
        pointHitRadius=8,
        tension=0,
    )
