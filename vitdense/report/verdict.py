"""One sentence on how a run went, from its facts alone."""

from collections.abc import Iterator, Mapping

from ..show.scores import number, score_names
from .facts import RunFacts

RISING = 0.02  # of the score, by which the last validation is better than the one before
LITTLE = 0.05  # of a score's range, below which a model is not of use
WORSE = 0.05  # of the score, by which it is worse than the best


def headline_score(facts: RunFacts) -> tuple[str, float] | None:
    """The score by which the best weights are chosen: its name and its value."""
    found = facts.evaluated
    if found is None or found.monitored not in found.scores:
        return None
    return score_names([found.monitored])[found.monitored], found.scores[found.monitored]


def verdict(facts: RunFacts) -> str:
    """How it stands, how good it is, and what of that a person should look at."""
    return ' '.join([_state(facts), *_worth(facts)])


def _state(facts: RunFacts) -> str:
    where = f'iteration {facts.iteration} of {facts.total}' if facts.trains else 'this test'
    if facts.state == 'running':
        return f'Running: {where}.'
    if facts.state == 'killed':
        return f'Killed after {where}, or shortly after: the process ended without a word.'
    if facts.state == 'stopped':
        return f'Stopped at {where}: {facts.reason}.'
    if facts.state == 'failed':
        return f'Failed at {where}: {facts.reason}.'
    return f'Finished: {facts.reason or where}.' if facts.trains else 'Tested.'


def _worth(facts: RunFacts) -> Iterator[str]:
    score = headline_score(facts)
    if score is None:
        if facts.state != 'running':
            yield 'No validation has scored it, so nothing is known of its worth.'
        return
    name, value = score
    evaluated = facts.evaluated
    assert evaluated is not None
    unit = _unit(evaluated.scores)
    yield f'{name} {number(value)}' + (
        f', best after iteration {evaluated.iteration}.' if facts.trains else '.'
    )
    if value == -1:  # as COCO says it
        yield 'There is nothing to find in its images.'
    elif not evaluated.higher:
        return
    elif value <= 0:
        yield 'Nothing is found.'
    elif value < LITTLE * unit:
        yield 'Hardly anything is found.'
    scores = [one for _, one in facts.validations]
    if facts.trains and len(scores) > 1 and value > 0 and evaluated.higher:
        if scores[-1] < value - WORSE * value:
            yield f'The last validation was worse, {number(scores[-1])}: more training may not help.'
        elif facts.state == 'finished' and scores[-1] == value and scores[-1] - scores[-2] > RISING * unit:
            yield 'It was still rising at the end: a longer training may gain more.'
    empty = _without_score(facts)
    if empty and value > 0:
        yield f'{empty[0] if len(empty) == 1 else f"{len(empty)} classes"} had a score of 0.'
    if warnings := sum(level == 'warning' for _, _, level in facts.findings):
        yield f'The preflight check had {warnings} warning{"s" * (warnings > 1)}.'


def _unit(scores: Mapping[str, float]) -> float:
    """Of scores that are shares, or in percent: of those of a segmentor at least one is above 1."""
    return 100.0 if max(scores.values()) > 1 else 1.0


def _without_score(facts: RunFacts) -> list[str]:
    """Classes of which there is something to find, and nothing was found."""
    for rows in facts.per_class.values():
        return [name for name, row in rows.items() if row[list(row)[-1]] == 0]
    return []
