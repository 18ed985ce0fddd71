"""mmcv's compiled ops on torchvision's kernels: what `mmcv._ext` then holds.

On CPU and CUDA, the ops that detectors such as RetinaNet and Mask R-CNN call; every other op is there by name
and says when called what it needs.

Boxes are (x1, y1, x2, y2) in pixels; `offset` 1 counts the last pixel, so that a width is x2 - x1 + 1.
float16 and bfloat16 are computed in float32 and cast back. The signatures, with buffers to write into, are
those that `mmcv.ops` calls.
"""

import functools
from collections.abc import Callable
from typing import NoReturn

import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor


@functools.cache
def absent_op(name: str) -> Callable[..., NoReturn]:
    """The attribute `name` of `mmcv._ext` where it is none of ours: a function that refuses."""
    if name.startswith('_'):
        raise AttributeError(f"module 'mmcv._ext' has no attribute {name!r}")
    return lambda *args, **kwargs: _refuse(name)


def _refuse(op: str) -> NoReturn:
    raise NotImplementedError(
        f'mmcv op {op!r} needs mmcv compiled with ops. This mmcv came without them, and on torchvision '
        f'vitdense offers only: {", ".join(OPS)}. Choose a model that does without this op, or build mmcv '
        'from source where it finds torch (pip install --no-build-isolation).'
    )


# ---- boxes ------------------------------------------------------------------------------------------------


def _wide(tensor: Tensor) -> Tensor:
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def _overlap(boxes1: Tensor, boxes2: Tensor, offset: int, over_first: bool = False) -> Tensor:
    """Intersection over union of boxes (..., 4) that broadcast, or over the first area; 0 without an area."""
    low = torch.maximum(boxes1[..., :2], boxes2[..., :2])
    high = torch.minimum(boxes1[..., 2:], boxes2[..., 2:])
    intersection = (high - low + offset).clamp(min=0).prod(-1)
    area1, area2 = ((boxes[..., 2:] - boxes[..., :2] + offset).prod(-1) for boxes in (boxes1, boxes2))
    base = area1 if over_first else area1 + area2 - intersection
    return intersection / base.clamp(min=torch.finfo(base.dtype).tiny)


def bbox_overlaps(
    boxes1: Tensor, boxes2: Tensor, ious: Tensor, *, mode: int, aligned: bool, offset: int
) -> None:
    """Write into `ious`, (N, M) or if aligned (N,), the IoU (mode 0) or intersection over boxes1 (mode 1)."""
    if not aligned:
        boxes1 = boxes1[:, None]
    ious.copy_(_overlap(_wide(boxes1), _wide(boxes2), offset, over_first=mode == 1))


def nms(boxes: Tensor, scores: Tensor, *, iou_threshold: float, offset: int) -> Tensor:
    """Keep, best score first, each of the boxes (N, 4) whose IoU with none kept so far exceeds the threshold.

    Returns the kept indices (K,), in that order.
    """
    boxes = _wide(boxes)
    boxes = torch.cat([boxes[:, :2], boxes[:, 2:] + offset], dim=1)
    return torchvision.ops.nms(boxes, scores.to(boxes.dtype), iou_threshold)


def softnms(
    boxes: Tensor,
    scores: Tensor,
    dets: Tensor,
    *,
    iou_threshold: float,
    sigma: float,
    min_score: float,
    method: int,
    offset: int,
) -> Tensor:
    """Soft-NMS (Bodla et al., 2017): each best box lowers the scores of those that overlap it.

    Writes (x1, y1, x2, y2, score) into the first K rows of `dets` (N, 5) and returns their indices (K,), in
    the order chosen. From the IoU threshold on, method 0 sets a score to 0 and method 1 multiplies it by
    1 - IoU; method 2 multiplies every score by exp(-IoU² / sigma). The first box stays whatever its score;
    any other is dropped once its score is under `min_score`.
    """
    boxes, scores = _wide(boxes), _wide(scores).clone()
    left = torch.arange(len(boxes), device=boxes.device)
    kept = left[:0]
    while len(left):
        best = left[scores[left].argmax()]
        dets[len(kept), :4], dets[len(kept), 4] = boxes[best], scores[best]
        kept, left = torch.cat([kept, best[None]]), left[left != best]
        iou = _overlap(boxes[best], boxes[left], offset)
        if method == 0:
            decay = iou < iou_threshold
        elif method == 1:
            decay = torch.where(iou < iou_threshold, 1.0, 1 - iou)
        else:
            decay = torch.exp(-(iou**2) / sigma)
        scores[left] *= decay
        left = left[scores[left] >= min_score]
    return kept


# ---- RoIAlign ---------------------------------------------------------------------------------------------


def roi_align_forward(
    image: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    *,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Write into `output` (K, C, aligned_height, aligned_width) the mean of the samples in each bin of a RoI.

    image (B, C, H, W); rois (K, 5) as (index in the batch, box in pixels of the input image, before
    `spatial_scale`). `sampling_ratio` samples per bin side, 0 for as many as the bin has pixels. Only
    `pool_mode` 1 (mean): torchvision has no kernel for 0 (maximum), nor any model of mmdet a use for it.
    """
    if pool_mode != 1:
        _refuse("roi_align with pool_mode='max'")
    image = _wide(image)
    bins = (aligned_height, aligned_width)
    output.copy_(
        torch.ops.torchvision.roi_align(
            image, rois.to(image.dtype), spatial_scale, *bins, sampling_ratio, aligned
        )
    )


def roi_align_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    grad_input: Tensor,
    *,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Write into `grad_input` (B, C, H, W) the gradient of `roi_align_forward` from `grad_output`."""
    if pool_mode != 1:
        _refuse("roi_align with pool_mode='max'")
    grad_output = _wide(grad_output)
    bins = (aligned_height, aligned_width)
    grad_input.copy_(
        torch.ops.torchvision._roi_align_backward(
            grad_output,
            rois.to(grad_output.dtype),
            spatial_scale,
            *bins,
            *grad_input.shape,
            sampling_ratio,
            aligned,
        )
    )


# ---- focal loss -------------------------------------------------------------------------------------------


def _focal_terms(
    logits: Tensor, target: Tensor, weight: Tensor, alpha: float
) -> tuple[Tensor, Tensor, Tensor]:
    """+1 at the target class and -1 elsewhere; the logit of the right answer; the loss's constant factor.

    All (N, C). Target C, mmdet's background, is no class; its row has class weight 1.
    """
    positive = (target[:, None] == torch.arange(logits.size(1), device=logits.device)).to(logits.dtype)
    sign = 2 * positive - 1
    factor = alpha * positive + (1 - alpha) * (1 - positive)
    if weight.numel():
        factor *= F.pad(_wide(weight), (0, 1), value=1.0)[target][:, None]
    return sign, sign * logits, factor


def sigmoid_focal_loss_forward(
    logits: Tensor, target: Tensor, weight: Tensor, output: Tensor, *, gamma: float, alpha: float
) -> None:
    """Write into `output` (N, C) the focal loss (Lin et al., 2017), -alpha (1 - p)^gamma log p.

    logits (N, C); target (N,), C for background; weight (C,) per target class, or empty. mmdet calls this on
    CUDA only.
    """
    _, right, factor = _focal_terms(_wide(logits), target, weight, alpha)
    output.copy_(-factor * torch.sigmoid(-right) ** gamma * F.logsigmoid(right))


def sigmoid_focal_loss_backward(
    logits: Tensor, target: Tensor, weight: Tensor, grad_input: Tensor, *, gamma: float, alpha: float
) -> None:
    """Write into `grad_input` (N, C) the derivative of each loss by its logit."""
    sign, right, factor = _focal_terms(_wide(logits), target, weight, alpha)
    p, wrong = torch.sigmoid(right), torch.sigmoid(-right)
    grad_input.copy_(sign * factor * wrong**gamma * (gamma * p * F.logsigmoid(right) - wrong))


# ---- build information ------------------------------------------------------------------------------------


def get_compiler_version() -> str:
    """For mmcv's `collect_env`."""
    return 'n/a (torchvision kernels)'


def get_compiling_cuda_version() -> str:
    """For mmcv's `collect_env`."""
    return 'n/a (torchvision kernels)'


OPS = {
    op.__name__: op
    for op in (
        nms,
        softnms,
        bbox_overlaps,
        roi_align_forward,
        roi_align_backward,
        sigmoid_focal_loss_forward,
        sigmoid_focal_loss_backward,
        get_compiler_version,
        get_compiling_cuda_version,
    )
}
