"""What is drawn over an image: boxes with labels that leave each other free, tinted masks and label maps."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from matplotlib.transforms import Bbox, IdentityTransform
from torch import Tensor

from .colours import Colour, fraction, ink_on
from .fonts import shortened

TEXT = 6.5  # points
MOST = 15  # labels of an image
MARGIN = 0.25  # around a label, of its text's size
MASK, LABEL_MAP = 0.5, 0.6  # how much of the colour is seen


def tint_labels(image: np.ndarray, labels: Tensor, palette: Sequence[Colour]) -> np.ndarray:
    """An image (H, W, 3) with a label map (1, H', W') on it; what is no class is left as it is."""
    labels = _resized(labels[None], image)[0, 0].round().long()
    known = ((labels >= 0) & (labels < len(palette))).numpy()
    return _tinted(image, known, np.array(palette)[labels.numpy()[known]], LABEL_MAP)


def tint_masks(image: np.ndarray, masks: Any, colours: Sequence[Colour]) -> np.ndarray:
    """An image (H, W, 3) with masks (N, H', W') on it, the surest first: a pixel has one colour."""
    masks = masks if isinstance(masks, Tensor) else masks.to_tensor(torch.bool, 'cpu')  # MMDetection's
    masks = _resized(masks[:, None], image)[:, 0] > 0
    owner = masks.int().argmax(0).numpy()
    claimed = masks.any(0).numpy()
    return _tinted(image, claimed, np.array(colours)[owner[claimed]], MASK)


def _resized(maps: Tensor, image: np.ndarray) -> Tensor:
    return F.interpolate(maps.float(), image.shape[:2], mode='nearest')


def _tinted(image: np.ndarray, where: np.ndarray, colours: np.ndarray, share: float) -> np.ndarray:
    tinted = image.copy()
    tinted[where] = ((1 - share) * image[where] + share * colours).round().astype(np.uint8)
    return tinted


def draw_boxes(ax: Axes, boxes: Tensor, texts: Sequence[str], colours: Sequence[Colour]) -> None:
    """Boxes (N, 4), in the axes' data coordinates, and their labels, '' for none, the most important first.

    A label stands above its box, or at another place beside or in it: inside the image, and on no other
    label. Where there is no such place, or after as many as can be read, it is left out; the colour says
    the class.
    """
    frame = ax.get_window_extent()
    corners = [ax.transData.transform(box.view(2, 2).numpy()) for box in boxes]
    places = [Bbox([pair.min(axis=0), pair.max(axis=0)]) for pair in corners]  # in pixels, y goes up
    for place, colour in reversed(list(zip(places, colours, strict=True))):
        edge = Rectangle(
            place.min,
            place.width,
            place.height,
            fill=False,
            edgecolor=fraction(colour),
            linewidth=1.4,
            joinstyle='miter',
            transform=IdentityTransform(),
            clip_box=frame,
            path_effects=[withStroke(linewidth=2.2, foreground=(0, 0, 0, 0.35))],
        )
        ax.add_patch(edge)
    taken: list[Bbox] = []
    for place, text, colour in list(zip(places, texts, colours, strict=True))[:MOST]:
        if text:
            _label(ax, place, text, colour, frame, taken)


def write_note(ax: Axes, text: str) -> None:
    """A line in the lower left corner of an image."""
    frame = ax.get_window_extent()
    _label(ax, Bbox.from_bounds(frame.x0, frame.y0, 0, 0), text, (70, 70, 70), frame, [])


def _label(ax: Axes, box: Bbox, text: str, colour: Colour, frame: Bbox, taken: list[Bbox]) -> None:
    note = ax.text(
        0,
        0,
        text,
        transform=IdentityTransform(),
        fontsize=TEXT,
        color=ink_on(colour),
        parse_math=False,  # a class can be called $a$
        bbox=dict(boxstyle=f'square,pad={MARGIN}', facecolor=fraction(colour), edgecolor='none'),
    )
    note.set_zorder(5)
    margin = MARGIN * TEXT * ax.figure.dpi / 72
    while (size := note.get_window_extent()).width + 2 * margin > frame.width and len(text) > 1:
        text = shortened(text, len(text) - 1)
        note.set_text(text)
    width, height = size.width + 2 * margin, size.height + 2 * margin
    left, right = (min(max(x, frame.x0), frame.x1 - width) for x in (box.x0, box.x1 - width))
    corners = [
        *((left, box.y1), (left, box.y1 - height), (right, box.y1), (right, box.y1 - height)),
        *((left, box.y0 - height), (left, box.y0), (right, box.y0 - height), (right, box.y0)),
    ]
    for x, y in corners:
        place = Bbox.from_bounds(x, y, width, height)
        inside = place.y0 >= frame.y0 and place.y1 <= frame.y1
        if inside and not any(_overlap(place, other) for other in taken):
            # the text's own extent need not begin where it is placed
            note.set_position((x + margin - size.x0, y + margin - size.y0))
            taken.append(place)
            return
    note.remove()


def _overlap(one: Bbox, other: Bbox) -> bool:
    return one.x0 < other.x1 and other.x0 < one.x1 and one.y0 < other.y1 and other.y0 < one.y1
