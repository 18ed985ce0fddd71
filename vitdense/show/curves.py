"""The curves of a run: losses, learning rate and scores over its iterations."""

import contextlib
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import matplotlib

matplotlib.use('Agg')  # a run has no display

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from mmengine.dist import master_only
from mmengine.runner import Runner

from ..mmengine_internals import is_resuming
from .scores import score_names

HEIGHTS = {'loss': 3, 'learning rate': 1, 'validation score': 2}  # of the parts, one to another
SCORES = 4  # as many are drawn where none has a known name
SCALARS = 'vis_data/scalars.json'
SESSION_FILE = 'session.json'  # in the folder of a session's log
TIMES = {'data_time', 'time', 'iter', 'step', 'memory'}  # in a record, and no scores


class Session(NamedTuple):
    """How one start of a training began.

    resumed_from: the session that wrote the checkpoint, by the name of its folder; None where none is known.
    iteration: of the checkpoint; 0 for a new training.
    """

    resumed_from: str | None
    iteration: int


@master_only
def record_session(runner: Runner) -> None:
    """Note what a training that takes its first step continues, for its curves."""
    resumed_from = None
    if is_resuming(runner):  # MMEngine's name of an experiment ends with the time, as its folder is called
        resumed_from = '_'.join(runner.loaded_meta.get('experiment_name', '').split('_')[-2:])
    session = Session(resumed_from, runner.iter)
    Path(runner.log_dir, SESSION_FILE).write_text(f'{json.dumps(session._asdict())}\n')


def draw_curves(work_dir: str | Path, path: str | Path) -> bool:
    """Losses, learning rate and scores over the iterations of a work dir's newest run, as one picture.

    A run that was resumed has those of the sessions before, up to where each was resumed.

    Returns:
        False, and no picture, where the run left no `scalars.json`, as with TensorBoard alone.
    """
    parts = run_curves(work_dir)
    if not parts:
        return False
    figure = _figure(parts)
    figure.savefig(path)
    plt.close(figure)
    return True


def run_curves(work_dir: str | Path) -> dict[str, dict[str, dict[int, float]]]:
    """Values by iteration, by the name of their curve, by that of their part: `HEIGHTS` has the parts.

    Of a work dir's newest run, with the sessions before that it was resumed from; no part that has no curve.
    """
    return _parts(*_records(Path(work_dir)))


def _parts(train: dict[int, dict], scores: dict[int, dict]) -> dict[str, dict[str, dict[int, float]]]:
    """The curves by name, in up to three parts; without a part that has none."""
    losses = {
        ('sum' if name == 'loss' else name.removeprefix('loss_')): _curve(train, name)
        for name in _names(train)
        if 'loss' in name
    }
    rates = _rates(train)
    headline = {label: _curve(scores, name) for name, label in score_names(_headline(_names(scores))).items()}
    drawn = dict(zip(HEIGHTS, (losses, rates, headline), strict=True))
    return {title: curves for title, curves in drawn.items() if any(curves.values())}


def _rates(train: dict[int, dict]) -> dict[str, dict[int, float]]:
    """Learning rates by optimizer: MMEngine's `lr` is of the first parameter group, which may have its own.

    `base_lr` is of all groups without their own; it is a second curve where it differs.
    """
    names = [name for name in _names(train) if name.split('.')[-1] in ('lr', 'base_lr')]
    curves = {name: _curve(train, name) for name in names}
    second = {name: curves.get(name.replace('base_lr', 'lr')) for name in names if 'base_lr' in name}
    return {name: curve for name, curve in curves.items() if name not in second or curve != second[name]}


def _figure(parts: dict[str, dict[str, dict[int, float]]]) -> Figure:
    heights = [HEIGHTS[title] for title in parts]
    figure, axes = plt.subplots(
        len(parts),
        figsize=(8, 1.4 * sum(heights)),
        dpi=150,
        sharex=True,
        squeeze=False,
        height_ratios=heights,
        layout='constrained',
    )
    for ax, (title, curves) in zip(axes.flat, parts.items(), strict=True):
        _draw(ax, title, curves)
    axes.flat[-1].set(xlabel='iteration')
    axes.flat[-1].xaxis.get_major_locator().set_params(integer=True)
    figure.align_ylabels()
    return figure


def _draw(ax: Axes, title: str, curves: dict[str, dict[int, float]]) -> None:
    for name in sorted(filter(curves.get, curves), key=lambda name: name != 'sum'):
        label = 'lr of the first group' if name == 'lr' and 'base_lr' in curves else name
        colour = 'black' if name == 'sum' else 'tab:gray' if name == 'lr' else None
        width = 2 if name == 'sum' else 1.2
        mark = 'o' if title == 'validation score' or len(curves[name]) == 1 else ''
        steps, values = list(curves[name]), list(curves[name].values())
        ax.plot(steps, values, label=label, color=colour, linewidth=width, marker=mark)
    values = [value for curve in curves.values() for value in curve.values()]
    # a margin of the axis from 0, not of the values, so that no mark is cut
    ax.set(ylabel=title, ylim=(0, 1.06 * (max(values) or 1)) if min(values) >= 0 else None)
    ax.spines[['top', 'right']].set_visible(False)
    ax.grid(alpha=0.25)
    if title != 'learning rate' or len(curves) > 1:  # above, where no point is
        ax.legend(loc='lower left', bbox_to_anchor=(0, 1), ncols=5, frameon=False, borderaxespad=0)


def _names(records: dict[int, dict]) -> list[str]:
    """Of everything that any of the records has, in their order."""
    return list(dict.fromkeys(name for step in sorted(records) for name in records[step]))


def _curve(records: dict[int, dict], name: str) -> dict[int, float]:
    """Values by iteration; without −1, which COCO says where there is nothing to detect."""
    found = {step: records[step][name] for step in sorted(records) if records[step].get(name) is not None}
    of_coco = name.startswith('coco/') or 'mAP' in name  # with any prefix
    return {step: value for step, value in found.items() if value != -1 or not of_coco}


def _records(work_dir: Path) -> tuple[dict[int, dict], dict[int, dict]]:
    """Training and validation scalars by iteration; where a resumed run repeats one, the later run counts."""
    train: dict[int, dict] = {}
    scores: dict[int, dict] = {}
    for folder, resumed_at in _sessions(work_dir):
        for records in (train, scores):
            for step in [step for step in records if step > resumed_at]:
                del records[step]
        last = 0
        for record in _whole_lines(folder / SCALARS):
            if 'loss' in record:
                last = record['step']
                train[last] = record
            elif record.keys() - TIMES:
                # MMEngine counts the validations of an epoch-based run in epochs: ProgressHook adds the
                # iteration; without it, an epoch is fewer than the iterations
                scores[int(record.get('iter', max(record['step'], last)))] = record
    return train, scores


def _sessions(work_dir: Path) -> list[tuple[Path, float]]:
    """The folders of the newest run's sessions, in their order, and the iteration that each was resumed at.

    Of an earlier version's sessions it is not known what they continued: all that are older are taken.
    """
    files = [*work_dir.glob(f'*/{SCALARS}'), *work_dir.glob(f'*/{SESSION_FILE}')]
    names = sorted({file.relative_to(work_dir).parts[0] for file in files})
    sessions: list[tuple[Path, float]] = []
    name = names[-1] if names else None
    while name in names:
        before = names[: names.index(name)]
        session = _session(work_dir / name)
        sessions.append((work_dir / name, session.iteration if session else math.inf))
        names.remove(name)
        name = session.resumed_from if session else before[-1] if before else None
    return sessions[::-1]


def _session(folder: Path) -> Session | None:
    """What a session noted; None of an earlier version, or where the file was cut."""
    try:
        return Session(**json.loads((folder / SESSION_FILE).read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def _whole_lines(file: Path) -> Iterator[dict]:
    """Not the one that a full disk or a loss of power has cut; nor any of a session that logged nothing."""
    if not file.is_file():
        return
    for line in file.read_text(errors='replace').splitlines():
        with contextlib.suppress(json.JSONDecodeError):
            yield json.loads(line)


def _headline(names: list[str]) -> list[str]:
    """The scores worth a curve: mAP and mAP at IoU 0.5, or mIoU; of others the first few."""
    known = [name for name in names if name.endswith(('mAP', 'mAP_50', 'mIoU'))]
    return known or [name for name in names if name not in TIMES][:SCORES]
