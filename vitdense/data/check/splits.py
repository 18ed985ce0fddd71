"""The train and val datasets of a config, each checked by what it is, and against each other."""

from collections.abc import Iterator, Sequence
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
from ..formats.problems import EXPECTED, Problem
from .coco import CocoCheck
from .findings import EXAMPLES, Findings
from .label_maps import LabelMapCheck
from .photos import compare_photos
from .report import write_report
from .summary import print_summary


def check_config(
    cfg: Config,
    console: Console,
    show_all: bool = False,
    report: Path | None = None,
    read: Sequence[Problem] = (),
) -> bool:
    """Check what a config trains and validates on, and print it; True if there is no error.

    Args:
        cfg: the config.
        console: where to print.
        show_all: print every case, not the first few of each kind.
        report: where to write every case as JSON.
        read: what was wrong in the files that the annotations were read from.

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
        most = None if show_all or report else EXAMPLES
        splits = [check_dataset(split, dataset, progress, most) for split, dataset in datasets]
        compare_photos(splits, progress)
    if read:
        splits.append(_found_before(read, most))
    if report:
        write_report(report, cfg.filename, splits)
    return print_summary(console, splits, show_all)


def _found_before(read: Sequence[Problem], most: int | None) -> Findings:
    found = Findings('files', most)
    for problem in read:
        found.add(problem.kind, problem.where, problem.came, EXPECTED.get(problem.kind, problem.kind.note))
    return found


def check_dataset(
    split: str, dataset: dict, progress: Progress | None = None, most: int | None = EXAMPLES
) -> Findings:
    """Check the files of one dataset dict of a config, and keep so many cases of each kind; None for all.

    Raises:
        UserError: it cannot be built, or is neither COCO nor a folder of label maps.
    """
    found = Findings(split, most)
    progress = progress or Progress(disable=True)
    try:
        built = DATASETS.build(dict(dataset, pipeline=[], lazy_init=True))
    except Exception as error:  # any class, with any arguments
        raise UserError(f'the {split} dataset cannot be built: {type(error).__name__}: {error}') from error
    if not isinstance(built, (CocoDataset, BaseSegDataset)):
        name = type(built).__name__
        raise UserError(f"the {split} dataset is {name}; expected COCO's, or one of images and label maps")
    if not (classes := built.metainfo.get('classes')):
        raise UserError(f'the {split} dataset names no classes in its metainfo')
    if isinstance(classes, str):  # MMDetection looks for categories whose names are in it
        raise UserError(f'the {split} dataset has metainfo.classes {classes!r}; expected ({classes!r},)')
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
