"""The parts of the page that look into a validation, the data and the cost, as charts and rows of tables."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..analysis.confusion import detection_confusion
from ..analysis.detections import DetectionEvaluation
from ..analysis.errors import split_errors
from ..show.scores import number
from .charts import Chart, Series, hexadecimal
from .facts import RunFacts

CURVES = 9  # classes of which a precision-recall curve is drawn
CELLS = 24  # classes of a confusion matrix that are shown: those that are confused most
BARS = 40  # classes in a chart
BLUE, ORANGE, GREEN, RED = '#1e88e5', '#f5a623', '#43a047', '#e53935'

# where what the preflight check found belongs, by its label
SECTIONS = {
    'rate': 'curves',
    'schedule': 'curves',
    'saved': 'curves',
    'val': 'scores',
    'loaded': 'weights',
    'init': 'weights',
    'frozen': 'weights',
    'config': 'recipe',
    'resumed': 'curves',
    'memory': 'model',
    'step': 'model',
    'amp': 'model',
    'threads': 'time',
    'other work': 'time',
}
PARTS = {
    'data': 'data',
    'forward': 'forward',
    'backward': 'backward',
    'step': 'optimizer step',
    'evaluation': 'validation',
    'report': 'this page',
    'other': 'start, saving, rest',
}
ERRORS = {
    'classification': 'right place, wrong class',
    'localisation': 'right class, box is off',
    'both': 'wrong class and box is off',
    'duplicate': 'object already found',
    'background': 'nothing there',
    'missed': 'object not found',
}


class ClassTable(NamedTuple):
    """Of one kind of score; the last column is drawn as a bar, too.

    rows: name, cells, and the share of a whole bar.
    """

    kind: str
    columns: list[str]
    rows: list[tuple[str, list[str], float]]


class Confusion(NamedTuple):
    """A matrix of whole numbers; `shares` are of their rows."""

    names: list[str]
    counts: list[list[int]]
    shares: list[list[float]]
    left_out: int
    threshold: float | None
    pixels: bool


class Errors(NamedTuple):
    """The error split of one kind of detections.

    rows: name, what it is, how many, and the AP at IoU 0.5 that mending it alone would gain.
    """

    kind: str
    rows: list[tuple[str, str, int, float]]
    chart: Chart


def findings_by_section(findings: Sequence[Sequence[str]]) -> dict[str, list[tuple[str, str, str]]]:
    """(label, text, level), where they belong; data by default."""
    found: dict[str, list[tuple[str, str, str]]] = {}
    for label, text, level in findings:
        found.setdefault(SECTIONS.get(label, 'data'), []).append((label, text, level))
    return found


def time_chart(seconds: Mapping[str, float]) -> Chart:
    """Of each part of a run."""
    parts = {PARTS[name]: value for name, value in seconds.items() if value > 0}
    total = sum(parts.values()) or 1
    names = tuple(f'{name} ({100 * value / total:.0f} %)' for name, value in parts.items())
    series = (Series('', tuple(round(value, 2) for value in parts.values()), colour=BLUE),)
    return Chart('time', 'bars', 'Seconds of the run by part', 'seconds', '', series, names, 0.32)


def size_chart(scores: Mapping[str, float]) -> Chart | None:
    """AP of COCO's small, medium and large objects; -1, where there is none of them, is left out."""
    sizes = dict(s='small', m='medium', l='large')
    series = []
    kinds = {name.rpartition('_')[0] for name in scores if name.endswith(('mAP_s', 'mAP_m', 'mAP_l'))}
    for kind, colour in zip(sorted(kinds), (BLUE, ORANGE), strict=False):
        values = tuple(max(scores.get(f'{kind}_{size}', 0.0), 0.0) for size in sizes)
        series.append(Series(kind.rpartition('/')[2].replace('_', ' '), values, colour=colour))
    if not series:
        return None
    return Chart(
        'sizes',
        'columns',
        'AP by size of the object: below 32 × 32 pixels, below 96 × 96, larger',
        '',
        'AP',
        tuple(series),
        tuple(sizes.values()),
        0.4,
        (0, 1),
    )


def class_tables(facts: RunFacts, evaluations: Mapping[str, Any]) -> Iterator[ClassTable]:
    """The classes with what there is of them in training and validation, the best first."""
    trained = facts.data.get('train', {}).get('classes', {})
    pixels = facts.data.get('train', {}).get('kind') == 'pixels'
    for kind, rows in facts.per_class.items():
        columns = list(next(iter(rows.values()), {}))
        if not columns:
            continue
        whole = 100.0 if columns[-1] == 'IoU' else 1.0
        halves = {}
        if isinstance(evaluation := evaluations.get(kind), DetectionEvaluation):
            found = evaluation.average_precision()
            halves = dict(zip(evaluation.classes, np.nan_to_num(found[:, 0], nan=-1.0).tolist(), strict=True))
        table = []
        for name in sorted(rows, key=lambda name: -rows[name][columns[-1]]):
            cells = [_amount(trained[name], pixels) if name in trained else '–'] if trained else []
            cells += [_cell(rows[name][column], column) for column in columns[:-1]]
            cells += [number(halves[name])] if halves else []
            value = rows[name][columns[-1]]
            cells.append(_cell(value, columns[-1]))
            table.append((name, cells, max(value, 0.0) / whole))
        heads = ['in training'] * bool(trained) + columns[:-1] + ['AP 50'] * bool(halves) + columns[-1:]
        yield ClassTable(kind, heads, table)


def _amount(value: float, pixels: bool) -> str:
    return f'{100 * value:.1f} %' if pixels else f'{value:g}'


def _cell(value: float, column: str) -> str:
    if value == -1:
        return '–'
    return f'{value:.2f}' if column.endswith('%') or column == 'IoU' else number(value)


def precision_charts(evaluations: Mapping[str, Any], facts: RunFacts) -> Iterator[Chart]:
    """Precision over recall at IoU 0.5: the mean of the classes, and the classes with most objects."""
    for kind, evaluation in evaluations.items():
        if not isinstance(evaluation, DetectionEvaluation):
            continue
        recall, precision = evaluation.precision_recall()
        objects = evaluation.objects.sum(0)
        there = [label for label in range(len(evaluation.classes)) if objects[label]]
        if not there:
            continue
        x = tuple(recall.tolist())
        series = [Series('mean', tuple(np.round(precision[there].mean(0), 4).tolist()), x, '#333333')]
        for label in sorted(there, key=lambda label: -objects[label])[:CURVES]:
            colour = hexadecimal(facts.palette[label])
            y = tuple(np.round(precision[label], 4).tolist())
            series.append(Series(evaluation.classes[label], y, x, colour, dashed=True))
        name = f'Precision over recall, {kind}, IoU 0.5'
        yield Chart(
            f'precision-{kind}', 'lines', name, 'recall', 'precision', tuple(series), y_range=(0, 1.02)
        )


def confusion(evaluations: Mapping[str, Any], facts: RunFacts) -> Confusion | None:
    """Of the first kind that was scored; of many classes those that are confused most."""
    for evaluation in evaluations.values():
        names = list(evaluation.classes)
        detector = isinstance(evaluation, DetectionEvaluation)
        matrix = detection_confusion(evaluation) if detector else evaluation.confusion
        if detector:
            names.append('background')
        wrong = matrix.sum(0) + matrix.sum(1) - 2 * np.diag(matrix)
        shown = sorted(np.argsort(-wrong[: len(evaluation.classes)], kind='stable')[:CELLS].tolist())
        left_out = len(evaluation.classes) - len(shown)
        if detector:
            shown.append(len(names) - 1)
        part = matrix[np.ix_(shown, shown)]
        shares = part / np.maximum(matrix.sum(1)[shown], 1)[:, None]
        return Confusion(
            [names[label] for label in shown],
            part.astype(int).tolist(),
            np.round(shares, 4).tolist(),
            left_out,
            float(evaluation.best_threshold) if detector else None,
            not detector,
        )
    return None


def error_splits(evaluations: Mapping[str, Any]) -> Iterator[Errors]:
    """Of each kind of detections."""
    for kind, evaluation in evaluations.items():
        if not isinstance(evaluation, DetectionEvaluation):
            continue
        split = split_errors(evaluation)
        rows = [(name, text, split[name].number, _known(split[name].gain)) for name, text in ERRORS.items()]
        gains = Series('', tuple(round(row[3], 4) for row in rows), colour=RED)
        names = tuple(row[0] for row in rows)
        chart = Chart(
            f'errors-{kind}',
            'bars',
            f'AP 50 that each would gain if mended, {kind}',
            'AP 50',
            '',
            (gains,),
            names,
            0.36,
        )
        yield Errors(kind, rows, chart)


def _known(value: float) -> float:
    return 0.0 if np.isnan(value) else value


def data_charts(facts: RunFacts) -> Iterator[Chart]:
    """Classes, objects and images of training and validation."""
    sets = {{'train': 'training', 'val': 'validation'}[name]: found for name, found in facts.data.items()}
    if not sets:
        return
    colours = dict(zip(sets, (BLUE, ORANGE), strict=False))
    pixels = next(iter(sets.values()))['kind'] == 'pixels'
    first = next(iter(sets.values()))['classes']
    names = sorted(first, key=lambda name: -first[name])[:BARS]
    series = tuple(
        Series(
            f'{name}, {found["looked"]} of {found["images"]} images',
            tuple(float(found['classes'].get(one, 0)) for one in names),
            colour=colours[name],
        )
        for name, found in sets.items()
    )
    unit = 'share of the labelled pixels' if pixels else 'objects'
    title = 'Classes' if len(first) <= BARS else f'Classes, the {BARS} most frequent of {len(first)}'
    yield Chart('classes', 'bars', title, unit, '', series, tuple(names), 0.1 + 0.035 * len(names))
    boxes = tuple(
        Series(
            name,
            tuple(count / max(sum(one[2] for one in found['boxes']), 1) for *_, count in found['boxes']),
            tuple((low + high) / 2000 for low, high, _ in found['boxes']),
            colours[name],
        )
        for name, found in sets.items()
        if found['boxes']
    )
    if boxes:
        yield Chart(
            'boxes',
            'lines',
            'Sizes of objects',
            'square root of the area, by the longer side of the image',
            'share of the objects',
            boxes,
            height=0.4,
        )
    points = tuple(
        Series(
            name,
            tuple(float(height) for _, height, _ in found['sizes']),
            tuple(float(width) for width, _, _ in found['sizes']),
            colours[name],
            notes=tuple(
                f'{count} image{"s" * (count > 1)} of {width} × {height}'
                for width, height, count in found['sizes']
            ),
        )
        for name, found in sets.items()
        if found['sizes']
    )
    if points:
        yield Chart(
            'images', 'points', 'Sizes of images', 'width, pixels', 'height, pixels', points, height=0.5
        )


def cost_rows(facts: RunFacts) -> list[tuple[str, str, str]]:
    """Part, parameters and multiply-adds of the model, and their sum."""
    if not facts.costs:
        return []
    rows = {**facts.costs, 'sum': [facts.parameters, facts.multiply_adds]}
    return [
        (part, f'{parameters / 1e6:.2f} M', f'{adds / 1e9:.2f} G')
        for part, (parameters, adds) in rows.items()
    ]
