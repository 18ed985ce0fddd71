"""Images that two runs answer differently, predicted once more by both, beside the truth."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..engine.work_dir import trained_model
from ..errors import UserError
from ..predict.load import load
from ..predict.predictor import Predictor, scope_of, tested_images
from ..predict.result import encoded
from ..show.pictures import truth_of
from .images import jpeg, label_png, open_picture, shapes


class Different(NamedTuple):
    """One image; the answers as those of a `Picture`.

    worth: of both predictions, from 0 to 1.
    """

    name: str
    width: int
    height: int
    image: str
    truth: Any
    predictions: list[Any]
    worth: list[float]


def predicted(
    folders: Sequence[Path],
    checkpoints: Sequence[str],
    names: Sequence[tuple[str, Sequence[float]]],
    thresholds: Sequence[float],
) -> Iterator[Different]:
    """Predict on some images of the first run's validation.

    Args:
        folders: of the runs.
        checkpoints: of the runs, where a folder has none, as that of a test.
        names: of the images, and what the predictions are worth.
        thresholds: of each run, the score from which on objects are kept.

    Raises:
        UserError: a checkpoint or the images cannot be found.
    """
    models = [load(_checkpoint(*pair)) for pair in zip(folders, checkpoints, strict=True)]
    cfg = models[0].cfg
    dataset = tested_images(cfg)
    places = {dataset.get_data_info(index)['img_path']: index for index in range(len(dataset))}
    for name, worth in names:
        path = next((path for path in places if Path(path).as_posix().endswith(f'/{name}')), None)
        if path is None:
            raise UserError(f'{name}: not among the images of {folders[0]}')
        image, scale = open_picture(path)
        with scope_of(cfg):
            sample = dataset[places[path]]['data_samples']
        answers = [
            _answer(model, path, least, scale, image.size)
            for model, least in zip(models, thresholds, strict=True)
        ]
        truth = _truth(sample, scale, image.size, models[0].palette)
        yield Different(name, *image.size, jpeg(image), truth, answers, list(worth))


def _checkpoint(folder: Path, recorded: str) -> Path:
    try:
        return trained_model(folder)
    except UserError:  # the folder of a test
        return trained_model(recorded or folder)


def _answer(model: Predictor, path: str, least: float, scale: float, size: tuple[int, int]) -> Any:
    result = model.predict(path, score=least)[0]
    if result.label_map is not None:
        return label_png(result.label_map.astype(np.int64), size, model.palette)
    masks = result.run_lengths
    return [
        asdict(one)
        for one in shapes(result.boxes, result.labels.tolist(), scale, result.scores.tolist(), masks)
    ]


def _truth(sample: Any, scale: float, size: tuple[int, int], palette: Any) -> Any:
    truth = truth_of(sample)
    if truth is None:
        return []
    if 'data' in truth:
        return label_png(truth.data.squeeze(0).numpy(), size, palette)
    boxes = np.asarray(getattr(truth.bboxes, 'tensor', truth.bboxes), dtype=float).reshape(-1, 4)
    masks = truth.get('masks')
    if masks is not None:
        masks = encoded(masks.to_ndarray())
    return [asdict(one) for one in shapes(boxes, truth.labels.tolist(), scale, masks=masks)]
