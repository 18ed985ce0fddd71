"""`--max-minutes`: the schedule fits itself to a time, and the run ends within it, with a validation.

Every value that the config schedules, as the learning rate, is a function of the share of the way that is
done, and the share is that of the time. So the decay reaches its end whatever the pace of the machine: a
quicker one takes more steps than the config says, a slower one fewer.
"""

import math
import sys
import time
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, cast

import psutil
import torch
from mmengine.dist import broadcast
from mmengine.hooks import Hook, ParamSchedulerHook
from mmengine.optim import ReduceOnPlateauParamScheduler
from mmengine.runner import EpochBasedTrainLoop, Runner

from ..console import make_console, say_finding
from ..data.reproducible import SampleId
from ..errors import UserError
from ..findings import Finding, Level
from ..mmengine_internals import end_epoch, is_resuming, optim_context, optim_wrappers, set_end
from ..model_state import in_mode
from .processes import unwrapped
from .rates import groups_ahead
from .resume import iteration_by_epochs

VALIDATING = 0.25  # of the time, at most, for all validations; the last one comes in any case
CLOSING = 8.0  # seconds kept for the last checkpoint and the pictures,
CLOSING_SHARE = 0.1  # but of a short time not more than this
MARGIN = 1.3  # an estimated validation lasts so many times longer than a tried batch suggests
PACE = 20  # iterations whose mean is the pace
FAR = sys.maxsize  # an iteration that never comes
TINY = 1e-9  # seconds, where a clock stands still


def seconds_of_process() -> float:
    """Since this process started: who says ten minutes means the whole command."""
    return time.time() - psutil.Process().create_time()


class Values(NamedTuple):
    """What a scheduled parameter group has over the config's schedule.

    starts: iterations from 0 at which something changes, the first included.
    entries: of the group, from there on.
    """

    starts: list[int]
    entries: list[dict[str, Any]]

    def at(self, iteration: int) -> dict[str, Any]:
        return self.entries[bisect_right(self.starts, iteration) - 1]


def nominal_values(runner: Runner, optimizer: Any, schedulers: Sequence[Any]) -> list[Values]:
    """Of each parameter group; of groups that begin alike it is computed once."""
    groups = optimizer.param_groups
    keys = {one.param_name for one in schedulers}
    keys |= {'betas'} if 'momentum' in keys and 'betas' in groups[0] else set()  # Adam's momentum
    alike: dict[tuple, list[int]] = {}
    for i, group in enumerate(groups):
        start = (*(group[key] for key in sorted(keys)), *(one.base_values[i] for one in schedulers))
        alike.setdefault(start, []).append(i)
    own = [Values([], []) for _ in alike]
    first = [indices[0] for indices in alike.values()]
    for iteration, ahead in enumerate(groups_ahead(runner, optimizer, schedulers, first)):
        for values, group in zip(own, ahead, strict=True):
            entries = {key: group[key] for key in keys}
            if not values.entries or entries != values.entries[-1]:
                values.starts.append(iteration)
                values.entries.append(entries)
    places = {i: values for values, indices in zip(own, alike.values(), strict=True) for i in indices}
    return [places[i] for i in range(len(groups))]


class TimeLimitHook(Hook):
    """Sets the scheduled values by the time, and ends the training.

    Checkpoints hold the seconds that the run has taken and the share of the way that is done; a resumed run
    has what is left of both. The main process has the clock, and the others do as it does.

    Args:
        minutes: from the start of the process, with those of the processes before a resume.
        clock: seconds since the start of the process.
    """

    priority = 'HIGHEST'  # the values are set before MMEngine's hooks log them

    def __init__(self, minutes: float, clock: Callable[[], float] | None = None):
        self.minutes, self.budget = minutes, 60 * minutes
        self.clock = clock or seconds_of_process
        self.closing = min(CLOSING, CLOSING_SHARE * self.budget)
        self.before = 0.0  # seconds of the processes before
        self.share = 0.0
        self.nominal = 1  # iterations of the config's schedule
        self.values: dict[str, list[Values]] = {}  # by optimizer, of each group
        self.paces: deque[float] = deque(maxlen=PACE)
        self.started = False
        self.last = 0.0  # when the iteration before, or the validation after it, had ended
        self.validation = 0.0  # seconds of one
        self.validating = 0.0  # seconds of all so far
        self.opened = 0.0  # when the validation began
        self.val_begin = 1
        self.over = False

    @property
    def elapsed(self) -> float:
        """Seconds of the run."""
        return self.before + self.clock()

    def before_run(self, runner: Runner) -> None:
        """While optimizer and schedulers are those of a new run, also where it will be resumed."""
        self.nominal, self.val_begin = runner.max_iters, runner.train_loop.val_begin
        schedulers = runner.param_schedulers or []
        for name, wrapper in optim_wrappers(runner.optim_wrapper).items():
            own = schedulers.get(name, []) if isinstance(schedulers, dict) else schedulers
            if any(isinstance(one, ReduceOnPlateauParamScheduler) for one in own):
                raise UserError(
                    '--max-minutes: the schedule follows the validation score (ReduceOnPlateau), and not the '
                    'iterations, which are fitted to the time; expected another param_scheduler'
                )
            if own:
                self.values[name] = nominal_values(runner, wrapper.optimizer, own)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        if is_resuming(runner) and (kept := checkpoint.get('meta', {}).get('time_limit')):
            self.before, self.share = kept['seconds'], kept['share']

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        checkpoint['meta']['time_limit'] = dict(seconds=self.elapsed, share=self.share)

    def before_train(self, runner: Runner) -> None:
        """A resumed run, or one on a quick machine, does not end where its config says."""
        loop = runner.train_loop
        if runner.iter and not self.before:  # the rest of a run that had no limit
            self.share = min(iteration_by_epochs(runner) / self.nominal, 1.0)
        set_end(loop, iterations=max(runner.max_iters, runner.iter + 2))
        if isinstance(loop, EpochBasedTrainLoop):
            set_end(loop, epochs=max(runner.max_epochs, runner.epoch + 2))
            cast(Any, loop).run_epoch = partial(_run_epoch, loop, self)
        for wrapper in optim_wrappers(runner.optim_wrapper).values():
            wrapper.initialize_count_status(runner.model, runner.iter, FAR)  # it counts accumulated batches

    def before_train_epoch(self, runner: Runner) -> None:
        """The preflight check is over: from here on the time is for training.

        Raises:
            UserError: there is none.
        """
        if self.started:
            return
        self.started = True
        if runner.val_loop:
            self.validation = _validation_seconds(runner, self.clock)
        left, now, needed = _agreed(self._left(), self.elapsed, self.closing + self.validation)
        self.last = self.clock()
        if left <= 0:
            raise UserError(
                f'--max-minutes {self.minutes:g}: no time is left for training: {now:.0f} s are over before '
                f'its first iteration, and {needed:.0f} s are needed at the end; expected more than '
                f'{(now + needed) / 60:.2g} minutes'
            )
        text = f'{now:.0f} s are over, {needed:.0f} s are kept for the end, {left:.0f} s are for training'
        say_finding(make_console(), Finding('time', text, Level.WARNING if left < needed else Level.FACT))

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        # a share that is a rounding error short of an iteration is that iteration
        iteration = min(int(self.share * self.nominal + 1e-6), self.nominal - 1)
        wrappers = optim_wrappers(runner.optim_wrapper)
        for name, values in self.values.items():
            for group, own in zip(wrappers[name].optimizer.param_groups, values, strict=True):
                group.update(own.at(iteration))

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        validates, expected = self._measure(runner.iter + 1)
        loop: Any = runner.train_loop
        loop.val_begin = 0 if self.over else self.val_begin if validates else FAR
        set_end(loop, iterations=expected)
        if isinstance(loop, EpochBasedTrainLoop):
            length = len(loop.dataloader)
            more = max(math.ceil((expected - runner.iter - 1) / length), 1)
            ends_here = self.over and batch_idx + 1 == length
            set_end(loop, epochs=loop.epoch + 1 + (0 if ends_here else more))

    def before_val_epoch(self, runner: Runner) -> None:
        self.opened = self.clock()

    def after_val_epoch(self, runner: Runner, metrics: Mapping[str, float] | None = None) -> None:
        """Where no iteration and no other validation fit any more, this was the last."""
        self.last = self.clock()
        self.validation = self.last - self.opened
        self.validating += self.validation
        if not self.over and _agreed(self._left() - self._pace())[0] <= 0:
            self.over = runner.train_loop.stop_training = True

    def _left(self) -> float:
        """Seconds for training, without what comes at the end."""
        return self.budget - self.closing - self.validation - self.elapsed

    def _pace(self) -> float:
        return sum(self.paces) / max(len(self.paces), 1)

    def _measure(self, done: int) -> tuple[bool, int]:
        """After so many iterations: the share, and whether the time is up.

        Returns:
            whether there is time for a validation, and the iteration at which the training seems to end.
        """
        now = self.clock()
        took, self.last = now - self.last, now
        self.paces.append(took)
        left, pace = self._left(), self._pace()
        # of the way that was left before this iteration, its part of the time that was left then
        share = self.share + (1 - self.share) * took / max(took + left, took, TINY)
        all_of_them = self.validating + 2 * self.validation  # with this and the last one
        validates = all_of_them <= VALIDATING * self.budget and left >= 2 * self.validation
        more = max(int(left / max(pace, TINY)), 1)
        agreed = _agreed(share, left <= pace, validates, more)
        self.share, self.over = min(agreed[0], 1.0), bool(agreed[1])
        return bool(agreed[2]), done if self.over else done + int(agreed[3])


def time_limit(runner: Any) -> TimeLimitHook | None:
    """Of a run that has one."""
    return next((hook for hook in runner.hooks if isinstance(hook, TimeLimitHook)), None)


def limit_time(runner: Runner, minutes: float) -> None:
    """Register the hook, which takes the place of MMEngine's ParamSchedulerHook."""
    runner.hooks[:] = [hook for hook in runner.hooks if not isinstance(hook, ParamSchedulerHook)]
    runner.register_hook(TimeLimitHook(minutes))


def _run_epoch(loop: Any, limit: TimeLimitHook) -> None:
    """As MMEngine's, which ends with the epoch's data; here also in its middle, where it is resumed."""
    loop.runner.call_hook('before_train_epoch')
    loop.runner.model.train()
    for index, batch in enumerate(loop.dataloader):
        loop.run_iter(index, batch)
        if limit.over and index + 1 < len(loop.dataloader):
            loop.stop_training, loop.val_begin = True, FAR
            if loop.runner.val_loop:
                loop.runner.val_loop.run()
            return
    end_epoch(loop)


def _validation_seconds(runner: Runner, clock: Callable[[], float]) -> float:
    """How long a validation will take, by one batch: the second, as the first is slow."""
    loader, model = runner.val_dataloader, unwrapped(runner)
    assert loader is not None
    size = min(loader.batch_sampler.batch_size, len(loader.dataset))
    with in_mode(model, training=False), torch.no_grad():
        for _ in range(2):
            start = clock()
            samples = [loader.dataset[SampleId(place, 0, place)] for place in range(size)]
            loaded = clock()
            data = loader.collate_fn(samples)
            with optim_context(runner.optim_wrapper, model):
                model.val_step(data)
            done = clock()
    return MARGIN * len(loader) * ((loaded - start) / max(loader.num_workers, 1) + done - loaded)


def _agreed(*numbers: float) -> list[float]:
    """Those of the main process, on all."""
    together = torch.tensor(numbers, dtype=torch.float64)
    broadcast(together)
    return together.tolist()
