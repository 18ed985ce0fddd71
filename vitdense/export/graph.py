"""What a file computes: from images as a person has them to maps, boxes or masks."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.model import ImgDataPreprocessor
from torch import Tensor, nn

from ..errors import UserError
from ..exported.nms import nms


class ImageInput(nn.Module):
    """The config's preprocessing of pixels: (B, H, W, 3), uint8, RGB → (B, 3, H', W'), normalised, padded.

    Raises:
        UserError: a preprocessing that is not this.
    """

    def __init__(self, preprocessor: Any):
        super().__init__()
        if not isinstance(preprocessor, ImgDataPreprocessor) and not hasattr(preprocessor, 'test_cfg'):
            raise UserError(f'a {type(preprocessor).__name__} is not exported: expected one of images')
        padding = getattr(preprocessor, 'test_cfg', None) or {}  # a segmentor pads in tests if this says so
        if padding.get('size'):
            raise UserError(f'test_cfg.size={padding["size"]}: images padded to one size are not exported')
        self.is_bgr = not preprocessor._channel_conversion  # MMDetection's images come as BGR
        own: Any = getattr(preprocessor, 'pad_size_divisor', 1)
        self.divisor = int(padding.get('size_divisor') or own)
        self.value = float(getattr(preprocessor, 'pad_value', getattr(preprocessor, 'pad_val', 0)))
        self.is_normalised = preprocessor._enable_normalize
        if self.is_normalised:
            self.mean = nn.Buffer(preprocessor.mean.detach().clone().view(3, 1, 1))
            self.std = nn.Buffer(preprocessor.std.detach().clone().view(3, 1, 1))

    def forward(self, image: Tensor) -> Tensor:
        x = image.permute(0, 3, 1, 2).float()
        x = x.flip(1) if self.is_bgr else x
        if self.is_normalised:
            x = (x - self.mean) / self.std
        height, width = x.shape[2:]
        if self.divisor > 1:
            x = F.pad(x, (0, -width % self.divisor, 0, -height % self.divisor), value=self.value)
        return x


class Graph(nn.Module):
    """Base of what is exported: `forward(image)` gives the tensors of `names`.

    Attributes:
        kind: of what it gives, as certificates name it.
        names: of the outputs.
    """

    kind: str
    names: tuple[str, ...]

    def __init__(self, model: Any):
        super().__init__()
        self.model = model
        self.input = ImageInput(model.data_preprocessor)


class Features(Graph):
    """A backbone alone: `features_<stride>` (B, C, ⌈H/stride⌉, ⌈W/stride⌉)."""

    kind = 'features'

    def __init__(self, model: Any):
        super().__init__(model)
        self.names = tuple(f'features_{stride}' for stride in model.backbone.strides)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.model.backbone(self.input(image)))


class Logits(Graph):
    """A segmentor: `logits` (B, classes, H, W), of which the largest is the pixel's class."""

    kind = 'logits'

    names = ('logits',)

    def forward(self, image: Tensor) -> tuple[Tensor]:
        x = self.input(image)
        logits = self.model.decode_head(self.model.extract_feat(x))
        align = self.model.decode_head.align_corners
        logits = F.interpolate(logits, x.shape[2:], mode='bilinear', align_corners=align)
        return (logits[:, :, : image.shape[1], : image.shape[2]],)


class RawMaps(Graph):
    """A dense head: `class_logits_<stride>` (B, anchors · classes, h, w), `box_deltas_<stride>` likewise."""

    kind = 'raw'

    def __init__(self, model: Any):
        super().__init__(model)
        strides = [stride[0] for stride in model.bbox_head.prior_generator.strides]
        self.names = tuple(
            f'{kind}_{stride}' for kind in ('class_logits', 'box_deltas') for stride in strides
        )

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        scores, deltas = head_maps(self.model, self.input(image))
        return (*scores, *deltas)


class Boxes(Graph):
    """A dense head and its boxes: `boxes` (B, N, 4) in pixels of the image, `scores` (B, N), `labels` (B, N).

    N is the head's `max_per_img`; where less is found, the score is 0 and the label -1.
    """

    kind = 'boxes'

    names = ('boxes', 'scores', 'labels')

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        head, cfg = self.model.bbox_head, self.model.bbox_head.test_cfg
        maps = head_maps(self.model, self.input(image))
        boxes, scores, labels = dense_boxes(head, *maps, cfg, image.shape[1:3])
        groups = labels[:, None] == torch.arange(head.num_classes, device=labels.device)[:, None]
        found = grouped_nms(
            boxes[:, None].expand(-1, head.num_classes, -1, -1), scores[:, None] * groups, cfg
        )
        return best_boxes(boxes, found.sum(1), labels, cfg.max_per_img)


class BoxesAndMasks(Graph):
    """A detector with regions: as `Boxes`, and `masks` (B, N, h, w), from 0 to 1, each within its box."""

    kind = 'masks'

    names = ('boxes', 'scores', 'labels', 'masks')

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        maps = self.model.extract_feat(self.input(image))
        proposals, is_proposal = self._proposals(maps, image)
        boxes, scores, labels = self._found(maps, proposals, is_proposal, image)
        outputs = best_boxes(boxes, scores, labels, self.model.roi_head.test_cfg.max_per_img)
        if not self.model.roi_head.with_mask:
            return outputs
        return (*outputs, self._masks(maps, outputs[0], outputs[2]))

    def _proposals(self, maps: Sequence[Tensor], image: Tensor) -> tuple[Tensor, Tensor]:
        head, cfg = self.model.rpn_head, self.model.rpn_head.test_cfg
        levels = zip(*head(maps), _priors(head, maps), strict=True)
        boxes, scores = [], []
        for score_map, delta_map, priors in levels:
            box, score, _ = _level_boxes(head, score_map, delta_map, priors, cfg, image.shape[1:3])
            boxes.append(box)
            scores.append(nms(box, score, cfg.nms.iou_threshold))
        box, score = torch.cat(boxes, 1), torch.cat(scores, 1)
        box, score, _ = best_boxes(box, score, torch.zeros_like(score), cfg.max_per_img)
        return box, score > 0

    def _found(
        self, maps: Sequence[Tensor], proposals: Tensor, is_proposal: Tensor, image: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Boxes (B, classes · P, 4), their scores, 0 where they are dropped, and labels."""
        roi_head, cfg = self.model.roi_head, self.model.roi_head.test_cfg
        head = roi_head.bbox_head
        logits, deltas = head(regions(roi_head.bbox_roi_extractor, maps, proposals))
        batch, count = proposals.shape[:2]
        scores = logits.softmax(-1)[:, :-1].unflatten(0, (batch, count)).transpose(1, 2)  # (B, classes, P)
        scores = torch.where((scores > cfg.score_thr) & is_proposal[:, None], scores, 0)
        boxes = deltas.unflatten(1, (-1, 4))  # (B · P, classes or 1, 4)
        boxes = boxes.expand(-1, head.num_classes, -1).unflatten(0, (batch, count)).transpose(1, 2)
        priors = proposals[:, None].expand(-1, head.num_classes, -1, -1)
        boxes = decode(head.bbox_coder, priors, boxes, image.shape[1:3])
        kept = grouped_nms(boxes, scores, cfg)
        labels = torch.arange(head.num_classes, device=boxes.device)[:, None].expand(batch, -1, count)
        return boxes.flatten(1, 2), kept.flatten(1), labels.flatten(1)

    def _masks(self, maps: Sequence[Tensor], boxes: Tensor, labels: Tensor) -> Tensor:
        roi_head = self.model.roi_head
        extractor = roi_head.mask_roi_extractor or roi_head.bbox_roi_extractor
        masks = roi_head.mask_head(regions(extractor, maps, boxes)).sigmoid()
        if roi_head.mask_head.class_agnostic:
            masks = masks[:, 0]
        else:
            index = labels.flatten().clamp(min=0)[:, None, None, None].expand(-1, -1, *masks.shape[2:])
            masks = masks.gather(1, index)[:, 0]
        return masks.unflatten(0, boxes.shape[:2])


# ---- boxes ------------------------------------------------------------------------------------------------


def head_maps(model: Any, x: Tensor) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
    """The maps of scores and of deltas of a dense head, each a level.

    Raises:
        UserError: it has others.
    """
    maps = model.bbox_head(model.extract_feat(x))
    if len(maps) != 2:
        raise UserError(
            f'a {type(model.bbox_head).__name__} is not exported: it has {len(maps)} kinds of maps'
        )
    return maps[0], maps[1]


def dense_boxes(
    head: Any, score_maps: Sequence[Tensor], delta_maps: Sequence[Tensor], cfg: Any, size: Any
) -> tuple[Tensor, Tensor, Tensor]:
    """The best boxes of each level: boxes (B, K, 4), scores (B, K), labels (B, K)."""
    priors = _priors(head, score_maps)
    levels = [
        _level_boxes(head, *level, cfg, size) for level in zip(score_maps, delta_maps, priors, strict=True)
    ]
    boxes, scores, labels = (torch.cat(parts, 1) for parts in zip(*levels, strict=True))
    return boxes, scores, labels


def _priors(head: Any, maps: Sequence[Tensor]) -> list[Tensor]:
    sizes = [tuple(level.shape[2:]) for level in maps]
    return head.prior_generator.grid_priors(sizes, dtype=maps[0].dtype, device=maps[0].device)


def _level_boxes(
    head: Any, score_map: Tensor, delta_map: Tensor, priors: Tensor, cfg: Any, size: Any
) -> tuple[Tensor, Tensor, Tensor]:
    """The `nms_pre` best of a level; the score is 0 under the threshold, and of those that are missing."""
    classes = head.cls_out_channels
    scores = score_map.permute(0, 2, 3, 1).flatten(1).sigmoid()  # (B, anchors · classes)
    scores = torch.where(scores > cfg.get('score_thr', 0), scores, 0)
    scores, best = F.pad(scores, (0, cfg.nms_pre)).topk(cfg.nms_pre)  # a small level has less than that
    anchor = (best // classes).clamp(max=priors.shape[0] - 1)
    deltas = delta_map.permute(0, 2, 3, 1).flatten(1).unflatten(1, (-1, 4))
    deltas = deltas.gather(1, anchor[..., None].expand(-1, -1, 4))
    boxes = decode(head.bbox_coder, priors[anchor], deltas, size)
    has_area = ((boxes[..., 2:] - boxes[..., :2]) > 0).all(-1)
    return boxes, scores * has_area, best % classes


def decode(coder: Any, priors: Tensor, deltas: Tensor, size: Any) -> Tensor:
    """Boxes (…, 4) from priors and deltas (…, 4), within an image of `size` (H, W)."""
    boxes = coder.decode(priors.reshape(-1, 4), deltas.reshape(-1, 4)).reshape(deltas.shape)
    edges = boxes.new_ones(4) * torch.stack([torch.tensor(size[1 - i % 2]) for i in range(4)]).to(boxes)
    return boxes.clamp(min=0).minimum(edges)


def grouped_nms(boxes: Tensor, scores: Tensor, cfg: Any) -> Tensor:
    """`nms` of each image and class: boxes (B, classes, K, 4), scores (B, classes, K) → kept scores."""
    kept = nms(boxes.flatten(0, 1), scores.flatten(0, 1), cfg.nms.iou_threshold)
    return kept.unflatten(0, scores.shape[:2])


def best_boxes(boxes: Tensor, scores: Tensor, labels: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """The `count` surest of each image; of those without a score the box is 0 and the label -1."""
    scores, best = scores.topk(count)
    is_box = scores > 0
    boxes = boxes.gather(1, best[..., None].expand(-1, -1, 4)) * is_box[..., None]
    return boxes, scores, torch.where(is_box, labels.gather(1, best), -1)


def regions(extractor: Any, maps: Sequence[Tensor], boxes: Tensor) -> Tensor:
    """The features of boxes (B, P, 4), each from the level that suits its size: (B · P, C, h, w)."""
    from torchvision.ops import roi_align

    batch, count = boxes.shape[:2]
    image = torch.arange(batch, device=boxes.device, dtype=boxes.dtype).repeat_interleave(count)
    rois = torch.cat((image[:, None], boxes.flatten(0, 1)), 1)
    level_of = extractor.map_roi_levels(rois, extractor.num_inputs)
    has_area = ((rois[:, 3:] - rois[:, 1:3]) > 0).all(1)
    pixel = rois.new_tensor([0.0, 0.0, 1.0, 1.0])
    features: Any = 0
    for number, (layer, level) in enumerate(zip(extractor.roi_layers, maps, strict=False)):
        here = level_of == number
        # In the place of a box of another level, which takes long on a fine map, and of one without an area,
        # which is no number in OpenVINO.
        own = torch.cat((rois[:, :1], torch.where((here & has_area)[:, None], rois[:, 1:], pixel)), 1)
        of_level = roi_align(
            level, own, layer.output_size, layer.spatial_scale, layer.sampling_ratio, layer.aligned
        )
        features = features + torch.where(here[:, None, None, None], of_level, 0)
    return features
