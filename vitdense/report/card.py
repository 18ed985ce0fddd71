"""A model card in Markdown: what a run knows of its model, and fields for what its owner alone knows."""

import os
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..show.scores import number, score_names
from .facts import RunFacts, write_whole
from .page import clock, duration, fill
from .verdict import verdict

CARD = 'MODEL_CARD.md'


def write_card(facts: RunFacts, file: Path) -> None:
    """Write the card of a run.

    Raises:
        UserError: there is one already.
    """
    refuse_to_overwrite(file)
    write_whole(file, card_text(facts))


def refuse_to_overwrite(file: Path) -> None:
    """A card that its owner may have filled in.

    Raises:
        UserError: there is one.
    """
    if file.exists():
        raise UserError(f'{file}: is there already, and perhaps filled in; move it away for a new one')


def card_text(facts: RunFacts) -> str:
    """The card of a run."""
    scores = facts.evaluated.scores if facts.evaluated else {}
    names, tables = score_names(scores), facts.per_class.items()
    return fill(
        'card.md',
        facts=facts,
        lines=dict(facts.lines),
        verdict=verdict(facts),
        scores=[(names[name], number(value)) for name, value in scores.items()],
        tables=[(kind, list(next(iter(rows.values()))), rows) for kind, rows in tables if rows],
        checkpoint=os.path.basename(facts.checkpoint),
        cell=_cell,
        number=number,
        clock=clock,
        duration=duration,
    )


def _cell(text: Any) -> str:
    """What a cell of a Markdown table can hold."""
    return str(text).replace('|', r'\|').replace('\n', ' ')
