"""The train and val datasets of a config, each checked by what it is, and against each other."""

import filecmp
from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path

from mmdet.datasets import CocoDataset
from mmengine.config import Config
from mmengine.registry import DATASETS, init_default_scope
from mmseg.datasets import BaseSegDataset
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ...config.read import leaves
from ...console import display_path, say
from ...errors import UserError
from ...findings import Level
from .coco import CocoCheck
from .findings import Findings, Kind
from .label_maps import LabelMapCheck
from .summary import print_summary

OVERLAP = Kind(
    'images that are in two splits', 'the scores would be of images trained on', level=Level.WARNING
)


def check_config(cfg: Config, console: Console) -> bool:
    """Check what a config trains and validates on, and print it; True if there is no error.

    Raises:
        UserError: there is nothing to check: no such folder, or a dataset of another layout.
    """
    init_default_scope(cfg.get('default_scope', 'mmengine'))
    datasets = [
        named for split in ('train', 'val') for named in _parts(split, cfg.get(f'{split}_dataloader'))
    ]
    if not datasets:
        raise UserError(f'{display_path(cfg.filename)}: has no train or val dataset')
    for root in dict.fromkeys(Path(dataset.get('data_root') or '') for _, dataset in datasets):
        if not root.is_dir():
            raise UserError(
                f'{display_path(root)}: no such folder; name the one with the data by --data-root'
            )
        say(console, 'data', display_path(root))
    with _bar(console) as progress:
        splits = [check_dataset(split, dataset, progress) for split, dataset in datasets]
        _overlaps(splits, progress)
    return print_summary(console, splits)


def check_dataset(split: str, dataset: dict, progress: Progress | None = None) -> Findings:
    """Check the files of one dataset dict of a config.

    Raises:
        UserError: it cannot be built, or is neither COCO nor a folder of label maps.
    """
    found = Findings(split)
    progress = progress or Progress(disable=True)
    try:
        built = DATASETS.build(dict(dataset, pipeline=[], lazy_init=True))
    except Exception as error:  # any class, with any arguments
        raise UserError(f'the {split} dataset cannot be built: {type(error).__name__}: {error}') from error
    if not isinstance(built, (CocoDataset, BaseSegDataset)):
        name = type(built).__name__
        raise UserError(f"the {split} dataset is {name}; expected COCO's, or one of images and label maps")
    if not built.metainfo.get('classes'):
        raise UserError(f'the {split} dataset names no classes in its metainfo')
    needed = ('img',) if isinstance(built, CocoDataset) else ('img_path', 'seg_map_path')
    if lacking := [key for key in needed if not built.data_prefix.get(key)]:
        raise UserError(f'the {split} dataset has no data_prefix {", ".join(lacking)}')
    if isinstance(built, CocoDataset):
        masks = any(transform.get('with_mask') for transform in dataset.get('pipeline') or ())
        CocoCheck(built, found, progress, masks).run()
    else:
        LabelMapCheck(built, found, progress).run()
    return found


def _parts(split: str, loader: dict | None) -> Iterator[tuple[str, dict]]:
    """The datasets of a split with their names: `train`, or `train 1`, `train 2` of several."""
    parts = list(leaves(loader))
    for number, dataset in enumerate(parts, 1):
        yield f'{split} {number}' if len(parts) > 1 else split, dataset


def _overlaps(splits: Sequence[Findings], progress: Progress) -> None:
    """Images of one name and the same bytes in training and validation."""
    for one, other in combinations(splits, 2):
        if one.split.split()[0] == other.split.split()[0]:
            continue  # two parts of the training
        both = [name for name in other.images if name in one.images]
        for name in progress.track(both, description='images in both'):
            mine, theirs = one.images[name], other.images[name]
            if mine == theirs or filecmp.cmp(mine, theirs, shallow=False):
                where = f'{other.split} image {name}'
                other.add(OVERLAP, where, f'the same bytes as in {one.split}', 'an image of its own')


def _bar(console: Console) -> Progress:
    return Progress(
        TextColumn('{task.description:>18}'),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn('eta'),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
        disable=not console.is_terminal,
    )
