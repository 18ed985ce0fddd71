"""What a model finds in one image, whichever head found it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from mmengine.structures import InstanceData, PixelData
from PIL import Image
from pycocotools import mask as coco_mask

from ..errors import UserError
from ..show.colours import Colour

if TYPE_CHECKING:
    import supervision


@dataclass(frozen=True, eq=False, repr=False)
class Result:
    """The objects, or the label map, of one image. Coordinates are pixels of the image as a person sees it.

    Attributes:
        name: of the image: its path, or its number among those given.
        image: (H, W, 3), RGB, uint8.
        classes: the names of all classes of the model.
        palette: their colours, RGB.
        boxes: (N, 4), float32: left, top, right, bottom; the surest first.
        scores: (N,), float32, from 0 to 1.
        labels: (N,), int64, indices of `classes`.
        label_map: (H, W), indices of `classes`, of a segmentor; of a detector None.
        frame: the number of the frame, from 0, in a video; or None.
    """

    name: str
    image: np.ndarray
    classes: tuple[str, ...]
    palette: tuple[Colour, ...]
    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    label_map: np.ndarray | None = None
    frame: int | None = None
    run_lengths: Sequence[Mapping[str, Any]] | None = None
    """The masks as COCO's run lengths, or None; `masks` has their pixels."""

    def __repr__(self) -> str:
        height, width = self.size
        counts = Counter(self.names)
        found = ', '.join(f'{count} {name}' for name, count in counts.most_common()) or 'nothing'
        if self.label_map is not None:
            present = np.unique(self.label_map[self.label_map < len(self.classes)]).tolist()
            found = 'label map of ' + ', '.join(self.classes[label] for label in present)
        frame = '' if self.frame is None else f', frame {self.frame}'
        return f'Result({self.name}{frame}, {height} × {width}: {found})'

    def __len__(self) -> int:
        """The number of objects."""
        return len(self.boxes)

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of the image."""
        height, width = self.image.shape[:2]
        return height, width

    @cached_property
    def names(self) -> list[str]:
        """The class of each object."""
        return [self.classes[label] for label in self.labels.tolist()]

    @property
    def masks(self) -> np.ndarray | None:
        """(N, H, W), bool; None where the model finds no masks."""
        if self.run_lengths is None:
            return None
        pixels = [coco_mask.decode(run) for run in self.run_lengths]
        return np.array(pixels, dtype=bool).reshape(-1, *self.size)

    def draw(self) -> Image.Image:
        """The image with what was found on it.

        A small image is enlarged, so that the names can be read; one of more than 4096 pixels is reduced.
        """
        from ..show.overlay import draw_answer

        return Image.fromarray(draw_answer(self.image, self._answer(), self.classes, self.palette))

    def _answer(self) -> InstanceData | PixelData:
        if self.label_map is not None:
            return PixelData(data=torch.from_numpy(self.label_map.astype(np.int64))[None])
        found = InstanceData(
            bboxes=torch.from_numpy(self.boxes),
            scores=torch.from_numpy(self.scores),
            labels=torch.from_numpy(self.labels),
        )
        if (masks := self.masks) is not None:
            found.masks = torch.from_numpy(masks)
        return found

    def to_coco(
        self, image_id: int = 1, first_id: int = 1, category_ids: Sequence[int] | None = None
    ) -> list[dict[str, Any]]:
        """The objects as entries of COCO's `annotations` with their `score`, as pycocotools' `loadRes`
        takes.

        Args:
            image_id: of the image.
            first_id: of the first object.
            category_ids: one per class; by default 1, 2, 3, ….

        Raises:
            ValueError: a label map, which has no objects.
        """
        if self.label_map is not None:
            raise ValueError('a label map has no objects; save_label_map(path) writes it')
        ids = category_ids or range(1, len(self.classes) + 1)
        entries = []
        for number, (box, score, label) in enumerate(
            zip(self.boxes.tolist(), self.scores.tolist(), self.labels.tolist(), strict=True)
        ):
            left, top, right, bottom = box
            entry: dict[str, Any] = dict(
                id=first_id + number,
                image_id=image_id,
                category_id=ids[label],
                bbox=[left, top, right - left, bottom - top],
                area=(right - left) * (bottom - top),
                iscrowd=0,
                score=score,
            )
            if self.run_lengths is not None:
                run = self.run_lengths[number]
                counts = run['counts']
                text = counts.decode() if isinstance(counts, bytes) else counts
                entry.update(segmentation=dict(run, counts=text), area=float(coco_mask.area(run)))
            entries.append(entry)
        return entries

    def to_supervision(self) -> 'supervision.Detections':
        """The objects, or the classes of the label map, as `Detections` of the supervision package.

        Raises:
            UserError: it is not installed.
        """
        sv = import_supervision()
        if self.label_map is None:
            boxes, scores, labels, masks = self.boxes, self.scores, self.labels, self.masks
        else:
            labels = np.unique(self.label_map[self.label_map < len(self.classes)]).astype(np.int64)
            masks = self.label_map[None] == labels[:, None, None]
            boxes, scores = sv.mask_to_xyxy(masks).astype(np.float32), None
        names = np.array([self.classes[label] for label in labels.tolist()])
        return sv.Detections(boxes, masks, scores, labels, data=dict(class_name=names))

    def save_label_map(self, path: str | Path) -> None:
        """Write the label map as a PNG of indices of `classes`, with their colours as its palette.

        More than 256 classes are written with 16 bits and no palette.

        Raises:
            ValueError: a detector's result, or a path that is no PNG.
        """
        if self.label_map is None:
            raise ValueError('a detector finds objects; to_coco() has them')
        if Path(path).suffix.lower() != '.png':
            raise ValueError(f'{path}: expected a .png file, which keeps the values as they are')
        if len(self.classes) > 256:
            Image.fromarray(self.label_map.astype(np.uint16)).save(path)
            return
        image = Image.fromarray(self.label_map.astype(np.uint8), mode='P')
        image.putpalette([value for colour in self.palette for value in colour])
        image.save(path)


def encoded(masks: np.ndarray) -> list[dict[str, Any]]:
    """Masks (N, H, W) as COCO's run lengths."""
    return [coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8)) for mask in masks]


def import_supervision() -> Any:
    """The supervision package.

    Raises:
        UserError: it is not installed.
    """
    try:
        import supervision
    except ImportError as error:
        raise UserError('needs the package supervision: pip install supervision') from error
    return supervision
