"""A pretrained backbone stays as it is while new heads begin to learn."""

from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import nn

from .processes import unwrapped


class FrozenFirstHook(Hook):
    """Trains everything but the backbone for the first iterations.

    The gradients of random heads would change features that are better than they are (Kumar et al., ICLR
    2022, section 3.3). Several processes need `find_unused_parameters=True`.

    Args:
        iterations: how many; a resumed run counts those of its start.
    """

    def __init__(self, iterations: int):
        self.iterations = iterations
        self.held: list[nn.Parameter] = []

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: object = None) -> None:
        if runner.iter < self.iterations:
            if not self.held:
                backbone = unwrapped(runner).backbone
                self.held = [one for one in backbone.parameters() if one.requires_grad]
                self._train(False)
        elif self.held:
            self._train(True)
            self.held = []

    def after_train(self, runner: Runner) -> None:
        """Also of a run that is shorter."""
        self._train(True)

    def _train(self, learns: bool) -> None:
        for parameter in self.held:
            parameter.requires_grad_(learns)
