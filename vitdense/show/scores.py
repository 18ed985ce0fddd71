"""What an evaluator says, as tables."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from rich.table import Table
from rich.text import Text

from ..console import display_path
from ..findings import first_few

PERCENT = ('labelled %', 'predicted %', 'IoU')  # with two decimals, as MMSegmentation has them
ROWS = 24  # classes; of more, those with the lowest scores are shown


def score_tables(metrics: Mapping[str, Any], evaluator: Any, title: str) -> Iterator[Table | str]:
    """The scores, and where a metric knows them, those of each class; or a line that there are none."""
    if not metrics:  # such as of `format_only=True`
        yield f'{title}: {_instead_of_scores(evaluator)}'
        return
    by_class = [
        (f'{getattr(metric, "prefix", None) or ""}/{kind}', classes)
        for metric in evaluator.metrics
        for kind, classes in getattr(metric, 'per_class', {}).items()
    ]
    own_rows = {f'{name}_precision' for _, classes in by_class for name in classes}
    table = Table(title=title, title_justify='left', title_style='bold')
    table.add_column('score')
    table.add_column('value', justify='right')
    rows = {name: value for name, value in metrics.items() if name.partition('/')[2] not in own_rows}
    names = score_names(rows)
    for name, value in rows.items():
        table.add_row(Text(names[name]), number(value))  # a class can be called [b]
    yield table
    kinds = score_names(kind for kind, _ in by_class)
    for kind, classes in by_class:
        yield _class_table(kinds[kind], classes)


def _class_table(kind: str, classes: Mapping[str, Mapping[str, Any]]) -> Table:
    """A row for each class; the last column is what they are ranked by if they are too many."""
    columns = list(next(iter(classes.values())))
    names = list(classes)
    if len(names) > ROWS:  # without a score where nothing of a class is there to be found
        scored = [name for name in names if classes[name][columns[-1]] >= 0]
        names = sorted(scored, key=lambda name: classes[name][columns[-1]])[:ROWS]
    caption = f'the lowest of {len(classes)} classes; all are in the log' if len(classes) > ROWS else None
    table = Table(caption=caption, caption_justify='left')
    table.add_column(f'{kind} by class')
    for column in columns:
        table.add_column(column, justify='right')
    for name in names:
        table.add_row(Text(name), *(_cell(column, classes[name][column]) for column in columns))
    return table


def _cell(column: str, value: float) -> str:
    percent = column in PERCENT and value != -1
    return f'{value:.2f}' if percent else number(value)


def _instead_of_scores(evaluator: Any) -> str:
    """Where the results are of metrics that only write them down."""
    written: list[Path] = []
    for metric in evaluator.metrics:
        if not getattr(metric, 'format_only', False):
            continue
        if prefix := getattr(metric, 'outfile_prefix', None):  # MMDetection's CocoMetric
            written += sorted(Path(prefix).parent.glob(f'{Path(prefix).name}.*.json'))
        elif folder := getattr(metric, 'output_dir', None):  # MMSegmentation's IoUMetric
            written.append(Path(folder))
    if not written:
        return 'the evaluator returned no scores'
    return f'results in {first_few(map(display_path, written))}; no scores, because of format_only'


def score_names(names: Iterable[str]) -> dict[str, str]:
    """What a table calls each of some scores; with the prefix, where several evaluators have one alike."""
    said = {name: score_name(name) for name in names}
    times = Counter(said.values())
    return {
        name: f'{name.partition("/")[0]} {short}'.strip() if times[short] > 1 and '/' in name else short
        for name, short in said.items()
    }


def score_name(name: str) -> str:
    """`coco/bbox_mAP_50` as a table calls it: `bbox mAP 50`. The name of a class can have a slash, too."""
    prefix, _, rest = name.partition('/')
    if prefix == 'coco' and rest.endswith('_precision'):  # MMDetection's name for the AP of a class
        rest = f'{rest.removesuffix("_precision")}_AP'
    return rest.replace('_', ' ') or name.replace('_', ' ')


def number(value: Any) -> str:
    if isinstance(value, torch.Tensor):
        value = value.item()
    # COCO says -1 where there is nothing of that size to find
    return '–' if value == -1 else f'{value:.3f}' if isinstance(value, float) else str(value)
