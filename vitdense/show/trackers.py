"""`--log`: MMEngine's backends for TensorBoard, Weights & Biases and MLflow, beside the run's own files."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.dist import master_only
from mmengine.runner import Runner

from ..config.tree import name_of
from ..console import display_path, make_console, say
from ..engine.work_dir import PAGE
from ..errors import UserError
from ..mmengine_internals import vis_backends

# By the name of the option's value, which is also that of the package.
BACKENDS = {
    'tensorboard': 'TensorboardVisBackend',
    'wandb': 'WandbVisBackend',
    'mlflow': 'MLflowVisBackend',
}


def require_trackers(names: Sequence[str]) -> None:
    """Before anything is built.

    Raises:
        UserError: a package is not installed, or would ask a person something.
    """
    missing = [name for name in names if find_spec(name) is None]
    if missing:
        raise UserError(f'--log {" ".join(missing)}: not installed; pip install {" ".join(missing)}')
    if 'wandb' in names and not _wandb_account():
        raise UserError('--log wandb: no account is logged in; `wandb login`, or WANDB_MODE=offline')


def add_trackers(cfg: Config, names: Sequence[str]) -> None:
    """Add backends to a config's visualizer, in place, beside what is there; none twice."""
    if not cfg.get('visualizer'):  # MMEngine's default
        local = dict(type='mmengine.visualization.LocalVisBackend')
        cfg.visualizer = dict(type='mmengine.visualization.Visualizer', vis_backends=[local])
    backends = list(cfg.visualizer.get('vis_backends') or ())
    there = {name_of(one) for one in backends}
    for name in dict.fromkeys(names):
        if BACKENDS[name] not in there:
            kind = f'mmengine.visualization.{BACKENDS[name]}'
            backends.append(dict(type=kind, **_arguments(name, Path(cfg.work_dir))))
    cfg.visualizer.vis_backends = backends


def _arguments(name: str, work_dir: Path) -> dict[str, Any]:
    if name == 'wandb':  # an argument would overrule the environment
        project = {} if 'WANDB_PROJECT' in os.environ else dict(project='vitdense')
        return dict(init_kwargs=dict(name=work_dir.name, **project))
    if name == 'mlflow':
        import mlflow

        # MMEngine's default is a folder of each run's own, in which no run is beside another
        experiment = os.environ.get('MLFLOW_EXPERIMENT_NAME', 'vitdense')
        return dict(tracking_uri=mlflow.get_tracking_uri(), exp_name=experiment, run_name=work_dir.name)
    return {}


def _wandb_account() -> bool:
    """Whether wandb can start without asking for a key, where nobody would see the question."""
    if os.environ.get('WANDB_MODE') in ('offline', 'disabled', 'dryrun') or os.environ.get('WANDB_API_KEY'):
        return True
    import wandb

    if wandb.setup().settings.mode in ('offline', 'disabled'):
        return True
    try:
        return bool(wandb.login(prompt=False))
    except TypeError:  # of a wandb that has no such argument
        return bool(wandb.api.api_key)
    except wandb.errors.Error:
        return False


@contextmanager
def trackers_open(runner: Runner) -> Iterator[None]:
    """Keep the trackers open after MMEngine's LoggerHook would have closed them; at the end, log results.

    Also those of a config's own visualizer, and also of a run that stops.
    """
    own = vars(runner.visualizer)
    own['close'] = lambda: None
    try:
        yield
    finally:
        del own['close']
        log_results(runner)


@master_only
def log_results(runner: Runner) -> None:
    """Name the best checkpoint, hand over the report, and close; a tracker that fails is a warning."""
    known = runner.message_hub.runtime_info
    best = {key: known[key] for key in known if key.startswith('best_ckpt') and Path(known[key]).is_file()}
    report = Path(runner.work_dir, PAGE)
    for backend in vis_backends(runner.visualizer):
        kind = type(backend).__name__
        try:
            if kind in LOGGERS:
                LOGGERS[kind](backend.experiment, best, report if report.is_file() else None)
            backend.close()
        except Exception as error:  # whatever it is, the run has done its work
            runner.logger.error(f'{kind}: the results are not logged', exc_info=True)
            reason = f'{type(error).__name__}: {error}'.splitlines()[0]
            where = display_path(runner.logger.log_file)
            text = f'warning: {kind}: results not logged: {reason} (traceback in {where})'
            say(make_console(), 'log', text, 'yellow')


def _to_tensorboard(writer: Any, best: Mapping[str, str], report: Path | None) -> None:
    for key, path in [*best.items(), *([('report', str(report))] if report else [])]:
        writer.add_text(key, path)


def _to_wandb(wandb: Any, best: Mapping[str, str], report: Path | None) -> None:
    for key, path in best.items():
        wandb.run.summary[key] = path
    if report:
        wandb.save(str(report), base_path=str(report.parent), policy='now')


def _to_mlflow(mlflow: Any, best: Mapping[str, str], report: Path | None) -> None:
    for key, path in best.items():
        mlflow.set_tag(key, path)
    if report:
        mlflow.log_artifact(str(report))


LOGGERS: dict[str, Callable[[Any, Mapping[str, str], Path | None], None]] = {
    'TensorboardVisBackend': _to_tensorboard,
    'WandbVisBackend': _to_wandb,
    'MLflowVisBackend': _to_mlflow,
}
