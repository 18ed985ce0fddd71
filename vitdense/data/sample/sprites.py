"""From the polygons of a thing to pixels: colour, coverage, light and a shadow on what lies behind."""

from dataclasses import dataclass

import cv2
import numpy as np

from .things import INK, draw_parts

_FINE = 4  # drawn at 4 times the resolution, then averaged: soft edges from integer arithmetic
_BITS = 4  # fractional bits of the corners that OpenCV fills


@dataclass
class Sprite:
    """A thing in place on a square canvas of its own, whose top left pixel is (top, left) of the image.

    paint: (h, w, 3) float64, colour times coverage. cover, shade: (h, w) float64, 0 to 1, of the thing and of
    its shadow. The canvas may reach beyond the image on any side.
    """

    top: int
    left: int
    paint: np.ndarray
    cover: np.ndarray
    shade: np.ndarray

    def visible_in(self, height, width):
        """The pixels of an image that the thing covers by half or more: (height, width) bool."""
        mask = np.zeros((height, width), bool)
        there, here = self._overlap(height, width)
        mask[there] = self.cover[here] >= 0.5
        return mask

    def paste(self, image):
        """Paint the shadow, then the thing, into an image (H, W, 3) float64, in place."""
        there, here = self._overlap(*image.shape[:2])
        image[there] *= 1 - 0.4 * self.shade[here][..., None]
        image[there] *= 1 - self.cover[here][..., None]
        image[there] += self.paint[here]

    def _overlap(self, height, width):
        """The part of the canvas inside the image, as slices of the image and as slices of the canvas."""
        there, here = [], []
        for start, extent, limit in zip(
            (self.top, self.left), self.cover.shape, (height, width), strict=True
        ):
            low, high = max(start, 0), max(min(start + extent, limit), 0)
            there.append(slice(low, max(low, high)))
            here.append(slice(low - start, max(low, high) - start))
        return tuple(there), tuple(here)


def draw_sprite(name, centre, radius, angle, light, rng):
    """A thing of class `name`, mirrored or not and a little stretched, at `centre` = (x, y) pixels.

    `radius` is in pixels, `angle` in radians, `light` = (x, y) the direction that shadows fall in.
    """
    reach = int(1.35 * radius) + 6
    left, top = int(centre[0]) - reach, int(centre[1]) - reach
    side = 2 * reach + 1
    stretch = rng.uniform(0.9, 1.05)
    mirror = rng.choice([-1, 1])
    across = radius * mirror * np.array([np.cos(angle), np.sin(angle)])
    down = radius * stretch * np.array([-np.sin(angle), np.cos(angle)])
    origin = np.array(centre) - (left, top)

    fine = np.zeros((side * _FINE, side * _FINE), np.uint8)  # 0 where nothing is, k for colours[k]
    colours = [(0, 0, 0), INK]
    for part in draw_parts(name, rng):
        corners = [origin + p[:, :1] * across + p[:, 1:] * down for p in part.outlines]
        corners = [np.rint((p * _FINE - 0.5) * (1 << _BITS)).astype(np.int32) for p in corners]
        colours.append(part.colour)
        if part.clipped:
            pattern = np.zeros_like(fine)
            cv2.fillPoly(pattern, corners, 1, shift=_BITS)
            fine[(pattern > 0) & (fine > 0)] = len(colours) - 1
        else:
            cv2.fillPoly(fine, corners, len(colours) - 1, shift=_BITS)
    _outline(fine, 2 * round(0.045 * radius * _FINE) + 1)

    paint = _average(np.take(np.array(colours, np.uint16), fine, axis=0))
    cover = _average((fine > 0).astype(np.uint16))
    y, x = np.mgrid[:side, :side]
    away = ((x - origin[0]) * light[0] + (y - origin[1]) * light[1]) / radius
    paint *= (1.04 - 0.2 * np.clip(away, -1.2, 1.2))[..., None]
    shift = [round((1.5 + 0.12 * radius) * c) for c in light]
    shade = _soften(np.roll(cover, (shift[1], shift[0]), (0, 1)), 1 + int(0.06 * radius))
    return Sprite(top, left, paint, cover, shade)


def _outline(fine, width):
    """Ink along the silhouette, inside it, `width` // 2 fine pixels wide."""
    brush = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width))
    solid = (fine > 0).astype(np.uint8)
    fine[solid > cv2.erode(solid, brush)] = 1


def _average(fine):
    """Blocks of _FINE by _FINE pixels, uint16 up to 255, to their mean, float64."""
    rows = sum(fine[k::_FINE] for k in range(_FINE))
    return sum(rows[:, k::_FINE] for k in range(_FINE)) / _FINE**2


def _soften(cover, reach):
    """A box blur over 2 * reach + 1 pixels both ways. Sums of sixteenths are exact in float64."""
    for axis in (0, 1):
        cover = sum(np.roll(cover, k, axis) for k in range(-reach, reach + 1))
    return cover / (2 * reach + 1) ** 2
