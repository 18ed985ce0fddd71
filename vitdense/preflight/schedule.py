"""The learning rate over a run, computed ahead, against the run's length."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from mmengine.optim import ReduceOnPlateauParamScheduler
from mmengine.runner import EpochBasedTrainLoop, Runner

from ..engine.rates import groups_ahead
from ..engine.resume import final_iteration
from ..engine.time_limit import time_limit
from ..findings import Finding, Level
from ..mmengine_internals import optim_wrappers

ZERO_SHARE = 0.1  # of a run with a learning rate of 0, above which is a warning
WARM_UP_SHARE = 0.5  # of a run that a warm-up takes, above which is a warning
END_SHARE = 0.9  # of a run at which its schedule may end


class Rates(NamedTuple):
    """The learning rate of a run's iterations.

    values: (iteration from 1, rate) wherever it changes, the first iteration included.
    total: iterations of the run.
    initial: the optimizer's rate, before any schedule.
    """

    values: list[tuple[int, float]]
    total: int
    initial: float

    @property
    def highest(self) -> tuple[int, float]:
        """The iteration at which the greatest rate is reached, and the rate."""
        return max(self.values, key=lambda value: value[1])

    @property
    def zeros(self) -> int:
        """Iterations with a rate of 0."""
        ends = [start for start, _ in self.values[1:]] + [self.total + 1]
        return sum(end - start for (start, rate), end in zip(self.values, ends, strict=True) if not rate)


def schedule(runner: Runner) -> Iterator[Finding]:
    """The rate at first, at most and at last, and where it does not suit the run's length."""
    limit = time_limit(runner)
    if limit and runner.iter:  # its schedulers do not step
        yield Finding('rate', f'at {limit.share:.0%} of the schedule, which ends with the time')
        return
    for name, wrapper, schedulers in _optimizers(runner):
        idle = [one for one in schedulers if _is_idle(one, runner)]
        if any(isinstance(one, ReduceOnPlateauParamScheduler) for one in schedulers):
            yield Finding('rate', f'{name}by the validation score, as it comes')
            for one in idle:
                yield Finding('rate', name + _why_idle(one), Level.WARNING)
            continue
        rates = learning_rates(runner, wrapper.optimizer, schedulers)
        first, last = rates.values[0][1], rates.values[-1][1]
        when, highest = rates.highest
        if len(rates.values) == 1:
            yield Finding('rate', f'{name}{first:.3g} throughout')
        else:
            yield Finding(
                'rate', f'{name}{first:.3g} at first, {highest:.3g} at iteration {when}, {last:.3g} at last'
            )
        for i, one in enumerate(sorted(idle, key=lambda one: one.param_name != 'lr')):
            share = _share(rates) if i == 0 and one.param_name == 'lr' else ''
            yield Finding('rate', name + _why_idle(one) + share, Level.WARNING)
        stepped = [one for one in schedulers if one.param_name == 'lr' and one not in idle]
        for text in _oddities(rates, runner, stepped):
            yield Finding('rate', name + text, Level.WARNING)


def _is_idle(scheduler: Any, runner: Runner) -> bool:
    """Whether it never steps: a loop that counts iterations is one epoch for MMEngine's ParamSchedulerHook.

    ReduceOnPlateau steps after a validation.
    """
    by_epoch = isinstance(runner.train_loop, EpochBasedTrainLoop)
    return scheduler.by_epoch and not by_epoch and not isinstance(scheduler, ReduceOnPlateauParamScheduler)


def _why_idle(scheduler: Any) -> str:
    return (
        f'{type(scheduler).__name__} counts epochs, and the run iterations: it never steps; '
        'set by_epoch=False and its lengths in iterations'
    )


def _share(rates: Rates) -> str:
    """Of the optimizer's rate that a run has, where it never has all of it."""
    share = rates.highest[1] / rates.initial if rates.initial else 1
    most = 'at most ' if len(rates.values) > 1 else ''
    text = f"; the run trains with {most}{100 * share:.3g}% of the optimizer's {rates.initial:g}"
    return text if share < 1 else ''


def _oddities(rates: Rates, runner: Runner, schedulers: Sequence[Any]) -> Iterator[str]:
    total, last = rates.total, rates.values[-1][1]
    when, highest = rates.highest
    if rates.zeros > ZERO_SHARE * total:
        yield f'0 for {rates.zeros} of {total} iterations: nothing is learned there'
        return
    if not schedulers:
        return
    if len(rates.values) == 1:
        # a resumed run may be past its last step
        if not runner.iter and any(getattr(one, 'factor', None) != 1 for one in schedulers):
            yield f'the schedule changes nothing in {total} iterations{_share(rates)}'
        return
    if when > WARM_UP_SHARE * total:
        yield f'rises for {when} of {total} iterations: the warm-up is as long as the run'
    elif last == highest:
        yield f'stays at {highest:.3g} after the warm-up and never decays'
    # a rate by milestones has no end of its own
    ends = [_in_iterations(one, runner) for one in schedulers if one.end < UNENDING]
    if ends and len(ends) == len(schedulers) and max(ends) < END_SHARE * total and last != highest:
        yield f'the schedule ends at iteration {max(ends)}, the run at {total}: {last:.3g} in between'
    if ends and max(ends) > total / END_SHARE and when <= WARM_UP_SHARE * total:
        yield f'the schedule is for {max(ends)} iterations, the run has {total}: it ends at {last:.3g}'


UNENDING = 10**8  # MMEngine's schedulers end at 10^9 where a config does not say it


def _in_iterations(scheduler: Any, runner: Runner) -> int:
    if not scheduler.by_epoch:
        return scheduler.end
    # from the end, because the epochs before a resume may have had another length
    return final_iteration(runner) - (runner.max_epochs - scheduler.end) * len(runner.train_dataloader)


def learning_rates(runner: Runner, optimizer: Any, schedulers: Sequence[Any]) -> Rates:
    """The rates of the parameter group with the highest one, by copies of a run's schedulers."""
    groups = optimizer.param_groups
    index = max(range(len(groups)), key=lambda i: groups[i].get('initial_lr', groups[i]['lr']))
    values: list[tuple[int, float]] = []
    ahead = groups_ahead(runner, optimizer, schedulers, [index])
    for iteration, (group,) in enumerate(ahead, runner.iter + 1):
        if not values or group['lr'] != values[-1][1]:
            values.append((iteration, group['lr']))
    group, total = groups[index], final_iteration(runner)
    return Rates(values, total, group.get('initial_lr', group['lr']))


def _optimizers(runner: Runner) -> Iterator[tuple[str, Any, Sequence[Any]]]:
    """Each optimizer with its schedulers, and before it its name where there are several."""
    schedulers = runner.param_schedulers
    for name, wrapper in optim_wrappers(runner.optim_wrapper).items():
        own = schedulers.get(name, []) if isinstance(schedulers, dict) else schedulers or []
        yield f'{name}: ' if name else '', wrapper, own
