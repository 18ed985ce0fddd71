"""A model card in Markdown: what a run knows of its model, and fields for what its owner alone knows."""

import os
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from .. import __version__
from ..errors import UserError
from ..show.scores import number, score_names
from .facts import RunFacts, write_whole
from .page import clock, duration
from .verdict import headline_score, verdict

CARD = 'MODEL_CARD.md'


def write_card(facts: RunFacts, work_dir: Path, file: Path) -> None:
    """Write the card of a run.

    Raises:
        UserError: there is one already.
    """
    refuse_to_overwrite(file)
    write_whole(file, card_text(facts, work_dir))


def refuse_to_overwrite(file: Path) -> None:
    """A card that its owner may have filled in.

    Raises:
        UserError: there is one.
    """
    if file.exists():
        raise UserError(f'{file}: is there already, and perhaps filled in; move it away for a new one')


def card_text(facts: RunFacts, work_dir: Path) -> str:
    """The card of a run."""
    environment = Environment(
        loader=PackageLoader('vitdense.report', 'templates'),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters['cell'] = _cell
    scores = facts.evaluated.scores if facts.evaluated else {}
    names = score_names(scores)
    return environment.get_template('card.md').render(
        facts=facts,
        lines=dict(facts.lines),
        verdict=verdict(facts),
        headline=headline_score(facts),
        scores=[(names[name], number(value)) for name, value in scores.items()],
        tables=[
            (kind, list(next(iter(rows.values()))), rows) for kind, rows in _per_class(facts).items() if rows
        ],
        parameters=sum(cost[0] for cost in facts.costs.values()) / 1e6,
        multiply_adds=sum(cost[1] for cost in facts.costs.values()) / 1e9,
        checkpoint=os.path.basename(facts.checkpoint),
        number=number,
        clock=clock,
        duration=duration,
        version=__version__,
    )


def _per_class(facts: RunFacts) -> dict[str, Any]:
    return facts.evaluated.per_class if facts.evaluated else {}


def _cell(text: Any) -> str:
    """What a cell of a Markdown table can hold."""
    return str(text).replace('|', r'\|').replace('\n', ' ')
