"""What was found, on the terminal: a table, each kind with its cases, and a verdict."""

from collections.abc import Sequence
from itertools import chain, zip_longest

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ...console import plural
from ...findings import Kind, Level
from .findings import EXAMPLES, Findings


def print_summary(console: Console, splits: Sequence[Findings], show_all: bool = False) -> bool:
    """Print what was found, of each kind the first cases or all; True if there is no error."""
    kinds = sorted(
        dict.fromkeys(chain(*(found.counts for found in splits))),
        key=lambda kind: kind.level is not Level.ERROR,
    )
    _table(console, splits, kinds)
    for kind in kinds:
        _kind(console, splits, kind, None if show_all else EXAMPLES)
    errors, warnings = (total(splits, level) for level in (Level.ERROR, Level.WARNING))
    colour, verdict = ('red', 'not ready to train on') if errors else ('green', 'ready to train on')
    counts = f'{plural(errors, "error")}, {plural(warnings, "warning")}'
    console.print(f'[bold {colour}]{verdict}: {counts}[/]')
    return not errors


def _table(console: Console, splits: Sequence[Findings], kinds: Sequence[Kind]) -> None:
    table = Table()
    table.add_column('')
    for found in splits:
        table.add_column(found.split, justify='right')
    for fact in dict.fromkeys(chain(*(found.facts for found in splits))):
        table.add_row(fact, *(found.facts.get(fact, '–') for found in splits))
    table.add_section()
    for kind in kinds:
        counts = (str(found.counts[kind] or '–') for found in splits)
        table.add_row(_label(kind), *counts)
    console.print(table)


def total(splits: Sequence[Findings], level: Level) -> int:
    """How many errors, or warnings, there are."""
    return sum(count for found in splits for kind, count in found.counts.items() if kind.level is level)


def _kind(console: Console, splits: Sequence[Findings], kind: Kind, most: int | None) -> None:
    count = sum(found.counts[kind] for found in splits)
    note = f' ({kind.note})' if kind.note else ''
    console.print(f'{_label(kind)}: {count}{note}')
    # in turn, so that every split is heard
    turns = chain(*zip_longest(*(found.cases[kind] for found in splits)))
    cases = [case for case in turns if case is not None][:most]
    for case in cases:
        console.print(f'    {escape(str(case))}')
    if count > len(cases):
        console.print(f'    and {count - len(cases)} more')


def _label(kind: Kind) -> str:
    colour = 'red' if kind.level is Level.ERROR else 'yellow'
    return f'[{colour}]{kind.level.value}[/]  {kind.name}'
