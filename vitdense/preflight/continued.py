"""A run that goes on with another config than it was begun with."""

from collections.abc import Iterator

from mmengine.runner import Runner

from ..engine.resumed import differences
from .finding import Finding, Level, named


def continued(runner: Runner) -> Iterator[Finding]:
    """A doubt for what differs: it may be meant, as a longer schedule is."""
    if not runner.begun_with:
        return
    try:
        changed = sorted(differences(runner.begun_with, runner.cfg.pretty_text))
    except SyntaxError:  # the record of another software
        return
    if changed:
        yield Finding('resumed', f'otherwise than it was begun: {named(changed)}', Level.DOUBT)
