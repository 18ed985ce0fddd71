"""Datasets that are not empty, and whose classes are the categories of their file."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from mmengine.dataset import BaseDataset
from mmengine.registry import DATASETS

from ..console import display_path
from ..errors import UserError
from .categories import compare_categories


def build_dataset(config: dict) -> Any:
    """Build a dataset as MMEngine's registry does, and those inside RepeatDataset, ConcatDataset and others.

    Raises:
        UserError: one is empty, its annotations cannot be read, or its classes are not, in their order, the
            categories of COCO's file (`compare_categories`).
    """
    return DATASETS.build(_with_checked_leaves(config))


def leaf_datasets(dataset: Any) -> list[Any]:
    """The datasets with files of their own, inside wrappers such as RepeatDataset or ConcatDataset."""
    own = vars(dataset)
    inside = own.get('datasets') or [own[key] for key in ('dataset', '_dataset') if key in own]
    return [leaf for one in inside for leaf in leaf_datasets(one)] or [dataset]


def spread_over(dataset: Any, most: int) -> range:
    """Indices of at most so many samples, from the first on, in equal steps."""
    return range(0, len(dataset), max(1, -(-len(dataset) // most)))


def classes_of(dataset: Any) -> list[str]:
    """The names of a dataset's classes; of several datasets that differ, the first one's."""
    metainfo = dataset.metainfo
    metainfo = metainfo[0] if isinstance(metainfo, list) else metainfo  # MMDetection's ConcatDataset
    return list(metainfo.get('classes') or ())


def _with_checked_leaves(config: Any) -> Any:
    """The config with `_build_leaf` where it builds a leaf: a wrapper refuses what is not built by itself."""
    if not isinstance(config, dict):  # a dataset already
        return config
    if _is_leaf(config):
        return dict(type=_build_leaf, config=config)
    config = dict(config)
    for key in ('dataset', 'datasets'):
        inner = config.get(key)
        if isinstance(inner, (list, tuple)):
            config[key] = [_with_checked_leaves(one) for one in inner]
        elif inner is not None:
            config[key] = _with_checked_leaves(inner)
    return config


def _build_leaf(config: dict) -> BaseDataset:
    dataset = DATASETS.build(dict(config, lazy_init=True))
    if isinstance(one := dataset.metainfo.get('classes'), str):
        raise UserError(
            f'metainfo.classes is the text {one!r}, of which every letter would be a class; expected a list: '
            f'[{one!r}], or on the command line metainfo.classes=[{one}]'
        )
    with _recorded_annotations(dataset) as (categories, images):
        try:
            dataset.full_init()
            empty = not len(dataset)
        except (AssertionError, KeyError, TypeError, json.JSONDecodeError, UnicodeDecodeError) as error:
            if not hasattr(dataset, 'COCOAPI'):
                raise
            raise UserError(
                f'{display_path(dataset.ann_file)}: cannot be read as annotations of COCO '
                f'({type(error).__name__}: {error}); vitdense check_data says what is wrong with it'
            ) from error
        except ValueError:
            if dataset.data_list:
                raise
            empty = True  # which MMEngine cannot put into an array
    _check_categories(dataset, categories)
    if images:
        dataset.images_in_file = sum(images)
    if empty:
        raise UserError(f'{dataset.ann_file or dataset.data_root}: a dataset of no images{_reason(dataset)}')
    return dataset


def _is_leaf(config: dict) -> bool:
    kind = config['type']
    if isinstance(kind, str):
        with DATASETS.switch_scope_and_registry(config.get('_scope_')) as registry:
            kind = registry.get(kind)
    return isinstance(kind, type) and issubclass(kind, BaseDataset)


@contextmanager
def _recorded_annotations(dataset: BaseDataset) -> Iterator[tuple[list[str], list[int]]]:
    """COCO's categories in the file's order, and its number of images, from the one time that it is read."""
    categories: list[str] = []
    images: list[int] = []
    if api := getattr(type(dataset), 'COCOAPI', None):
        dataset.COCOAPI = _recording(api, categories, images)
    try:
        yield categories, images
    finally:
        vars(dataset).pop('COCOAPI', None)


def _recording(api: Callable, categories: list[str], images: list[int]) -> Callable:
    def read(path: str) -> Any:
        annotations = api(path)
        categories.extend(category['name'] for category in annotations.dataset['categories'])
        images.append(len(annotations.dataset['images']))
        return annotations

    return read


def _check_categories(dataset: BaseDataset, categories: list[str]) -> None:
    classes = list(dataset.metainfo.get('classes') or ())
    if not categories or not hasattr(dataset, 'cat_ids'):
        return
    found = compare_categories(classes, categories)
    repeated = [name for name in found.repeated if name in classes]
    if found.missing:
        names = (f'{name!r} (perhaps {near!r})' if near else repr(name) for name, near in found.missing)
        what = (
            f'has no category for {len(found.missing)} of the {len(classes)} classes: {", ".join(names)}; '
            f'its categories are {", ".join(categories)}'
        )
    elif repeated:
        what = f'has several categories of one name: {", ".join(repeated)}'
    elif found.reordered:
        known = (name for name in categories if name in classes)
        what = f'has its categories in another order than the classes: {", ".join(known)}'
    else:
        return
    raise UserError(f'{dataset.ann_file}: {what}. Set metainfo.classes of the datasets to its names')


def _reason(dataset: BaseDataset) -> str:
    if dataset.filter_cfg:
        words = ', '.join(f'{key}={value}' for key, value in dataset.filter_cfg.items())
        return f': none passes its filter_cfg ({words})'
    suffix = getattr(dataset, 'img_suffix', None)
    return f': there is no file named *{suffix}' if suffix else ''
