"""What vitdense uses of MMEngine that is not its public interface, to be checked at an upgrade.

`VitdenseRunner` overrides one private method besides, `_init_model_weights`.
"""

from contextlib import AbstractContextManager, nullcontext, suppress
from importlib import metadata
from importlib.util import find_spec
from itertools import chain, repeat
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.config.utils import MODULE2PACKAGE
from mmengine.optim import OptimWrapperDict
from torch import nn


def config_dict(cfg: Config) -> Any:
    """The dict inside a config, with classes where a Python-style config has them."""
    return cfg._cfg_dict


def base_paths(file: Path) -> list[str]:
    """The files that a text config names as its `_base_`, also those of installed libraries."""
    return [Config._get_cfg_path(base, str(file))[0] for base in Config._get_base_files(str(file))]


def find_packages_by_module() -> None:
    """So that `_base_ = 'mmseg::…'` of a config is found, whichever package `mmseg` came with."""
    for module, package in MODULE2PACKAGE.items():
        if not _is_installed(package) and _is_installed(module):
            MODULE2PACKAGE[module] = module


def _is_installed(package: str) -> bool:
    """As MMEngine's `is_installed`, which until 0.10.7 needs a part of setuptools that there is no more."""
    with suppress(metadata.PackageNotFoundError):
        return bool(metadata.distribution(package))
    return find_spec(package) is not None


def checkpoint_source(runner: Any) -> str | None:
    """Where a runner loads a checkpoint from, before or after it has."""
    return runner._load_from


def is_resuming(runner: Any) -> bool:
    return runner._resume


def mark_as_loaded(runner: Any) -> None:
    """So that MMEngine does not load a second time."""
    runner._has_loaded = True


def train_loader_config(runner: Any) -> Any:
    """The training's `train_dataloader`: a config, until the loader is built."""
    return runner._train_dataloader


def chosen_indices(dataset: Any) -> Any:
    """The `indices` of a dataset that has only these samples of its file, or None."""
    return dataset._indices


def resume_data(loop: Any, epoch: int) -> None:
    """Let an iteration-based loop that is resumed begin with what its batch sampler gives first.

    MMEngine would load, or since 0.10.9 pass over, what the run has seen.

    Args:
        loop: its sampler already skips that by itself.
        epoch: of the loader, from which the sampler's next epochs are counted.
    """
    if hasattr(loop, 'fast_forward_on_resume'):
        loop.fast_forward_on_resume = True
        loop.dataloader_iterator._epoch = epoch
    else:
        begun = type(loop.dataloader_iterator)(loop.dataloader)  # the other has begun at the start
        begun._epoch = epoch
        loop.dataloader_iterator = chain(repeat(None, loop.iter), begun)


def optim_wrappers(optim_wrapper: Any) -> dict[str, Any]:
    """A run's one, under no name, or its several."""
    return getattr(optim_wrapper, 'optim_wrappers', None) or {'': optim_wrapper}


def param_schedulers(runner: Any) -> list[Any]:
    """Of all optimizers of a run."""
    schedulers = runner.param_schedulers or []
    several = schedulers.values() if isinstance(schedulers, dict) else [schedulers]
    return [one for own in several for one in own]


def accumulated_batches(optim_wrapper: Any) -> int:
    """How many batches make an optimizer step."""
    return max(getattr(one, '_accumulative_counts', 1) for one in optim_wrappers(optim_wrapper).values())


def optim_context(optim_wrapper: Any, model: nn.Module) -> AbstractContextManager:
    """In which a step computes; a model with several optimizers has to enter it itself."""
    several = isinstance(optim_wrapper, OptimWrapperDict)
    return nullcontext() if several else optim_wrapper.optim_context(model)


def records_initialization(module: nn.Module) -> bool:
    """Whether MMEngine is initializing this module, and notes what set which parameter."""
    return hasattr(module, '_params_init_info')


def vis_backends(visualizer: Any) -> list[Any]:
    """What a visualizer writes to."""
    return list(visualizer._vis_backends.values())


def set_end(loop: Any, iterations: int | None = None, epochs: int | None = None) -> None:
    """Let a training loop, which is running, end at another iteration or epoch than its config says."""
    if iterations is not None:
        loop._max_iters = iterations
    if epochs is not None:
        loop._max_epochs = epochs


def end_epoch(loop: Any) -> None:
    """As the end of MMEngine's `EpochBasedTrainLoop.run_epoch` does."""
    loop.runner.call_hook('after_train_epoch')
    loop._epoch += 1
