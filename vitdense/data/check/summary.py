"""What was found, on the terminal: a table, each kind with its examples, and a verdict."""

from collections.abc import Sequence
from itertools import chain, zip_longest

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ...console import plural
from .findings import EXAMPLES, Findings, Kind


def report(console: Console, splits: Sequence[Findings]) -> bool:
    """Show all of it; True if there is no fault."""
    kinds = sorted(dict.fromkeys(chain(*(found.counts for found in splits))), key=lambda kind: not kind.fault)
    _table(console, splits, kinds)
    for kind in kinds:
        _kind(console, splits, kind)
    faults, doubts = (
        [sum(found.counts[kind] for found in splits) for kind in kinds if kind.fault is fault]
        for fault in (True, False)
    )
    said = f'{plural(sum(faults), "fault")}, {plural(sum(doubts), "doubt")}'
    colour, verdict = ('red', 'not ready to train on') if faults else ('green', 'ready to train on')
    console.print(f'[bold {colour}]{verdict}: {said}[/]')
    return not faults


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
    return f'[red]fault[/]  {kind.name}' if kind.fault else f'[yellow]doubt[/]  {kind.name}'
