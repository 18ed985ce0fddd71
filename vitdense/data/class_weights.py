"""Weights of the classes in a segmentor's loss."""

from collections.abc import Sequence
from typing import Any

import mmseg
from mmengine.config import Config
from mmengine.utils import digit_version
from mmseg.models.losses import CrossEntropyLoss
from torch import Tensor

from ..config.tree import dicts, name_of


def set_class_weights(cfg: Config, weights: Sequence[float]) -> bool:
    """Weigh the classes in every cross entropy over them, in place; False if there is none."""
    losses = [
        part
        for part in dicts(cfg.model)
        if name_of(part) == 'CrossEntropyLoss' and not part.get('use_sigmoid')
    ]
    for loss in losses:
        loss['class_weight'] = list(weights)
        if digit_version(mmseg.__version__) < digit_version('1.3'):
            loss['type'] = f'{__name__}.{WeightedCrossEntropyLoss.__name__}'
    return bool(losses)


class WeightedCrossEntropyLoss(CrossEntropyLoss):
    """MMSegmentation's, its mean as of 1.3: over the weights of the labels that are not ignored.

    Before, it looks up the weight of the ignored label, 255, too.
    """

    def forward(
        self,
        cls_score: Tensor,
        label: Tensor,
        weight: Tensor | None = None,
        avg_factor: Any = None,
        reduction_override: str | None = None,
        ignore_index: int = -100,
        **kwargs: Any,
    ) -> Tensor:
        """(B, classes, H, W), (B, H, W) → a number."""
        if avg_factor is None and self.class_weight is not None:
            avg_factor = cls_score.new_tensor(self.class_weight)[label[label != ignore_index]].sum()
        return super().forward(
            cls_score, label, weight, avg_factor, reduction_override, ignore_index, **kwargs
        )
