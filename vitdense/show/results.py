"""The pictures of a run are drawn, at its start and at its end, and its files are named."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner
from rich.console import Console

from ..console import display_path, say
from ..data.unreadable import UNREADABLE_FILE
from ..engine.work_dir import PAGE, last_checkpoint
from . import curves, pictures
from .scores import number, score_names

WIDTH = 11  # of the labels


def show_results(runner: Runner, console: Console, dataset: Any = None, trained: bool = False) -> None:
    """Draw what a run has to show, and say where everything is.

    The results are written by now: a picture that cannot be drawn is a warning.

    Args:
        runner: of the run.
        console: of `make_console()`.
        dataset: whose images are drawn; none, if a config has no validation.
        trained: whether the run was a training, with checkpoints and curves.
    """
    folder = Path(runner.work_dir)
    lines = list(_checkpoints(runner)) if trained else []
    if trained:
        path = folder / 'curves.png'
        drawn = _tried('curves', lambda: curves.draw_curves(folder, path), runner, console)
        if drawn is not None:
            none = "none: the config's visualizer has no LocalVisBackend, or the run was too short to log"
            lines.append(('curves', display_path(path) if drawn else none))
    if dataset is not None:
        path = folder / 'predictions.png'
        remark = _tried(
            'predictions', lambda: pictures.draw_predictions(runner, dataset, path), runner, console
        )
        if remark:
            say(console, 'predictions', f'warning: {remark}', 'yellow', WIDTH)
        if remark is not None:
            lines.append(('predictions', display_path(path)))
    if (page := folder / PAGE).is_file():
        lines.append(('report', display_path(page)))
    if (unreadable := folder / UNREADABLE_FILE).exists():
        lines.append(('unreadable', display_path(unreadable)))
    lines.append(('log', display_path(runner.logger.log_file)))
    for label, text in lines:
        say(console, label, text, width=WIDTH)


def show_training_samples(runner: Runner, console: Console) -> None:
    """Draw what the training will see, and say where; a picture that cannot be drawn is a warning."""
    path = Path(runner.work_dir, 'training_samples.png')
    drawn = _tried('samples', lambda: pictures.draw_training_samples(runner, path), runner, console)
    if drawn:
        say(console, 'samples', display_path(path))


def _tried(label: str, draw: Callable[[], Any], runner: Runner, console: Console) -> Any:
    """What drawing returns; None, and a warning, where it fails."""
    try:
        return draw()
    except Exception as error:  # whatever it is, the run has done its work
        runner.logger.error(f'The {label} cannot be drawn', exc_info=True)
        reason = f'{type(error).__name__}: {error}'.splitlines()[0]
        where = display_path(runner.logger.log_file)
        say(console, label, f'warning: not drawn: {reason} (traceback in {where})', 'yellow', WIDTH)
        return None


def _checkpoints(runner: Runner) -> Iterator[tuple[str, str]]:
    """The newest one, from which a run can be resumed, and the weights of the best score."""
    newest = last_checkpoint(Path(runner.work_dir))  # a config may save none
    if newest and newest.is_file():
        yield 'checkpoint', f'{display_path(newest)} ({_size(newest)})'
    for hook in runner.hooks if runner.val_dataloader else ():
        keys = hook.key_indicators if isinstance(hook, CheckpointHook) and hook.save_best else []
        names = score_names(keys)
        for key in keys:
            entry = '' if len(keys) == 1 else f'_{key}'
            found = runner.message_hub.runtime_info
            best = Path(found.get(f'best_ckpt{entry}') or '')
            if not best.is_file():
                yield (
                    'best',
                    'none: ' + ('no validation' if key == 'auto' else f'no validation had the score {key}'),
                )
            else:
                score = f'{names[key]} {number(found[f"best_score{entry}"])}'
                yield 'best', f'{display_path(best)} ({_size(best)}, weights alone), {score}'


def _size(path: Path) -> str:
    return f'{path.stat().st_size / 1e6:.3g} MB'
