"""An image as the backbone gets it, and as a person sees it: where a place of the photo is in a map."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..errors import UserError
from ..predict.predictor import Predictor, scope_of
from ..predict.sources import Photo


class Place(NamedTuple):
    """A point of a photo, in its pixels."""

    x: float
    y: float


class Window(NamedTuple):
    """A rectangle, in pixels of the backbone's image."""

    left: float
    top: float
    right: float
    bottom: float


@dataclass(frozen=True, eq=False)
class View:
    """One photo, prepared by the config's test pipeline.

    name: of the photo.
    image: (1, 3, H, W), normalised, padded at the right and bottom: what the backbone gets.
    shown: (h, w, 3), RGB, uint8: the same pixels without the padding.
    scale: (x, y), by which the photo was resized.
    """

    name: str
    image: Tensor
    shown: np.ndarray
    scale: tuple[float, float]

    @classmethod
    def of(cls, predictor: Predictor, photo: Photo, size: int | None = None) -> 'View':
        """Prepared as for `predict`, which has `size`, too."""
        item = predictor.prepare(photo, size)
        height, width = photo.image.shape[:2]
        model: Any = predictor.model
        with scope_of(predictor.cfg), torch.no_grad():
            batch = dict(inputs=[item['inputs']], data_samples=[item['data_samples']])
            image = model.data_preprocessor(batch, training=False)['inputs']
        scale = item['data_samples'].get('scale_factor')
        if scale is None:  # of a pipeline without a resize
            across = down = 1.0
        else:
            across, down = float(scale[0]), float(scale[1])
        inputs = item['inputs'][:3].float()
        inputs = inputs[:, : max(1, round(height * down)), : max(1, round(width * across))]
        shown = inputs.flip(0).permute(1, 2, 0).clamp(0, 255).byte().cpu().numpy()  # of BGR
        return cls(photo.name, image, np.ascontiguousarray(shown), (across, down))

    @property
    def unpadded(self) -> Tensor:
        """The backbone's image without the padding."""
        return self.image[:, :, : self.shown.shape[0], : self.shown.shape[1]]

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of the backbone's image."""
        return self.image.shape[2], self.image.shape[3]

    def check(self, place: Place) -> None:
        """Refuse a place outside the photo.

        Raises:
            UserError: it is not in the photo.
        """
        height, width = (
            round(side / by) for side, by in zip(self.shown.shape[:2], self.scale[::-1], strict=True)
        )
        if not (0 <= place.x < width and 0 <= place.y < height):
            raise UserError(
                f'--at {place.x:g} {place.y:g}: not in {self.name}, '
                f'which is {width} pixels wide and {height} high'
            )

    def point(self, place: Place) -> tuple[float, float]:
        """(x, y) in the backbone's image."""
        return (place.x + 0.5) * self.scale[0], (place.y + 0.5) * self.scale[1]

    def cell(
        self, place: Place, size: tuple[int, int], stride: float | tuple[float, float]
    ) -> tuple[int, int]:
        """The row and the column of a place in a map of `size` = (h, w), whose cells are `stride` pixels."""
        x, y = self.point(place)
        down, across = stride if isinstance(stride, tuple) else (stride, stride)
        return min(int(y / down), size[0] - 1), min(int(x / across), size[1] - 1)
