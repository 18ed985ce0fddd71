"""What a check finds: facts, warnings and errors, in the same words everywhere."""

from collections.abc import Iterable
from enum import Enum
from typing import NamedTuple


class Level(Enum):
    FACT = 'fact'
    WARNING = 'warning'  # it may be meant
    ERROR = 'error'  # a run would fail on it, or learn or score something wrong


class Kind(NamedTuple):
    """One way for data to be wrong.

    name: in the plural, as the table and the list call it.
    note: what follows from it in a run, where that is not plain.
    """

    name: str
    note: str = ''
    level: Level = Level.ERROR


class Finding(NamedTuple):
    """One line.

    label: what it is about, in a word.
    """

    label: str
    text: str
    level: Level = Level.FACT


def first_few(values: Iterable[object], most: int = 4) -> str:
    """The first of some values, and how many more there are: `a, b, c, d and 3 more`."""
    values = list(values)
    more = f' and {len(values) - most} more' if len(values) > most else ''
    return ', '.join(map(str, values[:most])) + more
