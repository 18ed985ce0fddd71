"""What would make a score meaningless: classes, images or annotations that are not those of the data."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mmengine.runner import Runner
from torch.utils.data import DataLoader

from ..console import plural
from ..data.categories import compare_categories
from ..data.dataset import classes_of, leaf_datasets
from ..findings import Finding, Level, first_few
from ..weights import classes_in
from .data import head_outputs


def checkpoint_classes(runner: Runner) -> Iterator[Finding]:
    """The classes that a checkpoint was trained on against those of the test data."""
    data, trained = classes_of(runner.test_dataloader.dataset), classes_in(dict(meta=runner.loaded_meta))
    if trained is None:
        text = 'the checkpoint names no classes: that they are those of the data is not certain'
        yield Finding('classes', text, Level.WARNING)
        return
    if trained == data:
        return
    pairs = list(zip(trained, data, strict=False))
    alike = sum(one.casefold() == other.casefold() for one, other in pairs)
    text = f'the checkpoint was trained on the classes {first_few(trained)}, the data have {first_few(data)}'
    moved = [name for i, name in enumerate(data) if name in trained and trained.index(name) != i]
    if moved:
        i = data.index(moved[0])
        text = (
            f'{text}; {moved[0]!r} is label {trained.index(moved[0])} of the checkpoint and {i} of the data'
        )
    meant = not moved and len(trained) == len(data) and 2 * alike >= len(data)  # some have another name
    yield Finding('classes', text, Level.WARNING if meant else Level.ERROR)


def test_heads(runner: Runner) -> Iterator[Finding]:
    """The outputs of the heads against the classes of the test data."""
    yield from head_outputs(runner, classes_of(runner.test_dataloader.dataset))


def test_scores(runner: Runner) -> Iterator[Finding]:
    """What is loaded for a test against what is scored."""
    yield from _scores(runner.test_dataloader, runner.test_loop.evaluator)
    if _scoring(runner.test_loop.evaluator):
        images = len(runner.test_dataloader.dataset)
        scored = plural(images - _dropped(runner.test_dataloader), 'image')
        yield Finding('scored', f'{scored} of {images} loaded')


def validation_scores(runner: Runner) -> Iterator[Finding]:
    """What is loaded for the validation against what is scored."""
    if runner.val_dataloader:
        yield from _scores(runner.val_dataloader, runner.val_loop.evaluator)


def _scores(loader: DataLoader, evaluator: Any) -> Iterator[Finding]:
    if dropped := _dropped(loader):
        yield Finding(
            'scored', f'drop_last=True leaves {plural(dropped, "image")} out of the score', Level.WARNING
        )
    dataset: Any = loader.dataset
    ignored = getattr(leaf_datasets(dataset)[0], 'ignore_index', None)
    for metric in _scoring(evaluator):
        own = getattr(metric, 'ignore_index', ignored)
        if ignored is not None and own != ignored:
            text = f'{type(metric).__name__}.ignore_index is {own}, the data ignore {ignored}'
            yield Finding('ignored', text, Level.ERROR)
        if hasattr(metric, '_coco_api'):  # by the ids of images
            ids = {dataset.get_data_info(index)['img_id'] for index in range(len(dataset))}
            if twice := len(dataset) - len(ids):
                text = f'{twice} of the {len(dataset)} images that are loaded have the id of another'
                yield Finding('scored', f'{text}: the score mixes them up', Level.ERROR)
            elif metric._coco_api is not None:
                yield from _against_file(dataset, metric._coco_api)


def _scoring(evaluator: Any) -> list[Any]:
    """The metrics that score, and not only write."""
    return [m for m in getattr(evaluator, 'metrics', ()) if not getattr(m, 'format_only', False)]


def _dropped(loader: DataLoader) -> int:
    batches: Any = loader.batch_sampler
    return len(loader.dataset) % batches.batch_size if getattr(batches, 'drop_last', False) else 0  # type: ignore[arg-type]


def _against_file(dataset: Any, file: Any) -> Iterator[Finding]:
    """A dataset against COCO's annotations that an evaluator has read: classes, images, objects."""
    classes = classes_of(dataset)
    names = [category['name'] for category in file.dataset['categories']]
    found = compare_categories(classes, names)
    if found.missing:
        text = f'it has no category for {first_few(repr(name) for name, _ in found.missing)}'
        yield _of_evaluator(text, Level.ERROR)
        return
    if found.reordered:
        label, name, category = found.reordered
        text = f'label {label} is {name!r} in the data and {category!r} there'
        yield _of_evaluator(text, Level.ERROR)
    loaded = {info['img_id']: info for info in map(dataset.get_data_info, range(len(dataset)))}
    unknown = [number for number in loaded if number not in file.imgs]
    if unknown:
        some = first_few(Path(loaded[number]['img_path']).name for number in unknown)
        text = f'{len(unknown)} of the {len(loaded)} images that are loaded are not in it: {some}'
        yield _of_evaluator(text, Level.ERROR)
        return
    other = [
        number
        for number, info in loaded.items()
        if _name(info['img_path']) != _name(file.imgs[number]['file_name'])
    ]
    if other:
        mine, theirs = _name(loaded[other[0]]['img_path']), _name(file.imgs[other[0]]['file_name'])
        what = f'image {other[0]} is {mine} in the data and {theirs} there'
        yield _of_evaluator(
            f'{len(other)} of {len(loaded)} images have other names in it: {what}', Level.ERROR
        )
        return
    changed = [
        number
        for number, info in loaded.items()
        if _objects(info, classes) != _annotated(file, number, classes)
    ]
    if changed:
        some = first_few(_name(loaded[number]['img_path']) for number in changed)
        text = f'{len(changed)} of {len(loaded)} images have other objects in it than the data: {some}'
        yield _of_evaluator(text, Level.WARNING)
    if missed := len(file.imgs) - len(loaded):
        what = f'{missed} of the {len(file.imgs)} images that the evaluator scores are not loaded'
        yield Finding('scored', f'{what}: they count as without a detection', Level.WARNING)


def _of_evaluator(text: str, level: Level) -> Finding:
    return Finding('scored', f"the evaluator's annotation file is not that of the data: {text}", level)


def _name(path: str) -> str:
    return Path(path).name


def _objects(info: dict, classes: Sequence[str]) -> Counter:
    """The objects of an image as a dataset has them: class and corners."""
    return Counter(
        (classes[one['bbox_label']], *(round(x) for x in one['bbox']))
        for one in info['instances']
        if not one['ignore_flag']
    )


def _annotated(file: Any, image: Any, classes: Sequence[str]) -> Counter:
    """The same, out of an annotation file, without those that MMDetection leaves out."""
    size = file.imgs[image]
    objects = Counter[tuple]()
    for one in file.imgToAnns[image]:
        x, y, w, h = one['bbox']
        inside = min(x + w, size['width']) > max(x, 0) and min(y + h, size['height']) > max(y, 0)
        name = file.cats[one['category_id']]['name'] if one['category_id'] in file.cats else None
        odd = one.get('ignore') or one.get('iscrowd') or one['area'] <= 0 or min(w, h) < 1 or not inside
        if name in classes and not odd:
            objects[name, round(x), round(y), round(x + w), round(y + h)] += 1
    return objects
