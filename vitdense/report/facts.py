"""What a run notes of itself in `report/` of its work dir, so that its page can be made again."""

import dataclasses
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ..errors import UserError

VERSION = 1  # of the file
FOLDER = 'report'  # in a work dir
FILE = 'facts.json'

State = Literal['running', 'finished', 'stopped', 'failed', 'killed']


@dataclass
class Evaluated:
    """The validation, or the test, that the page shows in detail: that of the best weights so far.

    monitored: the score by which the best is chosen, and `higher` whether more of it is better.
    files: of the evaluations image by image, by what was scored.
    images: how many there were.
    """

    iteration: int
    scores: dict[str, float]
    monitored: str
    higher: bool
    per_class: dict[str, dict[str, dict[str, float]]]
    files: dict[str, str]
    images: int


@dataclass
class Dial:
    """What a test has found at one setting of SuperViT's dials.

    seconds: of a batch of so many images.
    multiply_adds: of the backbone, for one image.
    """

    scale: float
    keep_rate: float
    score: float
    seconds: float
    images: int
    multiply_adds: int


@dataclass
class RunFacts:
    """All that the page of a run says, but for its curves, which are in the run's log.

    segments: whether its model finds label maps.
    state: how it stands; 'running' also of a run that was killed, which could not say so.
    reason: why it ended, where that was not the end of its schedule.
    written: when the page was last written, in seconds since 1970; `pause` seconds later it is written again.
    lines: label and text of what a run says of itself when it starts.
    findings: label, text and level of what the preflight check found.
    seconds: of each part of the run, all its sessions together.
    costs: of the model by part: parameters and multiply-adds of one image of `size`.
    latency: of one image of that size, in seconds, here.
    recipe, sources, changes: settings; the config's files with what each says of its numbers; and what the
        command line made of them.
    events: what happened on the way, by iteration.
    """

    name: str
    config: str
    command: str
    started: float
    trains: bool = True
    segments: bool = False
    state: State = 'running'
    reason: str = ''
    written: float = 0.0
    pause: float = 0.0
    iteration: int = 0
    total: int = 0
    lines: list[list[str]] = field(default_factory=list)
    findings: list[list[str]] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    costs: dict[str, list[int]] = field(default_factory=dict)
    size: list[int] = field(default_factory=list)
    latency: float = 0.0
    classes: list[str] = field(default_factory=list)
    palette: list[list[int]] = field(default_factory=list)
    data: dict[str, Any] = field(default_factory=dict)
    recipe: list[list[str]] = field(default_factory=list)
    sources: list[list[str]] = field(default_factory=list)
    changes: list[str] = field(default_factory=list)
    settings: dict[str, str] = field(default_factory=dict)  # the whole config, by dotted names
    versions: dict[str, str] = field(default_factory=dict)
    seed: int | None = None
    events: list[list[Any]] = field(default_factory=list)
    evaluated: Evaluated | None = None
    validations: list[list[float]] = field(default_factory=list)  # iteration, and the score that is monitored
    checkpoint: str = ''
    dials: list[Dial] = field(default_factory=list)

    @property
    def parameters(self) -> int:
        return sum(parameters for parameters, _ in self.costs.values())

    @property
    def multiply_adds(self) -> int:
        return sum(multiply_adds for _, multiply_adds in self.costs.values())

    @property
    def per_class(self) -> dict[str, dict[str, dict[str, float]]]:
        """Of what was evaluated, by kind and by class; empty without a validation."""
        return self.evaluated.per_class if self.evaluated else {}

    def line(self, label: str, missing: str = '') -> str:
        """What a run said of itself under a label."""
        return dict(self.lines).get(label, missing)

    def event(self, text: str) -> None:
        """Note what happened at this iteration."""
        self.events.append([self.iteration, text])


def write_facts(facts: RunFacts, work_dir: Path) -> None:
    """Into its work dir; a file of before is replaced once the new one is whole."""
    write_whole(
        work_dir / FOLDER / FILE, json.dumps(dict(version=VERSION, **dataclasses.asdict(facts)), indent=1)
    )


def read_facts(work_dir: Path) -> RunFacts:
    """Of a work dir.

    Raises:
        UserError: it has none, or of another version.
    """
    file = work_dir / FOLDER / FILE
    try:
        found = json.loads(file.read_text(encoding='utf-8'))
        version = found.pop('version')
        if version == VERSION:
            evaluated = found.pop('evaluated')
            dials = [Dial(**one) for one in found.pop('dials', ())]
            return RunFacts(**found, evaluated=Evaluated(**evaluated) if evaluated else None, dials=dials)
    except FileNotFoundError:
        what = 'no facts of a run in it' if work_dir.is_dir() else 'no such folder'
        raise UserError(
            f'{work_dir}: {what}; expected the work dir of a `vitdense train` or `test`'
        ) from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f'{file}: cannot be read as the facts of a run ({error})') from error
    raise UserError(f'{file}: of version {version}; this vitdense reads version {VERSION}')


def write_whole(file: Path, text: str) -> None:
    """A reader finds the text of before or the new one, and never a part of one."""
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f'.{file.name}.part')
    try:
        part.write_text(text, encoding='utf-8')
        os.replace(part, file)
    except OSError:
        part.unlink(missing_ok=True)  # a half one would keep a full disk full
        raise
