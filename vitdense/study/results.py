"""What a study has found: a row for each candidate, and which of them no other one beats."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import mean
from typing import Any

from ..analysis.bootstrap import Interval, compare_means, score_interval
from ..benchmark.timing import Timing
from ..report.evaluate import read_evaluation
from ..report.facts import FOLDER, RunFacts
from ..report.verdict import headline_score
from ..show.scores import number
from .plan import Candidate, StudyPlan, StudyRun
from .trainings import finished_facts


@dataclass(frozen=True)
class Row:
    """One candidate.

    runs: its trainings that were scored, by their seeds.
    failed: what went wrong with others, by their seeds.
    score: the mean over the seeds; NaN where no training was scored.
    interval: of that mean, over images; None where the metric keeps nothing of single images.
    latency: of one image of the validation's size; None where it was not measured.
    """

    candidate: Candidate
    runs: dict[int, StudyRun]
    facts: dict[int, RunFacts]
    failed: dict[int, str]
    evaluations: tuple[Any, ...] = ()
    metric: str = ''
    score: float = float('nan')
    interval: Interval | None = None
    unit: float = 1.0
    latency: Timing | None = None

    @property
    def name(self) -> str:
        return self.candidate.name

    @property
    def seed_scores(self) -> dict[int, float]:
        return {seed: _score(facts)[1] for seed, facts in self.facts.items()}

    @property
    def first(self) -> RunFacts:
        """Of its first training."""
        return next(iter(self.facts.values()))

    @property
    def minutes(self) -> float:
        """Of a training, in the mean."""
        return mean(sum(facts.seconds.values()) for facts in self.facts.values()) / 60

    @property
    def seconds(self) -> float:
        """The latency, where it was measured."""
        assert self.latency
        return self.latency.median

    @property
    def ends(self) -> tuple[float, float] | None:
        """Of the interval, in the unit of the score."""
        found = self.interval
        return (self.unit * found.low, self.unit * found.high) if found else None


def rows_of(plan: StudyPlan, failed: Mapping[str, str]) -> list[Row]:
    """A row for each candidate, the best score first, then those without one.

    Args:
        plan: of the study.
        failed: why trainings have failed, by their names.
    """
    rows = []
    for candidate in plan.candidates:
        runs = {run.seed: run for run in plan.runs if run.candidate == candidate}
        facts = {seed: found for seed, run in runs.items() if (found := finished_facts(run))}
        reasons = {seed: failed[run.name] for seed, run in runs.items() if run.name in failed}
        row = Row(candidate, {seed: runs[seed] for seed in facts}, facts, reasons)
        rows.append(_scored(row) if facts else row)
    return sorted(rows, key=lambda row: -row.score if row.facts else float('inf'))


def with_latencies(rows: Iterable[Row], timings: Mapping[str, Timing]) -> list[Row]:
    """The same, with what was measured."""
    return [replace(row, latency=timings.get(row.name)) for row in rows]


def front(rows: Sequence[Row]) -> list[Row]:
    """Those that no other one beats in both, the fastest first: none is as fast and scores as high."""
    measured = [row for row in rows if row.latency]
    best = [row for row in measured if not any(_beats(one, row) for one in measured)]
    return sorted(best, key=lambda row: row.seconds)


def comparison(better: Row, other: Row) -> tuple[float, float, float] | None:
    """By how much one scores higher than another, and the interval of that, over images.

    In the unit of the scores; None where the images were not scored one by one.
    """
    if not better.evaluations or not other.evaluations:
        return None
    found = compare_means(other.evaluations, better.evaluations)
    return better.unit * found.difference, better.unit * found.low, better.unit * found.high


def incomparable(rows: Sequence[Row]) -> str:
    """Why the scores of some rows cannot be compared, such as for other classes; empty if they can."""
    scored = [row for row in rows if row.facts]
    for row in scored[1:]:
        first = scored[0]
        if row.metric != first.metric:
            return f'{first.name} has {first.metric}, and {row.name} has {row.metric}'
        if first.evaluations and row.evaluations:
            try:
                compare_means(first.evaluations, row.evaluations, resamples=0)
            except ValueError as error:
                return f'of {first.name} and {row.name}, {error}'
    return ''


def _scored(row: Row) -> Row:
    scores = [_score(facts)[1] for facts in row.facts.values()]
    row = replace(row, metric=_score(row.first)[0], score=mean(scores))
    evaluations = [_evaluation(row.runs[seed], facts) for seed, facts in row.facts.items()]
    if any(one is None for one in evaluations):
        return row
    kind = type(evaluations[0]).__name__
    unit = 100.0 if kind == 'LabelMapEvaluation' else 1.0  # as the libraries print them
    return replace(row, evaluations=tuple(evaluations), interval=score_interval(evaluations), unit=unit)


def _evaluation(run: StudyRun, facts: RunFacts) -> Any:
    """Image by image, of the score that is monitored."""
    assert facts.evaluated
    files = facts.evaluated.files
    kinds = [kind for kind in files if kind in facts.evaluated.monitored] or list(files)
    path = run.folder / FOLDER / files[kinds[0]] if kinds else None
    return read_evaluation(path) if path and path.is_file() else None


def _score(facts: RunFacts) -> tuple[str, float]:
    return headline_score(facts) or ('', float('nan'))


def _beats(one: Row, other: Row) -> bool:
    as_good = one.score >= other.score and one.seconds <= other.seconds
    return as_good and (one.score, one.seconds) != (other.score, other.seconds)


def cells(row: Row) -> list[str]:
    """What the table of a terminal and that of the page say, by `COLUMNS`."""
    if not row.facts:
        return [row.name, '–', '–', '–', '–', '–', '–', '–', '–']
    facts, ends, seeds = row.first, row.ends, row.seed_scores
    return [
        row.name,
        number(row.score),
        ' to '.join(map(number, ends)) if ends else '–',
        ', '.join(f'{seed}: {number(score)}' for seed, score in seeds.items()),
        f'{1000 * row.latency.median:.0f} ms' if row.latency else '–',
        f'{facts.parameters / 1e6:.1f} M',
        f'{facts.multiply_adds / 1e9:.2f} G',
        ', '.join(dict.fromkeys(str(one.iteration) for one in row.facts.values())),
        f'{row.minutes:.1f}',
    ]


COLUMNS = (
    'config',
    'score',
    '95 % interval',
    'by seed',
    'latency',
    'parameters',
    'multiply-adds',
    'iterations',
    'minutes',
)
