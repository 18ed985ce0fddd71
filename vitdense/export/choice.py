"""What is asked for, and the graph for it."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from ..backbones.pyramid import Pyramid
from ..errors import UserError
from .graph import Boxes, BoxesAndMasks, Features, Graph, Logits, RawMaps


class Wanted(NamedTuple):
    """What is asked for.

    Attributes:
        formats: names in `FORMATS`.
        with_boxes: boxes after NMS in the graph, of a detector that could do without.
        backbone: its backbone alone.
        fixed: (H, W) of all images; by default any.
        largest: pixels of the longer side up to which it is certified.
        opset: of ONNX.
    """

    formats: Sequence[str]
    with_boxes: bool = False
    backbone: bool = False
    fixed: tuple[int, int] | None = None
    largest: int | None = None
    opset: int = 18


def graph_of(model: Any, wanted: Wanted) -> type[Graph]:
    """What is exported of a model.

    Raises:
        UserError: there is no graph for it.
    """
    if wanted.backbone:
        if not isinstance(model.backbone, Pyramid):
            raise UserError(f'--backbone: a {type(model.backbone).__name__} is not one of vitdense')
        return Features
    kind = type(model).__name__
    head: Any = getattr(model, 'decode_head', None)
    if head is not None:
        mode = model.test_cfg.get('mode', 'whole')
        if mode != 'whole' or getattr(head, 'out_channels', 2) == 1 or not hasattr(head, 'align_corners'):
            raise UserError(
                f'a {kind} with test_cfg.mode={mode!r} is not exported: expected whole images, 2 classes'
            )
        return Logits
    if getattr(model, 'roi_head', None) is not None and getattr(model, 'rpn_head', None) is not None:
        for part, expected in _parts(model):
            if type(part).__name__ != expected:
                raise UserError(
                    f'a {kind} with a {type(part).__name__} is not exported: expected a {expected}'
                )
        for part in (model.rpn_head, model.roi_head):
            _check_boxes(kind, part, part.test_cfg)
        return BoxesAndMasks
    head = getattr(model, 'bbox_head', None)
    if head is None or (not hasattr(head, 'anchor_generator') and not hasattr(head, 'prior_generator')):
        raise UserError(f'a {kind} is not exported: expected a RetinaNet, a Mask R-CNN or an EncoderDecoder')
    _check_boxes(kind, head, head.test_cfg)
    return Boxes if wanted.with_boxes else RawMaps


def _parts(model: Any) -> Iterator[tuple[Any, str]]:
    """Parts of a detector with regions, and of which class each has to be."""
    roi_head = model.roi_head
    yield model.rpn_head, 'RPNHead'
    yield roi_head, 'StandardRoIHead'
    yield roi_head.bbox_roi_extractor, 'SingleRoIExtractor'
    if roi_head.with_mask:
        yield roi_head.mask_head, 'FCNMaskHead'
        yield roi_head.mask_roi_extractor, 'SingleRoIExtractor'


def _check_boxes(kind: str, head: Any, cfg: Any) -> None:
    coder = getattr(getattr(head, 'bbox_head', head), 'bbox_coder', None)
    if type(coder).__name__ != 'DeltaXYWHBBoxCoder':
        raise UserError(
            f'a {kind} with a {type(coder).__name__} is not exported: expected a DeltaXYWHBBoxCoder'
        )
    if (suppression := cfg.nms.get('type', 'nms')) != 'nms':
        raise UserError(f'test_cfg.nms.type={suppression!r} is not exported: expected nms')
    if other := cfg.nms.keys() - {'type', 'iou_threshold', 'split_thr'}:
        raise UserError(f'test_cfg.nms.{min(other)} is not exported')
    if not hasattr(head, 'bbox_head') and cfg.get('nms_pre', -1) <= 0:
        raise UserError('test_cfg.nms_pre is needed: so many boxes of each level are kept at most')
    if cfg.get('min_bbox_size', 0) > 0:
        raise UserError(f'test_cfg.min_bbox_size={cfg.min_bbox_size} is not exported: expected 0')
    if hasattr(head, 'use_sigmoid_cls') and not head.use_sigmoid_cls:
        raise UserError(f'a {kind} whose {type(head).__name__} has a softmax is not exported')
