"""Colours of classes that a reader can tell apart."""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np

from ..data.dataset import classes_of, leaf_datasets

Colour = tuple[int, int, int]

# red, blue, green, amber, purple, cyan, pink, brown, lime, slate: at least 36 apart in CIELAB
FIRST: tuple[Colour, ...] = (
    (229, 57, 53),
    (30, 136, 229),
    (67, 160, 71),
    (255, 179, 0),
    (142, 36, 170),
    (0, 188, 212),
    (244, 81, 164),
    (141, 85, 55),
    (192, 202, 51),
    (120, 130, 145),
)
LIGHTNESS = 35, 88  # of the others, which are seen on bright and on dark photos
BRIGHT = 60  # lightness from which on text on a colour is black


def palette_of(dataset: Any) -> list[Colour]:
    """The dataset's own colours, one per class; where it has none or too few, distinct ones."""
    leaf = leaf_datasets(dataset)[0]
    return palette_for(classes_of(dataset), leaf.metainfo.get('palette'), getattr(leaf, 'METAINFO', {}))


def palette_for(classes: Sequence[str], own: Any, known: Mapping[str, Any]) -> list[Colour]:
    """As `palette_of`.

    Args:
        classes: their names.
        own: the colours that the dataset's metainfo has.
        known: the metainfo of the dataset's class: colours of its own classes, which others are given, too.
    """
    if not isinstance(own, (list, tuple)) or len(own) < len(classes):
        return distinct_colours(len(classes))
    # the colours of COCO's classes are not those of another list of classes that COCO's dataset reads
    inherited = list(own) == list(known.get('palette') or ()) and list(classes) != list(
        known.get('classes') or ()
    )
    # MMSegmentation's, where there are none
    drawn_at_random = np.random.RandomState(42).randint(0, 255, size=(len(classes), 3)).tolist()
    if inherited or np.array_equal(own, drawn_at_random):
        return distinct_colours(len(classes))
    return [(int(red), int(green), int(blue)) for red, green, blue in own]


def distinct_colours(count: int) -> list[Colour]:
    """Ten chosen ones, then always the colour that is farthest from all before it."""
    colours = list(FIRST[:count])
    if count > len(FIRST):
        grid = np.array(list(product(range(0, 256, 15), repeat=3)))
        places = lab(grid)
        visible = (places[:, 0] >= LIGHTNESS[0]) & (places[:, 0] <= LIGHTNESS[1])
        grid, places = grid[visible], places[visible]
        gaps = np.linalg.norm(places[:, None] - lab(colours), axis=2).min(axis=1)
        while len(colours) < count:
            farthest = gaps.argmax()
            red, green, blue = grid[farthest].tolist()
            colours.append((red, green, blue))
            gaps = np.minimum(gaps, np.linalg.norm(places - places[farthest], axis=1))
    return colours


def fraction(colour: Colour) -> tuple[float, float, float]:
    """A colour as matplotlib has it, from 0 to 1."""
    return colour[0] / 255, colour[1] / 255, colour[2] / 255


def ink_on(colour: Colour) -> str:
    """The colour of text that can be read on another one."""
    return 'black' if lab([colour])[0, 0] > BRIGHT else 'white'


def lab(colours: Sequence[Colour] | np.ndarray) -> np.ndarray:
    """Colours (N, 3) of sRGB, 0 to 255, in CIELAB for D65, where distances are about as the eye has them."""
    parts = np.asarray(colours) / 255
    light = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    to_xyz = [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
    xyz = light @ np.transpose(to_xyz) / (0.95047, 1, 1.08883)
    x, y, z = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29).T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=1)
