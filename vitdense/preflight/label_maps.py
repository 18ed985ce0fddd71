"""Label maps as they are loaded, whole: values that are no class, and maps that are left out."""

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.registry import DATASETS
from mmengine.runner import Runner

from ..config.read import leaves
from ..console import display_path, plural
from ..data.dataset import classes_of, leaf_datasets, spread_over
from ..findings import Finding, Level, first_few
from ..mmengine_internals import chosen_indices

MAPS = 32  # that are looked at of a validation
MOST = 256  # that are looked at until a second class occurs


def validation_label_maps(runner: Runner) -> Iterator[Finding]:
    """Labels that are no class, and `reduce_zero_label` against that of the training."""
    if runner.val_dataloader:
        val = runner.val_dataloader.dataset
        yield from _labels('validation', val)
        yield from _zero_label('validation', val, leaf_datasets(runner.train_dataloader.dataset))


def test_label_maps(runner: Runner) -> Iterator[Finding]:
    """The same of a test, against the training of its config."""
    test = runner.test_dataloader.dataset
    yield from _labels('test', test)
    if _has_maps(leaf_datasets(test)[0]):
        train = leaves(runner.cfg.get('train_dataloader'))
        with suppress(TypeError):  # of a class that takes other arguments
            built = [DATASETS.build(dict(leaf, lazy_init=True, pipeline=[])) for leaf in train]
            yield from _zero_label('test', test, built)


def _labels(split: str, dataset: Any) -> Iterator[Finding]:
    for leaf in filter(_has_maps, leaf_datasets(dataset)):
        classes, odd, count = len(classes_of(leaf)), Counter[int](), 0
        for labels in loaded_maps(leaf, MAPS):
            count += 1
            values = np.unique(labels)
            odd.update(values[(values >= classes) & (values != leaf.ignore_index)].tolist())
        if odd:
            what = f'{max(odd.values())} of {count} label maps of the {split} hold {first_few(sorted(odd))}'
            text = f'{what}, the classes are 0 to {classes - 1}, and {leaf.ignore_index} is ignored'
            yield Finding('labels', text, Level.ERROR)


def _zero_label(split: str, dataset: Any, train: list[Any]) -> Iterator[Finding]:
    """Two sets of label maps may count in two ways, but then both have the last class."""
    reduced = [leaf.reduce_zero_label for leaf in train if _has_maps(leaf)][:1]
    for leaf in filter(_has_maps, leaf_datasets(dataset) if reduced else ()):
        if leaf.reduce_zero_label == reduced[0]:
            continue
        last = len(classes_of(leaf)) - 1
        there = any((labels == last).any() for labels in loaded_maps(leaf, MAPS))
        what = f'reduce_zero_label is {reduced[0]} in the training, {leaf.reduce_zero_label} in the {split}'
        text = f'{what}: a value means one class here and the next one there'
        yield Finding('labels', text, Level.WARNING if there else Level.ERROR)


def left_out_maps(runner: Runner) -> Iterator[Finding]:
    """Label maps of which the image has another suffix than the dataset's, which lists the images by it."""
    for leaf in filter(_has_maps, leaf_datasets(runner.train_dataloader.dataset)):
        folder = Path(leaf.data_prefix.get('seg_map_path') or '')
        if leaf.ann_file or chosen_indices(leaf) is not None or not folder.is_dir():
            continue
        maps = {str(path) for path in folder.rglob(f'*{leaf.seg_map_suffix}')}
        spare = maps - {str(Path(leaf.get_data_info(index)['seg_map_path'])) for index in range(len(leaf))}
        if spare:
            what = f'{plural(len(spare), "label map")} of {len(maps)}'
            text = f'{display_path(folder)}: {what} without an image that ends in {leaf.img_suffix}'
            yield Finding(
                'filter', f'{text}: {first_few(sorted(Path(s).name for s in spare), 2)}', Level.WARNING
            )


def pixels_of_classes(dataset: Any, classes: int) -> Iterator[np.ndarray]:
    """Pixels of each class in label maps, spread over a dataset, until a second class has occurred."""
    total = np.zeros(classes, np.int64)
    parts = [leaf for leaf in leaf_datasets(dataset) if _has_maps(leaf)]
    for leaf in parts:
        for labels in loaded_maps(leaf, MOST // len(parts)):
            found = pixels_of(labels, classes)
            yield found
            total += found
            if np.count_nonzero(total) > 1:
                return


def pixels_of(labels: np.ndarray, classes: int) -> np.ndarray:
    """(C,), of each class in a label map."""
    return np.bincount(labels[(labels >= 0) & (labels < classes)], minlength=classes)


def _has_maps(leaf: Any) -> bool:
    return hasattr(leaf, 'reduce_zero_label') and hasattr(leaf, 'ignore_index')


def loaded_maps(leaf: Any, most: int) -> Iterator[np.ndarray]:
    """Label maps, spread over a dataset, as its pipeline loads them and before it changes them."""
    load = [one for one in leaf.pipeline.transforms if 'LoadAnnotations' in type(one).__name__]
    for index in spread_over(leaf, most) if load else ():
        results = leaf.get_data_info(index)
        if 'seg_map_path' in results:
            with suppress(OSError):  # of a file that cannot be read, which is named when its sample is loaded
                labels = load[0](results)['gt_seg_map']
                yield labels
