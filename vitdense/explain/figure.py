"""The pictures, by matplotlib: as wide as a page of two columns, with text that can be read at that size."""

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Rectangle
from matplotlib.patheffects import withStroke

from ..show.colours import FIRST, fraction, ink_on
from .distance import ByDistance
from .kept import Kept
from .maps import Heat, Row, Sheet
from .receptive_field import ReceptiveField
from .view import Place, View, Window

WIDTH = 7.2  # inches
DPI = 220
PANEL = 1.9  # of one, at most
GAP = 0.05
TITLE, HEADING, NOTE, BAR = 0.26, 0.17, 0.16, 0.68
MARGIN = 0.05  # at the right
LABEL, TICKS = 0.20, 0.42  # left of the panels, of which the first has a label, or one and ticks
SHAPE = 0.4, 1.4  # height by width of a panel, at least and at most
MAP = 'inferno'
HEAT = 0.72  # how much of a heat map's colour is seen
FADED = 0.88  # how much of a dropped patch is white
ZOOM = 1.7  # how much of the image is seen around a grid, by its side
LEAST = 1e-3  # of the largest gradient, that is seen
STYLE: Any = {
    'font.family': 'DejaVu Sans',
    'font.size': 7,
    'axes.linewidth': 0.5,
    'xtick.major.width': 0.5,
    'ytick.major.width': 0.5,
    'xtick.labelsize': 6,
    'ytick.labelsize': 6,
    'svg.fonttype': 'none',
    'pdf.fonttype': 42,
}


class _Grid:
    """A figure of rows of panels, all alike, under a title and headings, with room for a colour bar."""

    def __init__(
        self,
        title: str,
        rows: int,
        columns: int,
        shape: float,
        bar: bool,
        left: float = LABEL,
        below: float = NOTE,
    ):
        room = WIDTH - left - (BAR if bar else MARGIN)
        self.width = min(PANEL, (room - (columns - 1) * GAP) / columns)
        self.height = self.width * float(np.clip(shape, *SHAPE))
        self.left, self.below = left, below
        across = left + columns * (self.width + GAP) - GAP + (BAR if bar else MARGIN)
        self.size = across, TITLE + HEADING + rows * (self.height + below)
        self.figure = Figure(figsize=self.size, facecolor='white')
        self.figure.text(
            left / across,
            1 - 0.06 / self.size[1],
            title,
            fontsize=8.5,
            weight='bold',
            va='top',
            parse_math=False,
        )

    def panel(self, row: int, column: int) -> Axes:
        left = self.left + column * (self.width + GAP)
        bottom = self.size[1] - TITLE - HEADING - row * (self.height + self.below) - self.height
        return self._axes(left, bottom, self.width, self.height)

    def bar_axes(self) -> Axes:
        bottom = self.below
        height = self.size[1] - TITLE - HEADING - bottom
        most = 2 * self.height + self.below
        return self._axes(
            self.size[0] - BAR + 0.12, bottom + max(0, (height - most) / 2), 0.09, min(height, most)
        )

    def _axes(self, left: float, bottom: float, width: float, height: float) -> Axes:
        across, up = self.size
        return self.figure.add_axes((left / across, bottom / up, width / across, height / up))


def save_figure(figure: Figure, file: str | Path | BinaryIO, dpi: int = DPI) -> None:
    """As a PNG, a PDF or an SVG by the file's suffix, in which text is text."""
    with matplotlib.rc_context(STYLE):
        figure.savefig(file, dpi=dpi)


def attention_figure(sheet: Sheet, view: View, places: Sequence[Place]) -> Figure:
    """Each row: the image with its place, and what each stage attends to from there."""
    with matplotlib.rc_context(STYLE):
        shape = view.shown.shape[0] / view.shown.shape[1]
        grid = _Grid(sheet.title, len(sheet.rows), 1 + len(sheet.columns), shape, bar=True)
        gray = _gray(view.shown)
        for number, row in enumerate(sheet.rows):
            ax = grid.panel(number, 0)
            _show(ax, view.shown)
            ax.set_ylabel(_wrapped(row.label, grid.height), labelpad=3)
            if number == 0:
                ax.set_title('image', fontsize=7, pad=3)
            for window in row.outlines:
                _outline(ax, window)
            _mark(ax, view, places, row, grid.width)
            for column, (name, heat) in enumerate(zip(sheet.columns, row.heats, strict=True), 1):
                ax = grid.panel(number, column)
                if number == 0:
                    ax.set_title(name, fontsize=7, pad=3)
                if heat is None:
                    ax.set_axis_off()
                    ax.text(
                        0.5, 0.5, 'no grid', ha='center', va='center', color='0.5', transform=ax.transAxes
                    )
                    continue
                _heat(ax, gray, heat)
                if row.number is not None:
                    _ring(ax, view.point(places[row.number - 1]), row.number)
        bar = grid.figure.colorbar(ScalarMappable(Normalize(0, 1), MAP), cax=grid.bar_axes(), ticks=[])
        bar.set_label('weight: least to largest\nof each panel', labelpad=4)
        bar.outline.set_linewidth(0.4)
    return grid.figure


def kept_figure(kept: Sequence[Kept], view: View, title: str) -> Figure:
    """Each row one setting of the dials: the patches that go on after each block that drops some."""
    with matplotlib.rc_context(STYLE):
        shape = view.shown.shape[0] / view.shown.shape[1]
        grid = _Grid(title, len(kept), 1 + len(kept[0].blocks), shape, bar=False)
        for number, one in enumerate(kept):
            ax = grid.panel(number, 0)
            _show(ax, view.shown)
            label = f'scale {one.setting.scale:.2g}, keep rate {one.setting.keep_rate:g}'
            ax.set_ylabel(_wrapped(label, grid.height), labelpad=3)
            if number == 0:
                ax.set_title('image', fontsize=7, pad=3)
            for column, (block, mask) in enumerate(zip(one.blocks, one.masks, strict=True), 1):
                ax = grid.panel(number, column)
                _show(ax, view.shown)
                if number == 0:
                    ax.set_title(f'kept by block {block}', fontsize=7, pad=3)
                white = np.ones((*mask.shape, 4))
                white[..., 3] = np.where(mask, 0, FADED)
                extent = (-0.5, mask.shape[1] * one.stride - 0.5, mask.shape[0] * one.stride - 0.5, -0.5)
                limits = ax.get_xlim(), ax.get_ylim()
                ax.imshow(white, extent=extent, interpolation='nearest')
                ax.set(xlim=limits[0], ylim=limits[1])
                share = 100 * mask.mean()
                _note(ax, f'{mask.sum()} of {mask.size} patches, {share:.0f} %')
    return grid.figure


def receptive_field_figure(fields: Sequence[ReceptiveField], names: Sequence[str], title: str) -> Figure:
    """A panel for each map, by its name, all with the same axes and colours."""
    with matplotlib.rc_context(STYLE):
        grid = _Grid(title, 1, len(fields), 1, bar=True, left=TICKS, below=0.32)
        reach = len(fields[0].gradient) // 2
        extent = (-reach - 0.5, reach + 0.5, reach + 0.5, -reach - 0.5)
        ticks = _even_ticks(reach)
        for column, (one, name) in enumerate(zip(fields, names, strict=True)):
            ax = grid.panel(0, column)
            share = np.clip(one.gradient / (one.gradient.max() or 1), LEAST, 1)
            ax.imshow(share, cmap=MAP, norm=LogNorm(LEAST, 1), extent=extent, interpolation='antialiased')
            for part, style in ((0.5, '-'), (0.9, '--')):
                _outline(ax, _square(one.radius(part)), style)
            ax.set(xlim=extent[:2], ylim=extent[2:], xticks=ticks, yticks=ticks)
            ax.tick_params(length=2, pad=1.5, labelleft=column == 0)
            ax.set_title(name, fontsize=7, pad=3)
            if column == 0:
                ax.set_ylabel('pixels from the centre', labelpad=1)
            _note(ax, f'50 % within {one.radius(0.5)}, 90 % within {one.radius(0.9)}')
        bar = grid.figure.colorbar(ScalarMappable(LogNorm(LEAST, 1), MAP), cax=grid.bar_axes())
        bar.set_label('gradient, by the largest', labelpad=1)
        bar.outline.set_linewidth(0.4)
    return grid.figure


def distance_figure(stages: Sequence[ByDistance], title: str) -> Figure:
    """A line for each stage, beside its cosines alone."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH / 2 + 0.9, 2.7), facecolor='white', layout='constrained')
        ax = figure.add_subplot()
        for number, (one, colour) in enumerate(zip(stages, FIRST, strict=False), 1):
            label = f'stage {number}, stride {one.stride:g}'
            ax.plot(one.pixels, one.weight, color=fraction(colour), linewidth=1.2, label=label)
            ax.plot(one.pixels, one.alone, color=fraction(colour), linewidth=0.8, linestyle=(0, (2, 2)))
        ax.plot([], [], color='0.4', linewidth=0.8, linestyle=(0, (2, 2)), label='the cosines alone')
        ax.axhline(1, color='0.7', linewidth=0.6, zorder=0)
        ax.set(xlabel='distance in pixels of the image', ylabel='mean weight, by that of uniform attention')
        ax.set(xlim=(0, None), ylim=(0, None))
        ax.spines[['top', 'right']].set_visible(False)
        ax.legend(frameon=False, fontsize=6.5)
        ax.set_title(title, fontsize=8.5, weight='bold', loc='left', parse_math=False)
    return figure


def _show(ax: Axes, image: np.ndarray) -> None:
    ax.imshow(image, interpolation='antialiased')
    ax.set(xticks=[], yticks=[])


def _gray(image: np.ndarray) -> np.ndarray:
    gray = image.astype(float) @ (0.299, 0.587, 0.114)
    return np.repeat(gray[..., None], 3, 2).astype(np.uint8)


def _heat(ax: Axes, gray: np.ndarray, heat: Heat) -> None:
    _show(ax, gray)
    limits = ax.get_xlim(), ax.get_ylim()
    window, weights = heat.window, heat.weights
    extent = (window.left - 0.5, window.right - 0.5, window.bottom - 0.5, window.top - 0.5)
    least, most = float(weights.min()), float(weights.max())
    ends = dict.fromkeys(f'{value / heat.even:.3g}' for value in (least, most))
    alike = len(ends) == 1  # to the digits that are written below
    shade = np.full_like(weights, 0.5) if alike else (weights - least) / (most - least)
    ax.imshow(shade, cmap=MAP, vmin=0, vmax=1, alpha=HEAT, extent=extent, interpolation='nearest')
    if heat.near:
        _outline(ax, window)
        limits = _around(window, limits)
    ax.set(xlim=limits[0], ylim=limits[1])
    _note(ax, f'{" – ".join(ends)} × even share')


def _around(window: Window, limits: Any) -> Any:
    """Limits of both axes around a window, of the image's proportions and inside it."""
    (left, right), (bottom, top) = limits
    share = min(
        1,
        ZOOM
        * max((window.right - window.left) / (right - left), (window.bottom - window.top) / (bottom - top)),
    )
    wide, high = share * (right - left), share * (bottom - top)
    x = min(max((window.left + window.right - wide) / 2, left), right - wide)
    y = min(max((window.top + window.bottom - high) / 2, top), bottom - high)
    return (x, x + wide), (y + high, y)


def _square(reach: int) -> Window:
    """Around the centre of a receptive field."""
    return Window(-reach, -reach, reach + 1, reach + 1)


def _note(ax: Axes, text: str) -> None:
    ax.set_xlabel(text, fontsize=5.8, labelpad=2, color='0.25')


def _outline(ax: Axes, window: Window, linestyle: str = '-') -> None:
    corner = window.left - 0.5, window.top - 0.5
    size = window.right - window.left, window.bottom - window.top
    edge: Any = dict(edgecolor='white', linewidth=0.9, linestyle=linestyle)
    shadow = [withStroke(linewidth=1.8, foreground='black')]
    ax.add_patch(Rectangle(corner, *size, fill=False, path_effects=shadow, **edge))


def _mark(ax: Axes, view: View, places: Sequence[Place], row: Row, width: float) -> None:
    """The place of a row with its number, or, in the row of a class token, all of them."""
    radius = 0.055 / width * view.shown.shape[1]
    for number, place in enumerate(places, 1):
        if row.number == number:
            x, y = view.point(place)
            colour = FIRST[(number - 1) % len(FIRST)]
            edge: Any = dict(edgecolor='white', linewidth=0.7, zorder=4)
            ax.add_patch(Circle((x - 0.5, y - 0.5), radius, facecolor=fraction(colour), **edge))
            ax.text(
                x - 0.5,
                y - 0.5,
                str(number),
                color=ink_on(colour),
                fontsize=5.5,
                weight='bold',
                ha='center',
                va='center_baseline',
                zorder=5,
            )


def _ring(ax: Axes, point: tuple[float, float], number: int) -> None:
    colour = fraction(FIRST[(number - 1) % len(FIRST)])
    ax.plot(
        point[0] - 0.5,
        point[1] - 0.5,
        'o',
        markersize=4,
        markerfacecolor='none',
        markeredgecolor=colour,
        markeredgewidth=1.1,
        path_effects=[withStroke(linewidth=2.2, foreground='white')],
    )


def _wrapped(label: str, height: float) -> str:
    return '\n'.join(textwrap.wrap(label, max(8, int(height / 0.058))))


def _even_ticks(reach: int) -> list[int]:
    """The centre, and a round number on both sides of it, at about two thirds of the way."""
    step = max(n * 10**k for n in (1, 2, 5) for k in range(5) if n * 10**k <= max(0.85 * reach, 1))
    return [-step, 0, step]
