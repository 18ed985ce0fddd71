"""MMEngine's runner, quiet on the terminal and strict about what it loads, builds and saves."""

import contextlib
import errno
import os
import zipfile
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property, wraps
from pathlib import Path
from pickle import UnpicklingError
from types import MappingProxyType
from typing import Any

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.dist import is_main_process
from mmengine.hooks import CheckpointHook, Hook
from mmengine.logging import MMLogger
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from ..checkpoint import check_state, read_checkpoint
from ..config.text import FinalConfig
from ..console import file_only
from ..data.dataset import build_dataset, classes_of
from ..data.reproducible import seed_loader
from ..data.unreadable import SkipUnreadable
from ..errors import UserError
from ..exported.model import ExportedFile
from ..findings import Finding
from ..mmengine_internals import is_resuming, mark_as_loaded, train_loader_config
from ..trial import trial
from ..weights import WeightRecord
from .checkpoints import SafeCheckpointHook, SafePoints, description_of
from .finite import FiniteHook
from .precision import PRECISIONS, ScaledOptimWrapper, autocast_networks, check_precision
from .processes import MeanLossHook, MeanStatisticsHook, average_statistics_of_run, unwrapped
from .resume import GradientHook, PositionHook, refuse_without_options
from .stopwatch import Stopwatch


def _built_from(cfg: Config) -> contextlib.AbstractContextManager:
    return trial(f'{cfg.filename}: cannot be built')


def _or_user_error(build: Callable) -> Callable:
    """One of MMEngine's builders, that raises a user error for what a class refused."""

    @wraps(build)
    def built(self: Runner, *args: Any, **kwargs: Any) -> Any:
        with _built_from(self.cfg):
            return build(self, *args, **kwargs)

    return built


class VitdenseRunner(Runner):
    """A runner that leaves the terminal to the run's own report, and loads checkpoints whole or not at all.

    Checkpoints are unpickled with `weights_only=True` and the allow-list `SAFE_GLOBALS`, never again without,
    and the text of a config inside them, which MMEngine runs as Python when it resumes, is dropped.

    Entries of a config that it reads besides MMEngine's: `amp` ('bfloat16' or 'float16'), `skip_not_finite`,
    `skip_unreadable`.
    """

    trains = False  # whether this is a training, which may start from a part of some weights
    loaded_meta: Mapping[str, Any] = MappingProxyType({})  # what the loaded checkpoint says of its run
    scores: Mapping[str, Any] = MappingProxyType({})  # of the weights as they are
    findings: tuple[Finding, ...] = ()  # of the preflight check
    exported: ExportedFile | None = None  # which computes in the place of the model's network

    @classmethod
    def from_cfg(cls, cfg: Config) -> 'VitdenseRunner':
        """Build a runner as MMEngine does; the config is not changed afterwards.

        Raises:
            UserError: what a class of the config refused; the traceback is in the log. Or its `amp`.
        """
        if amp := cfg.get('amp'):
            cfg.amp = check_precision(amp)
        with _built_from(cfg):
            return super().from_cfg(FinalConfig.of(cfg))

    build_train_loop = _or_user_error(Runner.build_train_loop)
    build_val_loop = _or_user_error(Runner.build_val_loop)
    build_test_loop = _or_user_error(Runner.build_test_loop)
    build_param_scheduler = _or_user_error(Runner.build_param_scheduler)

    def build_optim_wrapper(self, optim_wrapper: Any) -> Any:
        """As MMEngine's; for `amp` without autocast of its own, and for float16 with a loss scale."""
        if (amp := self.cfg.get('amp')) and isinstance(optim_wrapper, dict):
            kind = ScaledOptimWrapper if amp == 'float16' else 'OptimWrapper'
            optim_wrapper = dict(optim_wrapper, type=kind)
            optim_wrapper.pop('dtype', None)
            optim_wrapper.pop('loss_scale', None)
        with _built_from(self.cfg):
            built = super().build_optim_wrapper(optim_wrapper)
        self.stopwatch.watch(built)
        return built

    def build_model(self, model: torch.nn.Module | dict) -> torch.nn.Module:
        built = super().build_model(model)
        if amp := self.cfg.get('amp'):
            autocast_networks(built, get_device(), PRECISIONS[amp])
        return built

    def build_evaluator(self, evaluator: Any) -> Any:
        """As MMEngine's, with a COCO metric that has a score in every case."""
        if self.cfg.get('default_scope') == 'mmdet':  # MMDetection is imported by its own configs alone
            from ..data.coco_metric import with_total_metrics

            evaluator = with_total_metrics(evaluator)
        with _built_from(self.cfg):
            return super().build_evaluator(evaluator)

    def build_dataloader(
        self, dataloader: DataLoader | dict, seed: int | None = None, diff_rank_seed: bool = False
    ) -> DataLoader:
        """As MMEngine's; a sample's augmentation depends on the seed and on its id alone.

        An image that cannot be read is named; a training may skip `skip_unreadable` of them.

        Raises:
            UserError: as `build_dataset`.
        """
        if isinstance(dataloader, DataLoader):
            return dataloader
        skips = self.cfg.get('skip_unreadable', 0) if dataloader is train_loader_config(self) else 0
        dataset = dataloader['dataset']
        dataset = build_dataset(dataset) if isinstance(dataset, dict) else dataset
        dataloader = dict(dataloader, dataset=SkipUnreadable(dataset, skips, self.work_dir))
        if not dataloader.get('num_workers'):  # what is for workers alone, torch refuses without
            dataloader.update(persistent_workers=False)
            dataloader.pop('prefetch_factor', None)
        with _built_from(self.cfg):
            return seed_loader(dataloader, seed, diff_rank_seed)

    def register_hook(self, hook: Hook | dict, priority: int | str | None = None) -> None:
        if isinstance(hook, dict):
            kind = HOOKS.get(hook['type']) if isinstance(hook['type'], str) else hook['type']
            if kind is CheckpointHook:
                hook = dict(hook, type=SafeCheckpointHook)
        super().register_hook(hook, priority)

    def register_default_hooks(self, hooks: dict | None = None) -> None:
        super().register_default_hooks(hooks)
        self.register_hook(PositionHook())
        self.register_hook(GradientHook())
        self.register_hook(FiniteHook(self.cfg.get('skip_not_finite', 0)))
        self.register_hook(MeanLossHook())
        self.register_hook(MeanStatisticsHook())

    def save_checkpoint(self, out_dir: str, filename: str, *args: Any, **kwargs: Any) -> None:
        """As MMEngine's, but a file says what it is of, and gets its name once it is on the disk."""
        average_statistics_of_run(self)
        kwargs['meta'] = dict(kwargs.get('meta') or {}, vitdense=description_of(self, self.scores))
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
            if not zipfile.is_zipfile(part):  # torch before 2.10 does not notice a full disk
                part.unlink()
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(part))
            part.replace(Path(out_dir, filename))

    def build_logger(self, *args: Any, **kwargs: Any) -> MMLogger:
        logger = super().build_logger(*args, **kwargs)
        file_only(logger)
        return logger

    def dump_config(self) -> None:
        """Not when the runner is built: a run that cannot start leaves the files of an earlier one alone."""

    def train(self) -> torch.nn.Module:
        self.trains = True
        return super().train()

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
    def safe_points(self) -> SafePoints:
        """When the run can be saved."""
        return SafePoints()

    @cached_property
    def stopwatch(self) -> Stopwatch:
        """Where the time goes."""
        return Stopwatch.here()

    def call_hook(self, fn_name: str, **kwargs: Any) -> None:
        if fn_name in ('before_train_iter', 'after_val_epoch'):
            self.scores = kwargs.get('metrics') or {}
        self.safe_points.before(fn_name)
        self.stopwatch.before(fn_name)
        super().call_hook(fn_name, **kwargs)
        self.stopwatch.after(fn_name)
        self.safe_points.after(fn_name, self.iter)

    @cached_property
    def weight_record(self) -> WeightRecord:
        """What of the model came from a file."""
        return WeightRecord(lambda: classes_of(self.train_dataloader.dataset), self.cfg.model)

    def _init_model_weights(self) -> None:
        try:
            with self.weight_record.recording(unwrapped(self)):
                super()._init_model_weights()
        except (FileNotFoundError, ValueError, UnpicklingError) as error:
            # weights that are not there, do not fit, or would execute code
            raise UserError(str(error)) from error

    def load_checkpoint(
        self,
        filename: str,
        map_location: str | torch.device = 'cpu',
        strict: bool = True,
        revise_keys: Iterable = (),
    ) -> dict:
        """Load every weight of a checkpoint into the model, or none; a training starts from what fits.

        Raises:
            UserError: no such file, not a checkpoint, of another model, nothing that fits, or weights alone
                where a run is to be resumed.
        """
        checkpoint = read_checkpoint(filename)
        model = unwrapped(self)
        starts = self.trains and not is_resuming(self)
        if starts:
            try:
                own = self._whole_state(model)
                state = own | self.weight_record.fitted(own, checkpoint, filename)
            except ValueError as error:
                raise UserError(str(error)) from error
            # an average of weights begins with these, too
            checkpoint = dict(meta=checkpoint.get('meta') or {}, state_dict=state)
        self.call_hook('after_load_checkpoint', checkpoint=checkpoint)
        state = checkpoint.get('state_dict', checkpoint)
        check_state(model, state, filename)
        if is_resuming(self) and not {'meta', 'message_hub', 'optimizer'} <= checkpoint.keys():
            raise UserError(f'{filename}: holds weights, but no optimizer state and progress for --resume')
        if is_resuming(self):
            refuse_without_options(self, checkpoint)
        meta = checkpoint.get('meta', {})
        meta.pop('config', None)
        self.loaded_meta = meta
        with contextlib.nullcontext() if starts else self.weight_record.recording(model):
            self._copy_state(model, state)
        mark_as_loaded(self)
        self.logger.info(f'Load checkpoint from {filename}')
        return checkpoint

    def _whole_state(self, model: torch.nn.Module) -> dict:
        return model.state_dict()

    def _copy_state(self, model: torch.nn.Module, state: dict) -> None:
        model.load_state_dict(state)
