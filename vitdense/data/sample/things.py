"""The five things of the sample world, as stacks of coloured polygons.

A thing is drawn in its own square, x to the right and y down, both about -1 to 1. Colours come from one
poster palette that the classes share: each has favourites, none has a colour to itself, so that a detector
has to look at shape and pattern.

Only the four operations, sine and cosine are used, and every draw is from a `RandomState`, whose stream
NumPy has frozen: the same seed gives the same thing on every machine.
"""

from dataclasses import dataclass

import numpy as np

CLASSES = ('boat', 'fish', 'house', 'starfish', 'lifebuoy')

INK = (44, 42, 58)
CREAM = (250, 241, 219)
TOMATO = (216, 72, 56)
CORAL = (240, 132, 88)
AMBER = (246, 186, 74)
TEAL = (38, 154, 146)
NAVY = (45, 78, 126)
PLUM = (128, 72, 120)
BRICK = (158, 66, 62)
SAGE = (150, 176, 122)
LAMP = (255, 226, 140)


@dataclass
class Part:
    """Polygons filled together by the even-odd rule, so that a polygon inside another one is a hole.

    `outlines` are arrays (N, 2) of x, y. A part that is `clipped` is a pattern: it colours only what earlier
    parts have covered already and never grows the silhouette.
    """

    colour: tuple
    outlines: list
    clipped: bool


def draw_parts(name, rng):
    """The parts of one thing of class `name`, first painted first, shaped and coloured by `rng`."""
    return _DRAW[name](rng)


def _boat(rng):
    hulls, canvas = (NAVY, NAVY, TOMATO, TEAL, PLUM), (CREAM, CREAM, CREAM, AMBER, CORAL)
    hull, stripe, sails = _pick(rng, hulls, (CREAM, AMBER), canvas)
    top, bow = rng.uniform(-1.0, -0.85), rng.uniform(0.85, 1.0)
    main = [(0.02, top + 0.06), (0.62, -0.2), (0.82, 0.24), (0.02, 0.24)]
    jib = [(-0.02, top + 0.2), (-0.5, -0.1), (-0.68, 0.24), (-0.02, 0.24)]
    belly = [(-0.92, 0.34), (bow, 0.34), (0.6, 0.86), (-0.62, 0.86)]
    yield _solid(INK, _box(-0.035, top, 0.035, 0.4))
    yield _solid(sails, _round(main, 2, 0.1))
    yield _solid(_tint(sails, -0.1), _round(jib, 2, 0.1))
    if rng.uniform() < 0.5:
        band = rng.uniform(-0.3, -0.05)
        yield _pattern(_tint(hull, 0.15), _box(-1, band, 1, band + 0.16))
    yield _solid(hull, _round(belly, 2, 0.1))
    yield _pattern(stripe, _box(-1, 0.34, 1, 0.47))
    yield _pattern(_tint(hull, -0.25), _box(-1, 0.7, 1, 0.9))


def _fish(rng):
    body, fins = _pick(rng, (AMBER, AMBER, AMBER, CORAL, TEAL, NAVY), (TOMATO, TOMATO, TEAL, CORAL))
    if fins == body:
        fins = TOMATO
    back, stripes = rng.uniform(0.42, 0.58), rng.randint(2, 4)
    upper = [(-0.98, 0.05), (-0.55, -back), (0.1, -back), (0.66, -0.1)]
    lower = [(0.66, 0.1), (0.1, back), (-0.55, back)]
    belly = [(-1, 0.18), (-0.2, 0.34), (0.7, 0.06), (0.4, 0.8), (-0.8, 0.8)]
    yield _solid(fins, _round([(-0.4, -0.3), (-0.1, -back - 0.34), (0.42, -back - 0.16), (0.3, -0.1)]))
    yield _solid(fins, _round([(-0.2, 0.3), (0.12, back + 0.26), (0.3, 0.2)]))
    yield _solid(fins, _round([(0.42, 0.0), (0.98, -0.52), (0.8, 0.0), (0.98, 0.52)], 2))
    yield _solid(body, _round(upper + lower))
    yield _pattern(_tint(body, 0.4), _round(belly))
    for x in np.linspace(-0.22, 0.36, stripes):
        slant = [(x, -0.9), (x + 0.13, -0.9), (x + 0.07, 0.3), (x - 0.02, 0.3)]
        yield _pattern(CREAM if body in (TEAL, NAVY) else fins, slant)
    yield _pattern(CREAM, _disc(-0.62, -0.1, 0.15))
    yield _pattern(INK, _disc(-0.65, -0.1, 0.08))


def _house(rng):
    walls, roofs = (CREAM, CREAM, CREAM, AMBER, CORAL, SAGE), (TOMATO, TOMATO, BRICK, NAVY, PLUM)
    wall, roof, door = _pick(rng, walls, roofs, (NAVY, BRICK, TEAL))
    eaves, width = rng.uniform(-0.22, 0.0), rng.uniform(0.6, 0.76)
    side = rng.choice([-1, 1])
    yield _solid(_tint(roof, -0.25), _box(0.28, -0.86, 0.5, -0.3))
    yield _solid(wall, _box(-width, eaves, width, 0.92))
    for y in np.arange(eaves + 0.2, 0.9, 0.2):
        yield _pattern(_tint(wall, -0.16), _box(-1, y, 1, y + 0.035))
    yield _solid(roof, [(-width - 0.22, eaves + 0.06), (0, -0.96), (width + 0.22, eaves + 0.06)])
    for share in (0.35, 0.62, 0.86):
        y, half = -0.96 + share * (eaves + 1.0), (width + 0.22) * share
        yield _pattern(_tint(roof, -0.22), _box(-half, y - 0.03, half, y + 0.03))
    x = 0.27 * side
    yield _pattern(door, _box(x - 0.18, 0.3, x + 0.18, 0.95))
    x = -0.3 * side
    yield _pattern(INK, _box(x - 0.2, 0.22, x + 0.2, 0.62))
    yield _pattern(LAMP, _box(x - 0.15, 0.27, x + 0.15, 0.57))
    yield _pattern(INK, _box(x - 0.025, 0.27, x + 0.025, 0.57))


def _starfish(rng):
    (body,) = _pick(rng, (CORAL, CORAL, TOMATO, PLUM, PLUM, TEAL, AMBER))
    waist, turn = rng.uniform(0.36, 0.46), 2 * np.pi / 5
    angles = np.arange(5) * turn - np.pi / 2 + rng.uniform(-0.1, 0.1, 5)
    rim = []
    for angle in angles:
        rim += [_polar(1.06, angle - 0.11), _polar(1.06, angle + 0.11), _polar(waist, angle + turn / 2)]
    star = _round(rim)
    yield _solid(body, star)
    yield _pattern(_tint(body, 0.28), star * 0.58)
    for angle in angles:
        for reach, radius in ((0.3, 0.085), (0.5, 0.069), (0.68, 0.053)):
            x, y = _polar(reach, angle)
            yield _pattern(CREAM, _disc(x, y, radius, 10))
    yield _pattern(CREAM, _disc(0, 0, 0.1))


def _lifebuoy(rng):
    (band,) = _pick(rng, (TOMATO, TOMATO, CORAL, NAVY, TEAL, AMBER))
    hole, squash, start = rng.uniform(0.42, 0.52), rng.uniform(0.8, 1.0), rng.uniform(0, np.pi)
    flat = np.array([1.0, squash])
    angles = start + np.arange(4) * np.pi / 2
    yield _solid(CREAM, _disc(0, 0, 1.0, 48) * flat, _disc(0, 0, hole, 32) * flat)
    for angle in angles:
        wedge = [(0, 0), _polar(1.6, angle - 0.42), _polar(1.6, angle), _polar(1.6, angle + 0.42)]
        yield _pattern(band, wedge * flat)
    for angle in np.concatenate([angles - 0.42, angles + 0.42]):
        rope = [(hole, -0.04), (1.1, -0.03), (1.1, 0.03), (hole, 0.04)]
        yield _pattern(INK, np.array([_polar(r, angle + t) for r, t in rope]) * flat)


_DRAW = {'boat': _boat, 'fish': _fish, 'house': _house, 'starfish': _starfish, 'lifebuoy': _lifebuoy}


def _solid(colour, *outlines):
    return Part(colour, [np.asarray(o, float) for o in outlines], clipped=False)


def _pattern(colour, *outlines):
    return Part(colour, [np.asarray(o, float) for o in outlines], clipped=True)


def _pick(rng, *choices):
    """One colour from each palette."""
    return [palette[rng.randint(len(palette))] for palette in choices]


def _tint(colour, amount):
    """A colour moved towards white (amount > 0) or black (amount < 0), by that fraction."""
    goal = 255 if amount > 0 else 0
    return tuple(round(c + (goal - c) * abs(amount)) for c in colour)


def _box(left, top, right, bottom):
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)])


def _polar(radius, angle):
    return radius * np.cos(angle), radius * np.sin(angle)


def _disc(x, y, radius, corners=20):
    angles = np.arange(corners) * (2 * np.pi / corners)
    return np.stack([x + radius * np.cos(angles), y + radius * np.sin(angles)], 1)


def _round(points, times=3, cut=0.25):
    """Chaikin's corner cutting: each corner becomes two points, the fraction `cut` along its two sides."""
    points = np.asarray(points, float)
    for _ in range(times):
        after = np.roll(points, -1, 0)
        near, far = (1 - cut) * points + cut * after, cut * points + (1 - cut) * after
        points = np.stack([near, far], 1).reshape(-1, 2)
    return points
