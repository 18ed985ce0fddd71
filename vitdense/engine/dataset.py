"""Datasets with something in them, under the names that their files have."""

import difflib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.dataset import BaseDataset
from mmengine.registry import DATASETS

from .errors import UserError


def build_dataset(config: dict) -> Any:
    """As MMEngine's registry does.

    Raises:
        UserError: it is empty, or a class of its has no category in COCO's file, of which MMDetection leaves
            out the objects in silence.
    """
    if not _is_plain(config):  # a wrapper around others
        return DATASETS.build(config)
    dataset = DATASETS.build(dict(config, lazy_init=True))
    try:
        dataset.full_init()
        empty = not len(dataset)
    except ValueError:
        if dataset.data_list:
            raise
        empty = True  # which MMEngine cannot put into an array
    _check_categories(dataset)
    if empty:
        raise UserError(f'{dataset.ann_file or dataset.data_root}: a dataset of no images{_reason(dataset)}')
    return dataset


def _is_plain(config: dict) -> bool:
    kind = config['type']
    kind = DATASETS.get(kind) if isinstance(kind, str) else kind
    return isinstance(kind, type) and issubclass(kind, BaseDataset)


def _check_categories(dataset: BaseDataset) -> None:
    known = getattr(dataset, 'cat_ids', None)  # COCO's
    ours = list(dataset.metainfo.get('classes') or ())
    if known is None or len(known) == len(ours):
        return
    file = Path(dataset.ann_file)
    names = [category['name'] for category in json.loads(file.read_text(encoding='utf-8'))['categories']]
    lacking = [name for name in ours if name not in names]
    raise UserError(
        f'{file}: has no category for {len(lacking)} of the {len(ours)} classes: '
        f'{", ".join(_with_near(name, names) for name in lacking)}; its categories are {", ".join(names)}. '
        'Set metainfo.classes of the datasets to their names'
    )


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
