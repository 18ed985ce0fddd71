"""The four grounds of the sample world, and the noise that gives them their texture."""

import numpy as np

GROUNDS = ('sky', 'sea', 'sand', 'meadow')

# Colours at the far and the near edge of each ground; a scene draws one row.
_COLOURS = {
    'sky': (
        ((96, 168, 214), (222, 236, 228)),
        ((126, 190, 222), (250, 226, 190)),
        ((104, 112, 170), (250, 188, 150)),
        ((238, 170, 158), (253, 228, 184)),
    ),
    'sea': (
        ((98, 182, 184), (24, 100, 132)),
        ((76, 150, 178), (34, 86, 134)),
        ((130, 196, 186), (46, 136, 150)),
    ),
    'sand': (((234, 208, 160), (216, 182, 132)), ((240, 216, 180), (222, 190, 150))),
    'meadow': (((168, 188, 98), (104, 146, 72)), ((134, 168, 88), (76, 124, 72))),
}

# From far to near, top to bottom: views over land and water, and views straight down on one ground.
_VIEWS = (
    ('sky', 'sea', 'sand'),
    ('sky', 'sea', 'meadow'),
    ('sky', 'meadow', 'sea'),
    ('sky', 'meadow', 'sand'),
    ('sky', 'meadow'),
    ('sky', 'sea'),
    ('sea', 'sand'),
    ('sand', 'sea'),
    ('meadow', 'sand'),
    ('meadow', 'sea'),
    ('sea',),
    ('sand',),
    ('meadow',),
)


def draw_grounds(height, width, rng):
    """A view of one to three grounds: paint (height, width, 3) float64, and map of `GROUNDS` indices."""
    view = _VIEWS[rng.randint(len(_VIEWS))]
    rows, columns = np.arange(height)[:, None], np.arange(width)[None, :]
    paint = _draw_ground(view[0], height, width, rng)
    ground = np.full((height, width), GROUNDS.index(view[0]))
    edges = {1: (), 2: ((0.25, 0.7),), 3: ((0.2, 0.4), (0.55, 0.8))}[len(view)]
    for far, near, (low, high) in zip(view, view[1:], edges, strict=False):
        line = height * rng.uniform(low, high) + 0 * columns
        if near != 'sea' or far != 'sky':  # only the sea's horizon is straight
            tilt = 0.0 if far == 'sky' else rng.uniform(-0.2, 0.2)
            line = (
                line
                + tilt * (columns - width / 2)
                + 7 * noise(1, width, 1, 36, rng)
                + noise(1, width, 1, 9, rng)
            )
        depth = rows - line
        if {far, near} == {'sea', 'sand'}:
            paint = _blend(paint, (246, 248, 238), 0.8 * np.clip(3.0 - np.abs(depth), 0, 1))
        paint += (_draw_ground(near, height, width, rng) - paint) * np.clip(depth + 0.5, 0, 1)[..., None]
        ground[depth >= 0] = GROUNDS.index(near)
    return paint, ground


def _draw_ground(name, height, width, rng):
    """One ground over the whole image: (height, width, 3) float64, 0 to 255."""
    rows, columns = np.arange(height)[:, None], np.arange(width)[None, :]
    far, near = _COLOURS[name][rng.randint(len(_COLOURS[name]))]
    depth = rows / (height - 1) + 0.12 * noise(height, width, 60, 60, rng)
    paint = np.array(far) + (np.array(near) - np.array(far, float)) * np.clip(depth, 0, 1)[..., None]
    if name == 'sky':
        puffs = noise(height, width, 14, 44, rng) + 0.6 * noise(height, width, 6, 14, rng)
        return _blend(paint, (255, 250, 240), 0.75 * np.clip(puffs * 2.2 - 0.35, 0, 1))
    if name == 'sea':
        # The swell bends the lines of the waves; their crests widen towards the viewer.
        swell = 7 * noise(height, width, 22, 40, rng)
        phase = np.abs((rows + swell) % 11 - 5.5) / 5.5
        breaks = np.clip(noise(height, width, 7, 22, rng) * 2.4, 0, 1)
        paint = paint + 9 * noise(height, width, 5, 26, rng)[..., None]
        return _blend(paint, (232, 246, 236), 0.7 * np.clip(phase * 5 - 4, 0, 1) * breaks)
    if name == 'sand':
        ripple = np.abs((0.8 * rows + 0.35 * columns + 9 * noise(height, width, 26, 26, rng)) % 9 - 4.5) / 4.5
        paint = paint + (7 * (ripple - 0.5) + 5 * noise(height, width, 2, 2, rng))[..., None]
        return _blend(paint, (150, 112, 84), 0.5 * (rng.random_sample((height, width)) < 0.012))
    paint = paint + (13 * noise(height, width, 16, 24, rng) + 16 * noise(height, width, 6, 2, rng))[..., None]
    flowers = rng.random_sample((height, width)) < 0.006
    flowers[1:] |= flowers[:-1]
    return _blend(paint, (252, 236, 196), 0.8 * flowers)


def noise(height, width, tall, wide, rng):
    """Value noise (height, width), about -1 to 1, its features `tall` by `wide` pixels."""
    grid = rng.uniform(-1, 1, (height // tall + 2, width // wide + 2))
    y, v = _cells(height, tall)
    x, u = _cells(width, wide)
    grid = grid[y] * (1 - v[:, None]) + grid[y + 1] * v[:, None]
    return grid[:, x] * (1 - u) + grid[:, x + 1] * u


def _cells(length, size):
    """For every pixel its grid cell and its smoothed place in it, 0 to 1."""
    cell, place = np.divmod(np.arange(length), size)
    place = place / size
    return cell, place * place * (3 - 2 * place)


def _blend(paint, colour, opacity):
    return paint + (np.array(colour) - paint) * opacity[..., None]
