"""What would make a score meaningless: classes, images or annotations that are not those of the data."""

import copy
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from ..console import plural
from ..data.categories import compare_categories
from ..data.dataset import classes_of, leaf_datasets
from ..data.reproducible import SampleId
from ..data.unreadable import UnreadableFile
from ..engine.processes import unwrapped
from ..findings import Finding, Level, first_few
from ..mmengine_internals import optim_context
from ..trial import trial
from ..weights import classes_in
from .data import head_outputs, image_sizes, size_of

BATCH = 4  # images of the validation that are tried together
CANDIDATES = 16  # of which they are taken, so that their sizes differ if they do


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


def validation_batch(runner: Runner) -> Iterator[Finding]:
    """One batch of the validation through model and evaluator, which would else fail after hours.

    And the sizes of the images that are loaded for it.
    """
    loader = runner.val_dataloader
    if not loader:
        return
    model, dataset = unwrapped(runner), loader.dataset
    count = min(BATCH, loader.batch_sampler.batch_size, len(dataset))
    sizes: list[tuple[int, int]] = []
    training = model.training
    model.eval()
    try:
        with trial('the run cannot start: the first validation fails'), torch.no_grad():
            loaded = _some(dataset, count)
            sizes += [size for one in loaded for size in size_of(one)]
            data = loader.collate_fn(_unlike(loaded, count))
            with optim_context(runner.optim_wrapper, model):
                samples = model.val_step(data)
            _evaluate(runner.val_loop.evaluator, data, samples)
    except UnreadableFile as error:
        text = f'{error}: the validation needs it, --skip-unreadable is for training'
        yield Finding('val', text, Level.ERROR)
    finally:
        model.train(training)
    yield from image_sizes('val', sizes)


def _some(dataset: Any, count: int) -> list[Any]:
    """Samples of a dataset, of which so many are tried: its first, and others spread over it."""
    total, some = len(dataset), CANDIDATES // 2 if count > 1 else 1
    places = sorted({*range(min(some, total)), *(i * total // some for i in range(some))})  # and not in step
    return [dataset[SampleId(place, 0, place)] for place in places]


def _unlike(samples: Sequence[Any], count: int) -> list[Any]:
    """So many of some samples, of different sizes if there are: a model may refuse them in one batch."""
    by_size = {str(getattr(one.get('inputs'), 'shape', '')): one for one in samples if isinstance(one, dict)}
    rest = [one for one in samples if all(one is not other for other in by_size.values())]
    return [*by_size.values(), *rest][:count]


def _evaluate(evaluator: Any, data: Any, samples: Sequence[Any]) -> None:
    """Score a batch with copies of the metrics that write nothing."""
    trial = copy.copy(evaluator)
    metrics = getattr(evaluator, 'metrics', [])
    trial.metrics = [copy.copy(metric) for metric in metrics if not _writes(metric)]
    for metric in trial.metrics:
        metric.results = []
    trial.process(data_samples=samples, data_batch=data)
    for metric in trial.metrics:
        if hasattr(metric, 'img_ids'):  # of COCO's metric, which else scores all images
            metric.img_ids = [sample.img_id for sample in samples]
        elif hasattr(metric, 'ann_file'):  # which CrowdHuman's pairs with all images, in its order
            continue
        metric.compute_metrics(metric.results)


def _writes(metric: Any) -> bool:
    places = ('outfile_prefix', 'output_dir', 'out_file_path', 'out_dir', 'output_path')
    return any(getattr(metric, place, None) for place in places)
