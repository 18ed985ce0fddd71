"""One picture of several images, with ground truth, predictions, or both, over a legend of colours."""

from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib

matplotlib.use('Agg')  # a run has no display

import numpy as np
import torch
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from torch import Tensor

from .colours import Colour, fraction
from .fonts import Labels, shortened
from .marks import draw_boxes, tint_labels, tint_masks, write_note

LEGEND = 24  # classes
LONGEST = 18  # characters of a name on an image; the legend has more of them
DPI = 200
CELL = 1.95  # inches of an image's width, where there are two in a pair
ALONE = 3.0  # where there is the prediction alone
GAP = 0.05
TITLE = 0.24
ROW = 0.16  # of the legend


class Shown(NamedTuple):
    """An image (H, W, 3), RGB, and what is drawn on it: label maps or instances, or no ground truth.

    scale: the size of the image by that of the answers' pixels.
    truth, prediction: label maps or instances, or None.
    """

    image: np.ndarray
    scale: float
    truth: Any
    prediction: Any

    def answer(self, title: str) -> Any:
        """That of the column with this title."""
        return self.truth if title == 'ground truth' else self.prediction


def save_sheet(
    path: str | Path, shown: list[Shown], labels: Labels, palette: list[Colour], least: float | None = None
) -> None:
    """Rows of images or of pairs under their titles, over a legend of the classes that occur in them.

    Args:
        path: of the picture.
        shown: at least one image.
        labels: of the classes.
        palette: their colours.
        least: the score from which on predictions are drawn; None, where there is the ground truth alone.
    """
    with plt.rc_context({'font.family': labels.families}):
        figure = _sheet(shown, labels, palette, least)
        figure.savefig(path)
        plt.close(figure)


def _sheet(shown: list[Shown], labels: Labels, palette: list[Colour], least: float | None = None) -> Figure:
    titles: tuple[str, ...]
    if least is None:
        titles, cell, most = ('ground truth',), CELL, 4
    elif any(amounts_in(one.truth, len(palette)) for one in shown):
        titles, cell, most = ('ground truth', 'prediction'), CELL, 3
    else:
        titles, cell, most = ('prediction',), ALONE, 3
    columns = min(most, len(shown))
    rows = -(-len(shown) // columns)
    shape = float(np.clip(np.median([one.image.shape[0] / one.image.shape[1] for one in shown]), 0.4, 1.4))
    width = columns * (len(titles) * (cell + GAP) + GAP) + GAP
    amounts = Counter[int]()
    for one in shown:
        for title in titles:
            amounts += amounts_in(one.answer(title), len(palette))
    figure = plt.figure(figsize=(width, 1), dpi=DPI)
    legend = _legend(figure, amounts, labels, palette)
    heading = GAP if least is None else TITLE
    height = heading + rows * (cell * shape + GAP) + GAP + legend
    figure.set_size_inches(width, height)
    for number, one in enumerate(shown):
        row, column = divmod(number, columns)
        top = height - heading - row * (cell * shape + GAP)
        for place, title in enumerate(titles):
            left = GAP + column * (len(titles) * (cell + GAP) + GAP) + place * (cell + GAP)
            if row == 0 and least is not None:
                centre = (left + cell / 2) / width, (top + 0.06) / height
                figure.text(*centre, title, ha='center', va='bottom', fontsize=9)
            fit = min(cell / one.image.shape[1], cell * shape / one.image.shape[0])
            wide, high = (max(side * fit, 1 / DPI) for side in one.image.shape[1::-1])
            corner = left + (cell - wide) / 2, top - high - (cell * shape - high) / 2
            ax = figure.add_axes(
                (corner[0] / width, corner[1] / height, wide / width, high / height), frameon=False
            )
            nothing = 'no object' if title == 'ground truth' else f'none of score {least} or more'
            show_answer(ax, one, one.answer(title), labels, palette, nothing, named=least is not None)
    return figure


def show_answer(
    ax: Axes,
    one: Shown,
    answer: Any,
    labels: Labels,
    palette: list[Colour],
    nothing: str = '',
    named: bool = True,
) -> None:
    """An image with an answer on it, in axes of its own shape.

    Args:
        ax: the axes.
        one: the image.
        answer: instances, a label map, or None.
        labels: of the classes.
        palette: their colours.
        nothing: what is written where nothing was found.
        named: whether boxes have names, or colours alone.
    """
    image, texts = one.image, []
    boxes, colours = torch.zeros(0, 4), []
    if answer is not None and 'data' in answer:  # as MMSegmentation calls a label map
        image = tint_labels(image, answer.data, palette)
        nothing = ''
    elif answer is not None and len(answer):
        boxes = corners_of(answer) * one.scale
        colours = [palette[label] for label in answer.labels.tolist()]
        texts = [shortened(labels.names[label], LONGEST) for label in answer.labels.tolist()]
        if 'scores' in answer:
            texts = [f'{name} {score:.2f}' for name, score in zip(texts, answer.scores.tolist(), strict=True)]
        if not named:
            texts = [''] * len(texts)
        if (masks := getattr(answer, 'masks', None)) is not None:
            image = tint_masks(image, masks, colours)
        nothing = ''
    height, width = image.shape[:2]
    ax.imshow(image, aspect='auto', extent=(0, width, height, 0))
    ax.set(xticks=[], yticks=[], xlim=(0, width), ylim=(height, 0))
    draw_boxes(ax, boxes, texts, colours)
    if nothing:
        write_note(ax, nothing)


def _legend(figure: Figure, amounts: Counter[int], labels: Labels, palette: list[Colour]) -> float:
    """The classes that occur, by their share; the height in inches that it takes at the foot of a figure."""
    if not amounts:
        return 0
    # by their number where they are alike, so that a picture is the same each time
    order = sorted(amounts, key=lambda index: (-amounts[index], index))
    entries = [Patch(color=fraction(palette[index])) for index in order[:LEGEND]]
    names = [labels.names[index] for index in order[:LEGEND]]
    if len(order) > LEGEND:
        entries.append(Patch(color='none'))
        names.append(f'and {len(order) - LEGEND} more')
    samples = [figure.text(0, 0, name, fontsize=8, parse_math=False) for name in names]
    widest = max(sample.get_window_extent().width for sample in samples) / DPI
    for sample in samples:
        sample.remove()
    columns = int(max(1, min(len(names), figure.get_figwidth() // (widest + 0.4))))
    rows = -(-len(names) // columns)
    # matplotlib goes down its columns, a reader along the rows
    across = [number for column in range(columns) for number in range(column, len(names), columns)]
    legend = figure.legend(
        [entries[number] for number in across],
        [f'{number}' for number in across],
        loc='lower center',
        ncols=columns,
        fontsize=8,
        frameon=False,
        borderpad=0,
        borderaxespad=0.4,
        labelspacing=0.4,
        handlelength=1.2,
        columnspacing=1.2,
    )
    for number, text in zip(across, legend.get_texts(), strict=True):
        text.set_parse_math(False)
        text.set_text(names[number])
    return rows * ROW + 0.12


def amounts_in(answer: Any, classes: int) -> Counter[int]:
    """How much there is of each class: objects or pixels."""
    if answer is None:
        return Counter()
    found = answer.data if 'data' in answer else answer.labels
    values, counts = found.unique(return_counts=True)
    pairs = zip(values.tolist(), counts.tolist(), strict=True)
    return Counter({value: count for value, count in pairs if 0 <= value < classes})


def corners_of(instances: Any) -> Tensor:
    return torch.as_tensor(getattr(instances.bboxes, 'tensor', instances.bboxes)).float()
