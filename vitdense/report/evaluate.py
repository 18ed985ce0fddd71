"""A validation image by image: from what the metrics keep to the evaluations, and the images worth a look."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..analysis.detections import evaluate_detections
from ..analysis.files import Evaluation, load_evaluation, save_evaluation
from ..analysis.label_maps import LabelMapEvaluation, evaluate_label_maps
from ..data.dataset import classes_of, leaf_datasets
from ..errors import UserError
from .facts import FOLDER, Evaluated, write_whole
from .images import Picture, jpeg, label_png, open_picture, shapes

EACH = 4  # images of the best, of the middle, and of the worst
PICTURES = 'pictures.json'
BUDGET = 1_900_000  # characters of all of them on the page


class Found(NamedTuple):
    """A validation.

    scores: by their names.
    per_class: as the metrics say it.
    evaluations: by what was scored: 'bbox', 'segm', 'label_maps'.
    pictures: the best, middle and worst images.
    images: how many there were.
    """

    scores: dict[str, float]
    per_class: dict[str, dict[str, dict[str, float]]]
    evaluations: dict[str, Evaluation]
    pictures: list[Picture]
    images: int


def evaluate(
    evaluator: Any,
    dataset: Any,
    scores: Mapping[str, float],
    palette: Sequence[Sequence[int]],
) -> Found:
    """What the metrics of a validation that has just ended know; metrics that are not ours: scores alone."""
    evaluations: dict[str, Evaluation] = {}
    per_class: dict[str, dict[str, dict[str, float]]] = {}
    pictures: list[Picture] = []
    for metric in evaluator.metrics:
        per_class |= getattr(metric, 'per_class', {})
        if predictions := getattr(metric, 'predictions', None):
            kinds = [kind for kind in metric.metrics if kind in ('bbox', 'segm')]
            for kind in kinds:
                evaluations[kind] = evaluate_detections(
                    metric._coco_api, predictions, metric.cat_ids, metric.img_ids, classes_of(dataset), kind
                )
            if kinds:
                pictures = list(_detected(metric, dataset, evaluations[kinds[-1]]))
        elif areas := getattr(metric, 'images', None):
            evaluations['label_maps'] = _label_maps(areas, classes_of(dataset))
            pictures = list(_labelled(areas, evaluations['label_maps'], palette))
    values = {name: float(score) for name, score in scores.items() if np.ndim(score) == 0}
    images = max((len(one.images) for one in evaluations.values()), default=len(dataset))
    return Found(values, per_class, evaluations, _within_budget(pictures), images)


def save_evaluated(
    found: Found, work_dir: Path, iteration: int = 0, monitored: str = '', higher: bool = True
) -> Evaluated:
    """Into a run's folder, in place of an earlier validation."""
    folder = work_dir / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    files = {}
    for kind, evaluation in found.evaluations.items():
        files[kind] = f'{kind}.npz'
        save_evaluation(evaluation, folder / files[kind])
    write_whole(folder / PICTURES, json.dumps([asdict(picture) for picture in found.pictures]))
    return Evaluated(iteration, found.scores, monitored, higher, found.per_class, files, found.images)


def read_pictures(work_dir: Path) -> list[Picture]:
    """Of a run's folder; none, where it has none."""
    file = work_dir / FOLDER / PICTURES
    try:
        return [Picture(**one) for one in json.loads(file.read_text())] if file.is_file() else []
    except (ValueError, TypeError) as error:
        raise UserError(f'{file}: damaged ({error}); without this file, the page has no images') from error


def read_evaluation(file: Path) -> Evaluation:
    """An evaluation of a run's folder.

    Raises:
        UserError: it is damaged.
    """
    try:
        return load_evaluation(file)
    except ValueError as error:
        raise UserError(f'{error}; without this file, the page has no parts by image') from error


def spread_by_worth(worth: np.ndarray, counts: np.ndarray) -> list[tuple[str, int]]:
    """The best, middle and worst images, each once; of images alike in that, those with more to find.

    Args:
        worth: (I,), of the predictions, from 0 to 1.
        counts: (I,), objects or classes; an image without any is no example.
    """
    order = [int(index) for index in np.lexsort((-counts, -worth)) if counts[index]]
    count = min(EACH, -(-len(order) // 3))
    middle = max((len(order) - count) // 2, 0)
    groups = {'best': order[:count], 'middle': order[middle : middle + count], 'worst': order[-count:][::-1]}
    seen: set[int] = set()
    found = []
    for group, members in groups.items():
        found += [(group, index) for index in members if index not in seen]
        seen |= set(members)
    return found


def short_names(paths: Sequence[str]) -> list[str]:
    """The ends of paths, of as many parts as tell them apart."""
    parts = [Path(path).parts for path in paths]
    for depth in range(1, max(map(len, parts), default=1) + 1):
        names = ['/'.join(one[-depth:]) for one in parts]
        if len({*names}) == len(names):
            return names
    return list(paths)


def _within_budget(pictures: list[Picture]) -> list[Picture]:
    """As many of each group as a page has room for."""
    for most in range(EACH, 0, -1):
        seen = Counter[str]()
        kept = []
        for picture in pictures:
            seen[picture.group] += 1
            if seen[picture.group] <= most:
                kept.append(picture)
        if sum(map(_size, kept)) <= BUDGET:
            return kept
    return []


def _size(picture: Picture) -> int:
    """Characters on the page, which has the image twice."""
    return 2 * len(picture.image) + len(json.dumps([picture.truth, picture.prediction]))


def _detected(metric: Any, dataset: Any, evaluation: Any) -> Iterator[Picture]:
    api, worth = metric._coco_api, evaluation.image_scores()
    paths = {
        info['img_id']: info['img_path']
        for leaf in leaf_datasets(dataset)
        for info in (leaf.get_data_info(index) for index in range(len(leaf)))
    }
    by_image = {predicted['img_id']: predicted for predicted in metric.predictions}
    labels = {category: label for label, category in enumerate(metric.cat_ids)}
    scored = np.isin(metric.img_ids, list(by_image))  # a dataset may have a part of its file's images
    for group, index in spread_by_worth(worth, evaluation.objects.sum(1) * scored):
        image_id = metric.img_ids[index]
        try:
            image, scale = open_picture(paths[image_id])
        except (OSError, KeyError):  # of another place, as behind a file client
            continue
        objects = [
            one for one in api.imgToAnns[image_id] if one['category_id'] in labels and not one.get('iscrowd')
        ]
        masked = evaluation.kind == 'segm'
        boxes = np.array([one['bbox'] for one in objects], dtype=float).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        truth = shapes(
            boxes,
            [labels[one['category_id']] for one in objects],
            scale,
            masks=[api.annToRLE(one) for one in objects] if masked else None,
        )
        predicted = by_image[image_id]
        sure = np.flatnonzero(predicted['scores'] >= evaluation.best_threshold)
        prediction = shapes(
            predicted['bboxes'][sure],
            predicted['labels'][sure],
            scale,
            predicted['scores'][sure],
            [predicted['masks'][number] for number in sure] if masked else None,
        )
        yield Picture(
            evaluation.images[index],
            group,
            float(worth[index]),
            *image.size,
            jpeg(image),
            [asdict(one) for one in truth],
            [asdict(one) for one in prediction],
        )


def _label_maps(areas: Sequence[Any], classes: Sequence[str]) -> LabelMapEvaluation:
    names = short_names([one.name for one in areas])
    return evaluate_label_maps(names, (one.confusion(len(classes)) for one in areas), classes)


def _labelled(areas: Sequence[Any], evaluation: Any, palette: Sequence[Sequence[int]]) -> Iterator[Picture]:
    worth, present = evaluation.image_scores(), (evaluation.labelled > 0).sum(1)
    for group, number in spread_by_worth(worth, present):
        one = areas[number]
        try:
            image, _ = open_picture(one.name)
        except OSError:
            continue
        maps = (label_png(small.labels(), image.size, palette) for small in (one.truth, one.prediction))
        yield Picture(evaluation.images[number], group, float(worth[number]), *image.size, jpeg(image), *maps)
