"""MMEngine's runner, quiet on the terminal and strict about checkpoints."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.hooks import CheckpointHook, Hook
from mmengine.logging import MMLogger
from mmengine.registry import HOOKS
from mmengine.runner import CheckpointLoader, Runner
from torch.utils.data import DataLoader

from ..checkpoint import local, read
from ..console import file_only, shown
from ..data.dataset import build_dataset
from ..data.reproducible import PlaceHook, place
from ..data.unreadable import Readable
from ..errors import UserError
from ..preflight.loaded import Loaded
from .finite import FiniteHook
from .keep import KeepHook
from .mean_loss import MeanLossHook
from .mean_norms import MeanNormsHook, average_statistics
from .records import RECORDS
from .save import Moments
from .unwrap import unwrapped


@contextmanager
def buildable(config: str | None) -> Iterator[None]:
    """While something is built from a config.

    Raises:
        UserError: what a class refused; the traceback is in the log.
    """
    try:
        yield
    except (AssertionError, AttributeError, KeyError, TypeError, ValueError) as error:
        log = MMLogger.get_current_instance()
        log.error('The config cannot be built', exc_info=True)
        where = f' (traceback in {shown(log.log_file)})' if log.log_file else ''
        raise UserError(f'{config}: cannot be built: {error}{where}') from error


@CheckpointLoader.register_scheme(prefixes=('', 'http://', 'https://'), force=True)
def load_from_anywhere(filename: str, map_location: Any = None) -> Any:
    """What MMEngine's own `Pretrained` loads by: safely, once, and with a sentence where it is refused."""
    return read(local(filename), allow=RECORDS)


class VitdenseRunner(Runner):
    """A runner whose terminal stays free for the run's own report, and that loads checkpoints whole.

    Checkpoints are unpickled with `weights_only=True` and the allow-list `RECORDS`, never again without, and
    the text of a config inside them, which MMEngine runs as Python when it resumes, is dropped.
    """

    begun_with = ''  # the text of the config that a resumed run was begun with

    @classmethod
    def from_cfg(cls, cfg: Config) -> 'VitdenseRunner':
        """As MMEngine's.

        Raises:
            UserError: what a class of the config refused; the traceback is in the log.
        """
        with buildable(cfg.filename):
            return super().from_cfg(cfg)

    def build_train_loop(self, loop: Any) -> Any:
        with buildable(self.cfg.filename):
            return super().build_train_loop(loop)

    def build_val_loop(self, loop: Any) -> Any:
        with buildable(self.cfg.filename):
            return super().build_val_loop(loop)

    def build_test_loop(self, loop: Any) -> Any:
        with buildable(self.cfg.filename):
            return super().build_test_loop(loop)

    def build_optim_wrapper(self, optim_wrapper: Any) -> Any:
        with buildable(self.cfg.filename):
            return super().build_optim_wrapper(optim_wrapper)

    def build_param_scheduler(self, scheduler: Any) -> Any:
        with buildable(self.cfg.filename):
            return super().build_param_scheduler(scheduler)

    def build_dataloader(
        self, dataloader: DataLoader | dict, seed: int | None = None, diff_rank_seed: bool = False
    ) -> DataLoader:
        """As MMEngine's; the samples' augmentation depends on the seed and on their places alone.

        An image that cannot be read is named; a training may pass over `skip_unreadable` of them.

        Raises:
            UserError: as `build_dataset`.
        """
        if isinstance(dataloader, DataLoader):
            return dataloader
        skips = self.cfg.get('skip_unreadable', 0) if dataloader is self._train_dataloader else 0
        dataset = dataloader['dataset']
        dataset = build_dataset(dataset) if isinstance(dataset, dict) else dataset
        dataloader = dict(dataloader, dataset=Readable(dataset, skips, self.work_dir))
        if not dataloader.get('num_workers'):  # what is for workers alone, torch refuses without
            dataloader.update(persistent_workers=False)
        return place(Runner.build_dataloader(dataloader, seed, diff_rank_seed), seed or 0)

    def register_hook(self, hook: Hook | dict, priority: int | str | None = None) -> None:
        if isinstance(hook, dict):
            kind = HOOKS.get(hook['type']) if isinstance(hook['type'], str) else hook['type']
            if kind is CheckpointHook:
                hook = dict(hook, type=KeepHook)
        super().register_hook(hook, priority)

    def register_default_hooks(self, hooks: dict | None = None) -> None:
        super().register_default_hooks(hooks)
        self.register_hook(PlaceHook())
        self.register_hook(FiniteHook(self.cfg.get('skip_not_finite', 0)))
        self.register_hook(MeanLossHook())
        self.register_hook(MeanNormsHook())

    def save_checkpoint(self, out_dir: str, filename: str, *args: Any, **kwargs: Any) -> None:
        """As MMEngine's, but a file has its name once it is whole and on the disk."""
        average_statistics(self.model)
        if '://' in str(out_dir):  # not a disk
            super().save_checkpoint(out_dir, filename, *args, **kwargs)
            return
        part = Path(out_dir, f'{filename}.part')
        try:
            super().save_checkpoint(out_dir, part.name, *args, **kwargs)
        except OSError:
            part.unlink(missing_ok=True)  # a half one would keep a full disk full
            raise
        if is_main_process():
            with part.open('rb') as file:
                os.fsync(file.fileno())
            part.replace(Path(out_dir, filename))

    def build_logger(self, *args: Any, **kwargs: Any) -> MMLogger:
        logger = super().build_logger(*args, **kwargs)
        file_only(logger)
        return logger

    def dump_config(self) -> None:
        """Not when the runner is built: a run that cannot begin leaves the files of an earlier one alone."""

    def load_or_resume(self) -> None:
        super().load_or_resume()
        file = Path(self.cfg.filename or '')
        if Path(self.work_dir, file.name).absolute() != file.absolute():  # never over the file that was read
            super().dump_config()

    @property
    def val_dataloader(self) -> DataLoader | None:
        """The data loader for validation; None where a config has no validation."""
        return super().val_dataloader if self.val_loop else None

    @cached_property
    def moments(self) -> Moments:
        """When the run can be saved."""
        return Moments()

    def call_hook(self, fn_name: str, **kwargs: Any) -> None:
        self.moments.before(fn_name)
        super().call_hook(fn_name, **kwargs)
        self.moments.after(fn_name, self.iter)

    @cached_property
    def loaded(self) -> Loaded:
        """What of the model came from a file."""
        return Loaded()

    def _init_model_weights(self) -> None:
        try:
            with self.loaded.watching(unwrapped(self)):
                super()._init_model_weights()
        except (FileNotFoundError, ValueError, UnpicklingError) as error:
            # weights that are not there, do not fit, or would execute something
            raise UserError(str(error)) from error

    def load_checkpoint(
        self,
        filename: str,
        map_location: str | torch.device = 'cpu',
        strict: bool = True,
        revise_keys: Iterable = (),
    ) -> dict:
        """Load every weight of a checkpoint into the model, or none.

        Raises:
            UserError: no such file, not a checkpoint, the checkpoint of another model, or weights alone
                where a run is to go on.
        """
        try:
            checkpoint = read(filename, allow=RECORDS)
        except (FileNotFoundError, ValueError) as error:
            raise UserError(str(error)) from error
        if not isinstance(checkpoint, dict) or not isinstance(checkpoint.get('state_dict', checkpoint), dict):
            raise UserError(f'{filename}: not a checkpoint: it holds a {type(checkpoint).__name__}')
        self.call_hook('after_load_checkpoint', checkpoint=checkpoint)
        model = unwrapped(self)
        state = checkpoint.get('state_dict', checkpoint)
        check_state(model, state, filename)
        if self._resume and not {'meta', 'message_hub', 'optimizer'} <= checkpoint.keys():
            raise UserError(f'{filename}: holds weights, but no state of a run for --resume to go on with')
        meta = checkpoint.get('meta', {})
        meta.pop('config', None)
        if self._resume and isinstance(text := meta.get('cfg'), str):
            self.begun_with = text
        with self.loaded.watching(model):
            self._put_in(model, state)
        self._has_loaded = True
        self.logger.info(f'Load checkpoint from {filename}')
        return checkpoint

    def _put_in(self, model: torch.nn.Module, state: dict) -> None:
        model.load_state_dict(state)


def check_state(model: torch.nn.Module, state: dict, filename: str) -> None:
    """Raise UserError, with what differs, unless a state dict has exactly the model's keys and shapes."""
    ours = model.state_dict()
    missing, left_over = ours.keys() - state.keys(), state.keys() - ours.keys()
    misshapen = [k for k in ours.keys() & state.keys() if ours[k].shape != getattr(state[k], 'shape', None)]
    problems = [
        f'{len(keys)} {label} (such as {min(keys)})'
        for label, keys in (
            ('of the model are missing', missing),
            ('are unknown', left_over),
            ('differ in shape', misshapen),
        )
        if keys
    ]
    if problems:
        raise UserError(
            f'{filename}: the checkpoint of another model: of its weights, {", ".join(problems)}. '
            f'Are the config, --arch and --sample those that it was trained with?'
        )
