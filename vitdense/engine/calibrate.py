"""An initialization by the data, for heads without norms."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor, nn

from ..data.reproducible import SampleId, seeded
from ..model_state import unlearned
from .processes import unwrapped

IMAGES = 16
PARTS = ('neck', 'bbox_head', 'rpn_head', 'roi_head')
# Layers whose outputs are answers, which keep their small weights, and what enlarges maps.
OUTPUTS = ('retina_cls', 'retina_reg', 'rpn_cls', 'rpn_reg', 'fc_cls', 'fc_reg', 'conv_logits', 'upsample')
ENOUGH = 512  # values of a channel, to know its own mean and spread


class CalibrateHook(Hook):
    """Scales each layer of necks and heads without norms so that its outputs have mean 0 and variance 1.

    Over the first images, layer by layer, each after those before it (Krähenbühl et al., ICLR 2016, section
    3.1). Behind a few layers of a random network, its outputs are otherwise nearly the same everywhere, and
    classes are the small differences between them. A run that is resumed is not calibrated again.
    """

    priority = 'LOWEST'  # after the preflight check, which says what is wrong with the model

    def before_train(self, runner: Runner) -> None:
        """Calibrate, if no iteration has been trained."""
        if runner.iter > 0:
            return
        model = unwrapped(runner)
        with ExitStack() as hooks, unlearned(model), torch.no_grad(), seeded(runner.seed):
            for layer in layers(model):
                hooks.callback(layer.register_forward_hook(_Calibration()).remove)
            data = model.data_preprocessor(_batch(runner.train_dataloader), True)
            model(**data, mode='loss')


def layers(model: nn.Module) -> Iterator[nn.Conv2d | nn.Linear]:
    """The layers of necks and heads that no norm follows, but for those of the answers."""
    for part in PARTS:
        for name, block in getattr(model, part, nn.Identity()).named_modules():
            for child, layer in block.named_children():
                if not isinstance(layer, (nn.Conv2d, nn.Linear)) or getattr(block, 'with_norm', False):
                    continue
                if not {*name.split('.'), child} & {*OUTPUTS}:
                    yield layer


class _Calibration:
    """A forward hook that acts the first time: the levels of a pyramid share layers."""

    def __init__(self) -> None:
        self.done = False

    def __call__(self, layer: Any, inputs: tuple[Tensor], output: Tensor) -> Tensor | None:
        if self.done or not output.numel():
            return None
        self.done = True
        channels = output.movedim(1, -1).flatten(0, -2).float()  # (N, C)
        mean, spread = channels.mean(0), channels.std(0)
        if len(channels) < ENOUGH:
            spread = (channels - mean).std().expand_as(spread)
        spread = spread.clamp(min=1e-5)
        shape = (-1,) + (1,) * (layer.weight.dim() - 1)
        layer.weight.div_(spread.view(shape))
        if layer.bias is not None:
            layer.bias.copy_((layer.bias - mean) / spread)
        else:
            mean = torch.zeros_like(mean)
        shape = (1, -1) + (1,) * (output.dim() - 2)
        return (output - mean.view(shape)) / spread.view(shape)


def _batch(loader: Any) -> Any:
    """Images spread over the data, as they are in the first epoch."""
    count = min(IMAGES, len(loader.dataset))
    step = len(loader.dataset) // count
    return loader.collate_fn([loader.dataset[SampleId(i * step, 0, i)] for i in range(count)])
