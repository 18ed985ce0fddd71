"""One scene of the sample world: grounds, things, light, and the exact answer to every pixel.

`draw_scene(split, index)` is a pure function. The picture is painted from back to front; the answer is one
map that says for each pixel which thing is seen there. Boxes, masks and label maps are all read from it, so
they cannot disagree.

Awkward cases of real data come at fixed places in the order of scenes, a small share each: see `AWKWARD`.
"""

from dataclasses import dataclass

import numpy as np

from .grounds import GROUNDS, draw_grounds, noise
from .sprites import draw_sprite
from .things import CLASSES

SIZE = 128  # side of the usual image, in pixels
COUNTS = {'train': 800, 'val': 80}
SEG_CLASSES = GROUNDS + CLASSES  # the label map's value for class k is k + 1; 0 is unlabelled

# name: (every, first). Scene i has the case when i % every == first.
AWKWARD = {
    'odd size': (5, 1),  # height and width each anything from 96 to 160
    'cut': (10, 4),  # a thing that leaves the image
    'border': (10, 8),  # an unlabelled strip along the label map's four edges
    'tiny': (20, 3),  # a thing of at most 8 pixels
    'crowd': (25, 10),  # a group too small and dense to tell apart: one annotation with iscrowd=1
    'empty': (40, 7),  # no thing at all
}

_FIRST_SEED = {'train': 1_000_000, 'val': 2_000_000}
_HOMES = {
    'boat': ('sea',),
    'fish': ('sea',),
    'house': ('meadow', 'sand'),
    'starfish': ('sand', 'sea'),
    'lifebuoy': ('sea',),
}
# In radians, either way.
_TILTS = {'boat': 0.3, 'fish': 0.5, 'house': 0.25, 'starfish': np.pi, 'lifebuoy': np.pi}


@dataclass
class Scene:
    """A picture and its answer, H by W pixels.

    image: (H, W, 3) uint8, RGB.
    seen: (H, W) uint8, 0 for ground, k for the thing `things[k - 1]`; what is hidden or outside is not in it.
    labels: (H, W) uint8, 0 for unlabelled, k for `SEG_CLASSES[k - 1]`.
    things: for each thing its class, an index into `CLASSES`, and whether it is a crowd.
    """

    image: np.ndarray
    seen: np.ndarray
    labels: np.ndarray
    things: list


def draw_scene(split, index):
    """Scene `index` of 'train' or 'val', the same on every machine. No two scenes share a seed."""
    rng = np.random.RandomState(_FIRST_SEED[split] + index)
    cases = {name for name, (every, first) in AWKWARD.items() if index % every == first}
    height, width = rng.randint(96, 161, 2) if 'odd size' in cases else (SIZE, SIZE)
    slope = rng.uniform(-0.8, 0.8)
    light = np.array([np.sin(slope), np.cos(slope)])

    image, ground = draw_grounds(height, width, rng)
    placed = [] if 'empty' in cases else _place(ground, cases, light, rng)
    seen, things, sprites = _look(placed, height, width)
    for sprite in sprites:
        sprite.paste(image)

    labels = (ground + 1).astype(np.uint8)
    for number, (kind, _) in enumerate(things, 1):
        labels[seen == number] = SEG_CLASSES.index(CLASSES[kind]) + 1
    if 'border' in cases:
        strip = rng.randint(2, 6)
        labels[:strip] = labels[-strip:] = labels[:, :strip] = labels[:, -strip:] = 0
    return Scene(_expose(image, rng), seen, labels, things)


def _place(ground, cases, light, rng):
    """Things on the ground: (class, group, sprite), the farthest first. Group 0 is a crowd's members."""
    height, width = ground.shape
    placed, taken = [], []
    apart = rng.choice([0.55, 0.7, 0.85])  # below 1 things may overlap

    def put(kind, group, centre, radius):
        name = CLASSES[kind]
        sprite = draw_sprite(name, centre, radius, rng.uniform(-_TILTS[name], _TILTS[name]), light, rng)
        placed.append((centre[1] + radius, kind, group, sprite))

    if 'crowd' in cases:
        kind, spread = rng.randint(len(CLASSES)), 20
        middle = np.array([rng.uniform(26, width - 26), rng.uniform(26, height - 26)])
        for _ in range(rng.randint(16, 24)):
            put(kind, 0, middle + rng.uniform(-spread, spread, 2), rng.uniform(3.0, 5.0))
        taken.append((middle, spread))

    for group in range(1, rng.choice([1, 2, 3, 3, 4, 4]) + 1):
        kind = rng.randint(len(CLASSES))
        if not _home(kind, ground).any():  # a second chance for what feels at home in this view
            kind = rng.randint(len(CLASSES))
        home = _home(kind, ground)
        radius = 12 * (2.8 ** rng.uniform()) * min(height, width) / SIZE
        special = group == 1 and not cases.isdisjoint(('tiny', 'cut'))
        if special and 'tiny' in cases:
            radius = rng.uniform(3.0, 3.5)
        at_home = rng.uniform() < 0.8
        for attempt in range(60):
            centre = np.array([rng.uniform(radius, width - radius), rng.uniform(radius, height - radius)])
            if special and 'cut' in cases:
                centre[0] = rng.choice([0, width]) + rng.uniform(-0.3, 0.3) * radius
            y, x = np.clip((centre[1] + 0.5 * radius, centre[0]), 0, (height - 1, width - 1)).astype(int)
            if at_home and attempt < 30 and not home[y, x]:
                continue
            gaps = [abs(centre - other).max() / (radius + reach) for other, reach in taken]
            if all(gap > apart for gap in gaps):
                put(kind, group, centre, radius)
                taken.append((centre, radius))
                break
    return [entry[1:] for entry in sorted(placed, key=lambda entry: entry[0])]


def _home(kind, ground):
    """Where a class is mostly found, (H, W) bool."""
    return np.isin(ground, [GROUNDS.index(name) for name in _HOMES[CLASSES[kind]]])


def _look(placed, height, width):
    """What is seen of the placed things; one that others hide by more than half is left out altogether.

    Returns the map of things, their (class, is crowd), and the sprites to paint, the farthest first.
    """
    seen = np.zeros((height, width), np.uint8)
    numbers: dict = {}
    things: list = []
    sprites: list = []
    for kind, group, sprite in reversed(placed):
        whole = sprite.visible_in(height, width)
        free = whole & (seen == 0)
        if free.sum() < max(6, 0.5 * whole.sum()):
            continue
        if group not in numbers:
            things.append((kind, group == 0))
            numbers[group] = len(things)
        seen[free] = numbers[group]
        sprites.insert(0, sprite)
    return seen, things, sprites


def _expose(image, rng):
    """Light and camera: a passing cloud, exposure, contrast, a colour cast, a vignette and grain."""
    height, width = image.shape[:2]
    if rng.uniform() < 0.3:
        image = image * (1 - 0.25 * np.clip(2 * noise(height, width, 70, 70, rng), 0, 1))[..., None]
    y, x = np.mgrid[:height, :width]
    corner = ((2 * y / height - 1) ** 2 + (2 * x / width - 1) ** 2) / 2
    image = image * (1 - rng.uniform(0, 0.22) * corner)[..., None]
    image = 118 + (image - 118) * rng.uniform(0.9, 1.12)
    image = image * rng.uniform(0.92, 1.08) * rng.uniform(0.95, 1.05, 3)
    grain = rng.randint(-4, 5, (height, width, 1)) + rng.randint(-3, 4, (height, width, 3))
    image = image + rng.uniform(0.3, 1.0) * grain
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)
