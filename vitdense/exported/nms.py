"""Non-maximum suppression of many groups at once, as one operator of a graph."""

import torch
from torch import Tensor


@torch.library.custom_op('vitdense::nms', mutates_args=())
def nms(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    """The scores of the boxes that are kept; 0 for one that overlaps a better one of its group.

    Its size does not depend on what is found, so that a graph with it has free sizes. ONNX has the same as
    `NonMaxSuppression`.

    Args:
        boxes: (G, K, 4) in pixels: left, top, right, bottom.
        scores: (G, K), from 0 to 1.
        iou_threshold: overlap above which a box is dropped.
    """
    from torchvision.ops import nms as of_one_group

    kept = torch.zeros_like(scores)
    for group in torch.nonzero((scores > 0).any(1))[:, 0].tolist():
        scored = torch.nonzero(scores[group] > 0)[:, 0]
        best = scored[of_one_group(boxes[group, scored], scores[group, scored], iou_threshold)]
        kept[group, best] = scores[group, best]
    return kept


@nms.register_fake
def _(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    return torch.empty_like(scores)
