"""What a look at a run finds."""

from enum import Enum
from typing import NamedTuple


class Level(Enum):
    FACT = 'fact'
    DOUBT = 'doubt'  # it may be meant
    FAULT = 'fault'  # no run should begin with it


class Finding(NamedTuple):
    """One line.

    label: what it is about, in a word.
    """

    label: str
    text: str
    level: Level = Level.FACT


def named(names: list[str], most: int = 4) -> str:
    """The first of some names, and how many more there are."""
    more = f' and {len(names) - most} more' if len(names) > most else ''
    return ', '.join(names[:most]) + more
