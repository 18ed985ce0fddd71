"""One image with an answer on it, in its own pixels, unless it is small or huge."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import matplotlib

matplotlib.use('Agg')  # there may be no display

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.patches import Patch
from PIL import Image
from torchvision.ops import nms

from .colours import Colour, fraction
from .fonts import drawable_labels
from .sheet import Shown, amounts_in, corners_of, show_answer

LEAST = 512  # pixels of the longer side; names on a smaller picture could not be read
MOST = 4096  # to draw takes 140 bytes a pixel
INCHES = 5.0  # of the longer side, by which text and lines are measured
NAMED = 12  # classes of a label map
SCORE = 0.4  # predictions below are not drawn
SCORE_OF_REGIONS = 0.7  # nor these of a softmax over regions, which is surer of itself than a focal loss
OVERLAP = 0.5  # of two predictions that overlap more, whatever their classes, the better one is drawn


def draw_answer(
    image: np.ndarray, answer: Any, classes: Sequence[str], palette: Sequence[Colour]
) -> np.ndarray:
    """An image (H, W, 3), RGB, with instances, the surest first, or a label map on it.

    Returns:
        (H, W, 3); of a small image larger, of a huge one smaller, in the same proportions.
    """
    height, width = image.shape[:2]
    longest = max(height, width)
    scale = min(max(longest, LEAST), MOST) / longest
    if scale != 1:
        height, width = (max(1, round(side * scale)) for side in (height, width))
        image = np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC))
    if 'scores' in answer:
        answer = distinct(answer)
    labels = drawable_labels(classes)
    dpi = max(height, width) / INCHES
    with plt.rc_context({'font.family': labels.families}):
        figure = plt.figure(figsize=((width + 0.1) / dpi, (height + 0.1) / dpi), dpi=dpi)  # rounded down
        ax = figure.add_axes((0, 0, 1, 1), frameon=False)
        show_answer(ax, Shown(image, scale, None, answer), answer, labels, list(palette))
        if 'data' in answer:  # boxes have their names beside them
            _name_colours(ax, amounts_in(answer, len(palette)), labels.names, palette)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        pixels = np.asarray(canvas.buffer_rgba())[..., :3].copy()
        plt.close(figure)
    return pixels


def _name_colours(ax: Axes, amounts: Counter[int], names: Sequence[str], palette: Sequence[Colour]) -> None:
    """The classes of a label map, by their share, in the corner of the image."""
    order = [label for label, _ in amounts.most_common(NAMED)]
    handles = [Patch(color=fraction(palette[label]), label='x') for label in order]
    legend = ax.legend(handles=handles, loc='lower left', fontsize=6.5, framealpha=0.8, handlelength=1.0)
    for label, text in zip(order, legend.get_texts(), strict=True):
        text.set_parse_math(False)
        text.set_text(names[label])


def least_score(model: Any) -> float:
    """Of the predictions of a detector that are drawn."""
    return SCORE_OF_REGIONS if hasattr(model, 'roi_head') else SCORE


def distinct(found: Any) -> Any:
    """Of instances that overlap, whatever their classes, the surest; the surest first."""
    return found[nms(corners_of(found), found.scores, OVERLAP)]
