"""What the schedulers of a run make of its parameter groups, computed ahead by copies of them."""

import copy
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from mmengine.runner import EpochBasedTrainLoop, Runner

from .resume import final_iteration, iteration_by_epochs


def groups_ahead(
    runner: Runner, optimizer: Any, schedulers: Sequence[Any], indices: Sequence[int]
) -> Iterator[list[dict[str, Any]]]:
    """Some parameter groups, without their parameters, at each iteration that is left of a run.

    The copies are stepped as MMEngine's ParamSchedulerHook steps the schedulers: after each iteration or
    epoch. The same dicts come each time.

    Args:
        runner: of the run, about to start.
        optimizer: one of its optimizers.
        schedulers: of this optimizer.
        indices: of the groups.
    """
    groups = [{k: v for k, v in optimizer.param_groups[i].items() if k != 'params'} for i in indices]
    alone = torch.optim.SGD([dict(params=[torch.zeros(1)], lr=group['lr']) for group in groups])
    for own, group in zip(alone.param_groups, groups, strict=True):
        own.update(group)
    steppers = []
    for scheduler in schedulers:
        # of all that a scheduler holds, the optimizer alone is large, and is replaced
        one = copy.copy(scheduler)
        vars(one).update(
            {key: copy.deepcopy(value) for key, value in vars(scheduler).items() if key != 'optimizer'},
            optimizer=alone,
            base_values=[scheduler.base_values[i] for i in indices],
        )
        steppers.append(one)
    epoch_length = len(runner.train_dataloader)
    by_epoch = isinstance(runner.train_loop, EpochBasedTrainLoop)
    if by_epoch and iteration_by_epochs(runner) // epoch_length > runner.epoch:
        for one in steppers:  # resumed at the last iteration of an epoch, which ends first
            if one.by_epoch:
                one.step()
    total = final_iteration(runner)
    yield alone.param_groups
    for iteration in range(runner.iter + 1, total):
        for one in steppers:
            if not one.by_epoch or (by_epoch and (total - iteration) % epoch_length == 0):
                one.step()
        yield alone.param_groups
