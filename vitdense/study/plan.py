"""What a study trains: every config with every seed, each in a folder of its own."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NamedTuple

from ..config.read import load_config
from ..config.variant import set_arch
from ..console import display_path
from ..errors import UserError
from ..folder_lock import is_locked
from ..report.facts import write_whole

FILE = 'study.json'
VERSION = 1
MEASURING, MOST = 0.1, 300.0  # of the time, and seconds at most, that are left for the latencies


class Candidate(NamedTuple):
    """One of those that are compared.

    name: of its config, and of the variant if one is asked for.
    arguments: of `train`, which it alone has.
    """

    name: str
    config: str
    arguments: tuple[str, ...]


class StudyRun(NamedTuple):
    """One training."""

    candidate: Candidate
    seed: int
    folder: Path

    @property
    def name(self) -> str:
        return self.folder.name


@dataclass(frozen=True)
class Budget:
    """How long each training may take; by default as long as its schedule is.

    minutes: of the whole study.
    epochs: of each training.
    """

    minutes: float | None = None
    epochs: int | None = None

    def per_run(self, runs: int, at_once: int) -> float | None:
        """Minutes of one training, where so many run at once; None without a limit."""
        if self.minutes is None:
            return None
        kept = min(MEASURING * self.minutes, MOST / 60)
        return (self.minutes - kept) / -(-runs // at_once)


@dataclass(frozen=True)
class StudyPlan:
    """What was asked for.

    shared: arguments of `train` that all trainings have: the data, the settings.
    at_once: trainings that run beside each other, one on each device.
    """

    out: Path
    candidates: tuple[Candidate, ...]
    seeds: tuple[int, ...]
    budget: Budget
    shared: tuple[str, ...] = ()
    at_once: int = 1
    runs: tuple[StudyRun, ...] = field(init=False)

    def __post_init__(self) -> None:
        # seeds outside: a study that is stopped has compared all of them with the first
        runs = tuple(
            StudyRun(one, seed, self.out / f'{one.name}-seed{seed}')
            for seed in self.seeds
            for one in self.candidates
        )
        object.__setattr__(self, 'runs', runs)

    def arguments(self, run: StudyRun) -> list[str]:
        """The command line of `train`, without `--resume`."""
        found = [run.candidate.config, *run.candidate.arguments, *self.shared]
        if self.budget.epochs:
            found += ['--epochs', str(self.budget.epochs)]
        if minutes := self.budget.per_run(len(self.runs), self.at_once):
            found += ['--max-minutes', f'{minutes:.3f}']
        at = found.index('--cfg-options') if '--cfg-options' in found else len(found)
        options = [*found[at:], f'randomness.seed={run.seed}']
        found[at:] = options if options[0] == '--cfg-options' else ['--cfg-options', *options]
        return [*found, '--work-dir', str(run.folder)]


def candidates_of(names: Sequence[str], weights: Mapping[str, str]) -> tuple[Candidate, ...]:
    """Of `CONFIG` or `CONFIG:ARCH`.

    Args:
        names: as typed.
        weights: files of released weights, by the same names.

    Raises:
        UserError: no such config or variant, two of one name, one that is scored otherwise than the others,
            or weights of none of them.
    """
    found: dict[str, Candidate] = {}
    kinds: dict[str, str] = {}
    for typed in names:
        config, arch = _split(typed)
        cfg = load_config(config)
        if arch:
            set_arch(cfg, arch)
        name = '-'.join(filter(None, (Path(config).stem, re.sub(r'\W', '_', arch))))
        if name in found:
            raise UserError(f'{typed}: {name} is there already; a study needs different names')
        arguments: tuple[str, ...] = ('--arch', arch) if arch else ()
        if typed in weights:
            arguments += ('--weights', weights[typed])
        found[name] = Candidate(name, config, arguments)
        kinds[name] = 'label maps' if cfg.get('default_scope') == 'mmseg' else 'objects'
    if len(set(kinds.values())) > 1:
        said = ', '.join(f'{name} finds {kind}' for name, kind in kinds.items())
        raise UserError(f'their scores cannot be compared: {said}')
    if other := set(weights) - set(names):
        raise UserError(f'--weights {sorted(other)[0]}=…: expected one of {", ".join(names)}')
    return tuple(found.values())


def _split(typed: str) -> tuple[str, str]:
    config, colon, arch = typed.rpartition(':')
    return (config, arch) if colon and '/' not in arch and '\\' not in arch else (typed, '')


def record_plan(plan: StudyPlan) -> None:
    """Note in its folder what a study trains, so that the same command continues it, and no other one does.

    More configs and more seeds may be asked for than before: what is trained already stays. Where nothing is
    trained yet, as after a command with a mistake in it, all may be asked for.

    Raises:
        UserError: the folder is of another study, or of something else.
    """
    file = plan.out / FILE
    asked = {one.name: [one.config, *one.arguments] for one in plan.candidates}
    wanted = dict(version=VERSION, budget=asdict(plan.budget), shared=list(plan.shared), candidates=asked)
    if plan.budget.minutes:  # of which each training has its part
        wanted['runs'] = sorted(run.name for run in plan.runs)
        wanted['at once'] = plan.at_once
    if not file.is_file():
        if plan.out.is_dir() and any(one.name != '.lock' for one in plan.out.iterdir()):
            raise UserError(f'--out {display_path(plan.out)}: is not empty, and no study is in it')
        write_whole(file, json.dumps(wanted, indent=1))
        return
    begun = _has_begun(plan.out)
    try:
        known = json.loads(file.read_text(encoding='utf-8'))
        before = known.get('candidates', {}) if begun else {}
        known['candidates'] = asked | before  # which differ where a name stands for something else now
        wanted['candidates'] = before | asked
    except (ValueError, TypeError, AttributeError) as error:
        raise UserError(f'{display_path(file)}: cannot be read as a study ({error})') from error
    bound = {*known, *wanted} if begun else {'version'}
    differing = [name for name in sorted(bound) if known.get(name) != wanted.get(name)]
    if differing:
        said = '; '.join(f'{name}: {known.get(name)}, and now {wanted.get(name)}' for name in differing)
        raise UserError(
            f'--out {display_path(plan.out)}: another study is there ({said}); another --out starts a new one'
        )
    write_whole(file, json.dumps(wanted, indent=1))


def _has_begun(out: Path) -> bool:
    """Whether something is trained, or a training runs."""
    return any(is_locked(one) or any(one.glob('*.pth')) for one in out.iterdir() if one.is_dir())
