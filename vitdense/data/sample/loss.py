"""Class weights with MMSegmentation before 1.3, which looks up the weight of the ignored label, 255, too."""

from typing import Any

from mmseg.models.losses import CrossEntropyLoss
from torch import Tensor


class WeightedCrossEntropyLoss(CrossEntropyLoss):
    """MMSegmentation's, its mean as of 1.3: over the weights of the labels that are not ignored."""

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
        if avg_factor is None:
            avg_factor = cls_score.new_tensor(self.class_weight)[label[label != ignore_index]].sum()
        return super().forward(
            cls_score, label, weight, avg_factor, reduction_override, ignore_index, **kwargs
        )
