"""`report`: the page of a run made again, and its model card."""

import argparse
from pathlib import Path

from .command import make_parser, run


def main() -> None:
    p = make_parser('Make the page of a run again, from what it has noted in its work dir.')
    p.add_argument('work_dir', type=Path, help='of a training or a test')
    p.add_argument('--card', action='store_true', help='write a model card, MODEL_CARD.md, too')
    run(_report, p)


def _report(args: argparse.Namespace) -> None:
    from ..console import display_path, make_console, say
    from ..engine.work_dir import PAGE, trained_model
    from ..report.again import read_run
    from ..report.card import CARD, refuse_to_overwrite, write_card
    from ..report.explained import explain_run, read_explained
    from ..report.page import write_page

    facts = read_run(args.work_dir)
    if args.card:
        refuse_to_overwrite(args.work_dir / CARD)
    console = make_console()
    if facts.state != 'running' and read_explained(args.work_dir) is None:
        try:
            own = args.work_dir if facts.trains else facts.checkpoint
            explain_run(args.work_dir, trained_model(own))
        except Exception as error:  # such as a checkpoint, or images, that are there no more
            say(console, 'looks', f'warning: not drawn: {error}', 'yellow')
    write_page(facts, args.work_dir, args.work_dir / PAGE)
    say(console, 'report', display_path(args.work_dir / PAGE))
    if args.card:
        write_card(facts, args.work_dir / CARD)
        say(console, 'card', display_path(args.work_dir / CARD))
