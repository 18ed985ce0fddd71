"""What was found, on the terminal: a table, each kind with its examples, and a verdict."""

from collections.abc import Sequence
from itertools import chain, zip_longest

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ...console import plural
from ...findings import Level
from .findings import EXAMPLES, Findings, Kind


def print_summary(console: Console, splits: Sequence[Findings]) -> bool:
    """Print all of it; True if there is no error."""
    kinds = sorted(
        dict.fromkeys(chain(*(found.counts for found in splits))),
        key=lambda kind: kind.level is not Level.ERROR,
    )
    _table(console, splits, kinds)
    for kind in kinds:
        _kind(console, splits, kind)
    errors, warnings = (
        sum(found.counts[kind] for found in splits for kind in kinds if kind.level is level)
        for level in (Level.ERROR, Level.WARNING)
    )
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


def _kind(console: Console, splits: Sequence[Findings], kind: Kind) -> None:
    total = sum(found.counts[kind] for found in splits)
    note = f' ({kind.note})' if kind.note else ''
    console.print(f'{_label(kind)}: {total}{note}')
    # in turn, so that every split is heard
    turns = chain(*zip_longest(*(found.examples[kind] for found in splits)))
    examples = [example for example in turns if example is not None][:EXAMPLES]
    for example in examples:
        console.print(f'    {escape(example)}')
    if total > len(examples):
        console.print(f'    and {total - len(examples)} more')


def _label(kind: Kind) -> str:
    colour = 'red' if kind.level is Level.ERROR else 'yellow'
    return f'[{colour}]{kind.level.value}[/]  {kind.name}'
