"""What a training sees, at its start, and the model's predictions beside the ground truth, at its end."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from mmengine.runner import Runner
from mmengine.structures import BaseDataElement
from torch import Tensor

from ..data.dataset import classes_of
from ..data.photo import read_photo
from ..data.reproducible import SampleId
from ..engine.averaging import averaged
from ..engine.processes import unwrapped
from ..findings import first_few
from .colours import palette_of
from .fonts import drawable_labels
from .overlay import distinct, least_score
from .sheet import Shown, amounts_in, save_sheet

IMAGES = 6
SAMPLES = 16  # of a training
TRIES = 4  # images of each part of a dataset, of which one is drawn
SIDE = 512  # pixels of the longer side of a drawn image


def draw_predictions(runner: Runner, dataset: Any, path: str | Path) -> str:
    """Images spread over a dataset, the ground truth on the left, the prediction on the right.

    Returns:
        what a reader has to know about the picture, or nothing.
    """
    model = unwrapped(runner)
    model.eval()
    least = least_score(model)
    labels, palette = drawable_labels(classes_of(dataset)), palette_of(dataset)
    with averaged(runner):
        shown = [_predicted(model, item, least) for item in chosen(dataset, len(palette))]
    save_sheet(path, shown, labels, palette, least)
    if not labels.undrawable:
        return ''
    names = first_few((f'{index} {name}' for index, name in labels.undrawable.items()), 20)
    return f'no font on this system can draw these names, classes are numbered: {names}'


def draw_training_samples(runner: Runner, path: str | Path) -> int:
    """Samples spread over the training data, as its pipeline gives them, with their objects or labels.

    Returns:
        how many.
    """
    dataset = runner.train_dataloader.dataset
    count = min(SAMPLES, len(dataset))
    shown = []
    for number in range(count):
        item = dataset[SampleId(number * len(dataset) // count, 0, number)]
        sample = item['data_samples']
        shown.append(_shown(_inputs(sample, item['inputs']), truth_of(sample), None, SIDE // 2))
    save_sheet(path, shown, drawable_labels(classes_of(dataset)), palette_of(dataset))
    return count


def chosen(dataset: Any, classes: int) -> Iterator[Any]:
    """Images spread evenly over a dataset.

    Of each part, the first of a few images that has a class which none before it has; or else, that has
    an object at all.
    """
    count = min(IMAGES, len(dataset))
    seen: set[int] = set()
    for part in range(count):
        start, stop = part * len(dataset) // count, (part + 1) * len(dataset) // count
        best, most, found = None, -1, set()
        for index in dict.fromkeys(start + i * (stop - start) // TRIES for i in range(TRIES)):
            item = dataset[index]
            kinds = set(amounts_in(truth_of(item['data_samples']), classes))
            merit = min(len(kinds), 1) + min(len(kinds - seen), 1)
            if merit > most:
                best, most, found = item, merit, kinds
            if merit == 2:
                break
        seen |= found
        yield best


def _predicted(model: Any, item: dict, least: float) -> Shown:
    with torch.no_grad():
        batch = dict(inputs=[item['inputs']], data_samples=[item['data_samples']])
        sample = model.test_step(batch)[0].cpu()
    return _shown(_pixels(sample, item['inputs']), truth_of(sample), _prediction(sample, least))


def _shown(image: np.ndarray, truth: Any, prediction: Any, side: int = SIDE) -> Shown:
    scale = side / max(image.shape[:2])
    size = [max(1, round(length * scale)) for length in image.shape[1::-1]]
    image = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    return Shown(image, scale, truth, prediction)


def _pixels(sample: BaseDataElement, inputs: Tensor) -> np.ndarray:
    """The file's own pixels, which the answers are in; or else those that the model got, resized to that."""
    path, size = sample.get('img_path'), sample.get('ori_shape')
    with suppress(Exception):  # Pillow's formats raise anything, and it may be no path of a file
        image = read_photo(Path(path).read_bytes(), bits=None)
        # of another size where a pipeline reads the file in another way, as not turned by its EXIF
        if size in (None, image.shape[:2]):
            return np.ascontiguousarray(image[..., ::-1])
    image = _inputs(sample, inputs)
    return cv2.resize(image, size[1::-1]) if size else image


def _inputs(sample: BaseDataElement, inputs: Tensor) -> np.ndarray:
    """The pixels (H, W, 3), RGB, that the model got."""
    height, width = sample.get('img_shape', inputs.shape[-2:])[:2]
    bgr = inputs[:3, :height, :width].float()
    bgr = bgr.flip(0) if len(bgr) == 3 else bgr[:1].expand(3, -1, -1)
    if bgr.max() > 255:  # of 16 bits
        bgr = bgr * (255 / bgr.max())
    return np.ascontiguousarray(bgr.permute(1, 2, 0).clamp(0, 255).byte().numpy())


def truth_of(sample: BaseDataElement) -> Any:
    """The ground truth of a sample, if it has one: a label map, or instances."""
    if 'gt_sem_seg' in sample:
        return sample.gt_sem_seg
    if 'gt_instances' in sample and 'labels' in sample.gt_instances:
        return sample.gt_instances
    return None


def _prediction(sample: BaseDataElement, least: float) -> Any:
    """The prediction: a label map, or instances of at least a score, the surest first."""
    if 'pred_sem_seg' in sample:
        return sample.pred_sem_seg
    found = sample.pred_instances
    return distinct(found[found.scores >= least])
