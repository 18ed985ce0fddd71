"""What a run with several processes shows and logs as its loss is the mean over all of them."""

from typing import Any

from mmengine.dist import all_reduce_dict, get_world_size
from mmengine.hooks import Hook
from mmengine.runner import Runner


class MeanLossHook(Hook):
    """Averages the losses before MMEngine's hooks write down those of the first process."""

    priority = 'HIGHEST'

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        if get_world_size() > 1:
            means = {name: value.detach().clone() for name, value in outputs.items()}
            all_reduce_dict(means, 'mean')
            outputs.update(means)
