"""Datasets with something in them, under the names that their files have."""

import difflib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from mmengine.dataset import BaseDataset
from mmengine.registry import DATASETS

from ..console import shown
from ..errors import UserError


def build_dataset(config: dict) -> Any:
    """As MMEngine's registry does; a wrapper such as RepeatDataset or ConcatDataset with all that is inside.

    Raises:
        UserError: one is empty, its annotations cannot be read, or its classes are not, in their order, the
            categories of COCO's file: MMDetection leaves out the objects of a class that has none, and
            numbers the others as the file has them, in silence.
    """
    config = dict(config)
    for key in ('dataset', 'datasets'):
        inner = config.get(key)
        if isinstance(inner, dict):
            config[key] = build_dataset(inner)
        elif isinstance(inner, (list, tuple)):
            config[key] = [build_dataset(one) if isinstance(one, dict) else one for one in inner]
    if not _is_plain(config):
        return DATASETS.build(config)
    dataset = DATASETS.build(dict(config, lazy_init=True))
    with _categories_noted(dataset) as categories:
        try:
            dataset.full_init()
            empty = not len(dataset)
        except (AssertionError, KeyError, TypeError, json.JSONDecodeError, UnicodeDecodeError) as error:
            if not hasattr(dataset, 'COCOAPI'):
                raise
            raise UserError(
                f'{shown(dataset.ann_file)}: cannot be read as annotations of COCO ({type(error).__name__}: '
                f'{error}); tools/check_data.py says what is wrong with it'
            ) from error
        except ValueError:
            if dataset.data_list:
                raise
            empty = True  # which MMEngine cannot put into an array
    _check_categories(dataset, categories)
    if empty:
        raise UserError(f'{dataset.ann_file or dataset.data_root}: a dataset of no images{_reason(dataset)}')
    return dataset


def _is_plain(config: dict) -> bool:
    kind = config['type']
    kind = DATASETS.get(kind) if isinstance(kind, str) else kind
    return isinstance(kind, type) and issubclass(kind, BaseDataset)


@contextmanager
def _categories_noted(dataset: BaseDataset) -> Iterator[dict[int, str]]:
    """The names of COCO's categories by their ids, from the one time that the file is read."""
    categories: dict[int, str] = {}
    if api := getattr(type(dataset), 'COCOAPI', None):
        dataset.COCOAPI = _noting(api, categories)
    try:
        yield categories
    finally:
        vars(dataset).pop('COCOAPI', None)


def _noting(api: Callable, categories: dict[int, str]) -> Callable:
    def read(path: str) -> Any:
        annotations = api(path)
        categories.update((one['id'], one['name']) for one in annotations.dataset['categories'])
        return annotations

    return read


def _check_categories(dataset: BaseDataset, categories: dict[int, str]) -> None:
    ours = list(dataset.metainfo.get('classes') or ())
    known = [categories[number] for number in getattr(dataset, 'cat_ids', ()) if number in categories]
    if not categories or known == ours:
        return
    names = list(categories.values())
    if lacking := [name for name in ours if name not in names]:
        what = (
            f'has no category for {len(lacking)} of the {len(ours)} classes: '
            f'{", ".join(_with_near(name, names) for name in lacking)}; its categories are {", ".join(names)}'
        )
    elif doubled := sorted({name for name in known if known.count(name) > 1}):
        what = f'has several categories of one name: {", ".join(doubled)}'
    else:
        what = f'numbers its categories in another order than the classes: {", ".join(known)}'
    raise UserError(f'{dataset.ann_file}: {what}. Set metainfo.classes of the datasets to its names')


def _with_near(name: str, names: Sequence[str]) -> str:
    near = difflib.get_close_matches(name.lower(), {other.lower(): other for other in names}, 1)
    meant = [other for other in names if near and other.lower() == near[0]]
    return f'{name!r} (perhaps {meant[0]!r})' if meant else repr(name)


def _reason(dataset: BaseDataset) -> str:
    if dataset.filter_cfg:
        words = ', '.join(f'{key}={value}' for key, value in dataset.filter_cfg.items())
        return f': none passes its filter_cfg ({words})'
    suffix = getattr(dataset, 'img_suffix', None)
    return f': there is no file named *{suffix}' if suffix else ''
