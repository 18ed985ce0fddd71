"""A study from its first training to its page."""

from collections.abc import Mapping
from pathlib import Path

from rich.console import Console

from ..console import display_path, plural, say
from ..errors import UserError
from ..folder_lock import locked
from .advice import advice, limits
from .latency import Latencies, measure_latencies
from .page import study_table, write_study_page
from .plan import Budget, StudyPlan, record_plan
from .results import rows_of, with_latencies
from .trainings import train_all


def study(plan: StudyPlan, devices: list[str], console: Console, wanted: float | None = None) -> bool:
    """Train, measure, and write the page.

    Args:
        plan: what to train.
        devices: as for `train_all`.
        console: for its lines.
        wanted: seconds of one image that the advice keeps to.

    Returns:
        whether all trainings were scored.

    Raises:
        UserError: the folder is of another study, another process runs this one, or no training was scored.
        StudyStopped: by a signal; the same call continues.
    """
    locked(plan.out)
    record_plan(plan)
    if minutes := plan.budget.per_run(len(plan.runs), plan.at_once):
        say(console, 'budget', f'{plural(len(plan.runs), "training")} of {minutes:.1f} minutes each')
    failed = train_all(plan, devices, console)
    rows = rows_of(plan, failed)
    folders = {row.name: next(iter(row.runs.values())).folder for row in rows if row.runs}
    if not folders:
        raise UserError(f'no training was scored: {next(iter(failed.values()), "")}')
    latencies = _measured(folders, console)
    if latencies:
        rows = with_latencies(rows, latencies.timings[1.0])
    sentences = advice(rows, wanted)
    said = list(limits(rows, latencies.load if latencies else None, _trained(plan.budget)))
    page = write_study_page(plan.out, rows, latencies, sentences, said)
    console.print(study_table(rows))
    for sentence in sentences:
        say(console, 'advice', sentence)
    for sentence in said:
        say(console, 'limits', sentence, style='')
    say(console, 'written', display_path(page))
    return not failed


def _measured(folders: Mapping[str, Path], console: Console) -> Latencies | None:
    say(console, 'latency', f'{plural(len(folders), "model")}, in turns')
    try:
        return measure_latencies(folders)
    except (UserError, OSError, RuntimeError) as error:
        # the images were moved, say, or a large one needs too much memory: the scores are there all the same
        say(console, 'latency', f'warning: not measured: {error}', 'bold yellow')
        return None


def _trained(budget: Budget) -> str:
    if budget.minutes:
        return f'for the same part of {budget.minutes:g} minutes'
    return f'for {plural(budget.epochs, "epoch")}' if budget.epochs else 'as long as its schedule is'
