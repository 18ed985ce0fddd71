"""All that was found as JSON, for programs: `docs/check_data.md` has its keys."""

import json
from collections.abc import Sequence
from pathlib import Path

from ...errors import UserError
from ...findings import Level
from .findings import Findings
from .summary import total

FORMAT = 'vitdense check_data 1'


def write_report(path: Path, config: str | None, splits: Sequence[Findings]) -> None:
    """Write the cases of all splits, errors first."""
    cases = [
        dict(kind=kind.name, level=kind.level.value, note=kind.note, **case._asdict())
        for found in splits
        for kind, cases in found.cases.items()
        for case in cases
    ]
    errors = total(splits, Level.ERROR)
    whole = dict(
        format=FORMAT,
        config=config,
        ready=not errors,
        errors=errors,
        warnings=total(splits, Level.WARNING),
        splits=[dict(name=found.split, facts=found.facts) for found in splits],
        findings=sorted(cases, key=lambda case: case['level'] != Level.ERROR.value),
    )
    path.write_text(json.dumps(whole, indent=1) + '\n')


def require_report_path(path: Path) -> None:
    """Before a long check.

    Raises:
        UserError: there is no such folder, or a file that is no earlier report, such as the annotations.
    """
    if not path.parent.is_dir():
        raise UserError(f'{path.parent}: no such folder, for the report')
    if path.is_dir():
        raise UserError(f'{path}: a folder; expected a file for the report')
    if path.exists() and FORMAT.encode() not in path.read_bytes()[:100]:
        raise UserError(f'{path}: exists and is no report of check_data; it would be overwritten')
