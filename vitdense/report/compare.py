"""The page that compares runs: which one is better, by how much, how sure that is, and where they differ."""

from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..analysis.bootstrap import Difference, compare_scores
from ..errors import UserError
from ..show.colours import distinct_colours
from ..show.curves import run_curves
from ..show.scores import number
from .again import read_run
from .charts import Chart, Series, hexadecimal, line
from .evaluate import read_evaluation
from .facts import FOLDER, RunFacts
from .page import clock, duration, render
from .predicted import Different, predicted
from .verdict import headline_score

BARS = 40  # classes
DIFFERENT = 6  # images
ENTRIES = 200  # of configs


class Run(NamedTuple):
    """A run under a name that no other has."""

    name: str
    folder: Path
    facts: RunFacts
    evaluations: dict[str, Any]


def read_runs(folders: Sequence[Path]) -> list[Run]:
    """The runs of some work dirs.

    Raises:
        UserError: one is no work dir of a run, has no validation, or is given twice.
    """
    if len({folder.resolve() for folder in folders}) < len(folders):
        raise UserError('compare: a run is given twice')
    alike = len({folder.name for folder in folders}) < len(folders)
    runs = []
    for folder in folders:
        facts = read_run(folder)
        if facts.evaluated is None:
            raise UserError(f'{folder}: no validation has scored this run; nothing to compare')
        evaluations = {
            kind: read_evaluation(folder / FOLDER / file) for kind, file in facts.evaluated.files.items()
        }
        runs.append(Run(str(folder) if alike else folder.name, folder, facts, evaluations))
    return runs


def compare_page(runs: Sequence[Run]) -> tuple[str, list[str]]:
    """The page, and its sentences on the scores."""
    sentences = list(_sentences(runs))
    pictures, missing = _pictures(runs)
    text = render(
        'compare.html',
        title=f'{len(runs)} runs compared',
        sentences=sentences,
        runs=runs,
        rows=list(_rows(runs)),
        charts=list(_charts(runs)),
        class_tables=list(_class_tables(runs)),
        classes=runs[0].facts.classes,
        palette=runs[0].facts.palette,
        pictures=pictures,
        shown=[run.name for run in runs[:2]],
        missing=missing,
        settings=list(_settings(runs)),
        data=list(_data(runs)),
        clock=clock,
    )
    return text, sentences


def sentence(difference: Difference, first: str, second: str, unit: str) -> str:
    """Such as: A is better than B by 1.8 AP, 95 % interval 0.6 to 3.1, 5000 images.

    Args:
        difference: of the second's score less the first's, from 0 to 1.
        first: name of a run.
        second: name of the other.
        unit: of the score in percent.
    """
    if np.isnan(difference.difference):
        return f'{first} and {second}: there is nothing to find in their images, and so no {unit}.'
    if difference.low == difference.high == 0:
        return f'{first} and {second} have the same {unit} on all {difference.images} images.'
    better, other = second, first
    low, high = difference.low, difference.high
    if difference.difference < 0:
        better, other, low, high = other, better, -high, -low
    size = f'{100 * abs(difference.difference):.1f} {unit}'
    ends = [f'{round(100 * end, 1) + 0.0:.1f}' for end in (low, high)]  # no -0.0
    interval = f'95 % interval {" to ".join(ends)}, {difference.images} images'
    if low > 0:
        return f'{better} is better than {other} by {size}, {interval}.'
    return f'{better} has {size} more than {other}, which may be chance: {interval}.'


def _sentences(runs: Sequence[Run]) -> Iterator[str]:
    """On the scores of each pair of runs, or why they cannot be compared."""
    for one, other in combinations(runs, 2):
        kinds = [kind for kind in one.evaluations if kind in other.evaluations]
        if not kinds:
            yield f'{one.name} and {other.name}: no score that both have image by image.'
        for kind in kinds:
            try:
                found = compare_scores(one.evaluations[kind], other.evaluations[kind])
            except ValueError as error:  # other images, other classes
                yield f'{one.name} and {other.name} cannot be compared: {error}.'
                break
            unit = 'mIoU' if kind == 'label_maps' else f'{kind} AP'
            yield sentence(found, one.name, other.name, unit)


def _rows(runs: Sequence[Run]) -> Iterator[tuple[str, list[str]]]:
    names = [headline_score(run.facts) for run in runs]
    yield ('score', [f'{name[0]} {number(name[1])}' if name else '–' for name in names])
    yield (
        'best after iteration',
        [str(run.facts.evaluated.iteration) for run in runs if run.facts.evaluated],
    )
    yield (
        'state',
        [f'{run.facts.state}, {run.facts.iteration} of {run.facts.total} iterations' for run in runs],
    )
    yield ('time', [duration(sum(run.facts.seconds.values())) for run in runs])
    for label in ('model', 'weights', 'train', 'val', 'schedule', 'optimizer', 'device'):
        yield (label, [run.facts.line(label, '–') for run in runs])
    sizes = [run.facts.parameters for run in runs], [run.facts.multiply_adds for run in runs]
    for label, values, unit, letter in (
        ('parameters', sizes[0], 1e6, 'M'),
        ('multiply-adds', sizes[1], 1e9, 'G'),
    ):
        yield label, [f'{value / unit:.2f} {letter}' if value else '–' for value in values]
    yield ('latency', [f'{1000 * run.facts.latency:.0f} ms' if run.facts.latency else '–' for run in runs])
    yield ('image', [' × '.join(map(str, run.facts.size)) for run in runs])
    yield ('page of', [clock(run.facts.written) for run in runs])


def _charts(runs: Sequence[Run]) -> Iterator[Chart]:
    colours = [hexadecimal(colour) for colour in distinct_colours(len(runs) + 1)][1:]
    scores, losses, latencies, sizes = [], [], [], []
    named = headline_score(runs[0].facts)
    label = named[0] if named else 'score'
    for run, colour in zip(runs, colours, strict=True):
        facts = run.facts
        if facts.validations:
            scores.append(line(run.name, {int(step): score for step, score in facts.validations}, colour))
        parts = run_curves(run.folder) if facts.trains else {}
        if total := parts.get('loss', {}).get('sum'):
            losses.append(line(run.name, dict(total), colour))
        if found := headline_score(facts):
            if facts.latency:
                latencies.append(Series(run.name, (found[1],), (round(1000 * facts.latency, 1),), colour))
            if parameters := facts.parameters:
                sizes.append(Series(run.name, (found[1],), (round(parameters / 1e6, 2),), colour))
    milliseconds = 'milliseconds of one image, as each run has measured them'
    for chart in (
        Chart('scores', 'lines', f'Validation, {label}', 'iteration', label, tuple(scores)),
        Chart('losses', 'lines', 'Losses', 'iteration', 'loss', tuple(losses)),
        Chart('latency', 'points', 'Score against latency', milliseconds, label, tuple(latencies)),
        Chart('parameters', 'points', 'Score against parameters', 'parameters, M', label, tuple(sizes)),
    ):
        if chart.series:
            yield chart


def _class_tables(runs: Sequence[Run]) -> Iterator[dict[str, Any]]:
    """Of each kind that all have: the classes that all have, the largest difference first."""
    tables = [run.facts.per_class for run in runs]
    for kind in tables[0]:
        if not all(kind in table for table in tables):
            continue
        column = list(next(iter(tables[0][kind].values()), {'': 0}))[-1]
        whole = 100 if column == 'IoU' else 1
        rows = []
        for name in tables[0][kind]:
            if all(name in table[kind] for table in tables):
                values = [table[kind][name].get(column, -1) for table in tables]
                if min(values) >= 0:
                    rows.append(
                        (
                            name,
                            [number(float(value)) for value in values],
                            (max(values) - min(values)) / whole,
                            int(np.argmax(values)),
                        )
                    )
        rows.sort(key=lambda row: -row[2])
        yield dict(kind=kind, column=column, rows=rows)


def _settings(runs: Sequence[Run]) -> Iterator[tuple[str, list[str]]]:
    """The entries of the configs that are not alike."""
    names = sorted({name for run in runs for name in run.facts.settings})
    differing = [
        (name, [run.facts.settings.get(name, 'not set') for run in runs])
        for name in names
        if len({run.facts.settings.get(name) for run in runs}) > 1
        and name.split('.')[0] not in ('work_dir', 'launcher')
    ]
    yield from differing[:ENTRIES]
    if len(differing) > ENTRIES:
        yield f'and {len(differing) - ENTRIES} more', [''] * len(runs)


def _data(runs: Sequence[Run]) -> Iterator[tuple[str, list[str]]]:
    """How many images and objects, and of which classes."""
    for split, title in (('train', 'training'), ('val', 'validation')):
        found = [run.facts.data.get(split, {}) for run in runs]
        yield f'{title} images', [str(one.get('images', '–')) for one in found]
        names = dict.fromkeys(name for one in found for name in one.get('classes', {}))
        for name in names:
            values = [one.get('classes', {}).get(name) for one in found]
            if len(set(values)) > 1:
                yield f'{title}: {name}', ['–' if value is None else f'{value:.4g}' for value in values]


def _pictures(runs: Sequence[Run]) -> tuple[list[Different], str]:
    """Of the first two runs, the images on which they differ most, and why there are none."""
    one, other = runs[:2]
    kinds = [kind for kind in one.evaluations if kind in other.evaluations]
    if not kinds:
        return [], 'The two have no score image by image.'
    first, second = one.evaluations[kinds[-1]], other.evaluations[kinds[-1]]
    if first.classes != second.classes:
        return [], 'Their classes are not the same.'
    places = {name: index for index, name in enumerate(second.images)}
    worth, compared = first.image_scores(), second.image_scores()
    both = [(name, index, places[name]) for index, name in enumerate(first.images) if name in places]
    pairs = [(name, (float(worth[here]), float(compared[there]))) for name, here, there in both]
    pairs.sort(key=lambda pair: (-abs(pair[1][0] - pair[1][1]), pair[0]))
    chosen = [pair for pair in pairs[:DIFFERENT] if pair[1][0] != pair[1][1]]
    if not chosen:
        return [], 'They do not differ on any image that both have.'
    least = [getattr(evaluation, 'best_threshold', 0.0) for evaluation in (first, second)]
    try:
        found = predicted(
            [one.folder, other.folder], [one.facts.checkpoint, other.facts.checkpoint], chosen, least
        )
        return list(found), ''
    except (UserError, OSError) as error:  # moved since
        return [], f'They cannot be predicted once more: {error}'
