"""Detections of a validation matched to its objects by pycocotools' COCOeval."""

import io
from collections.abc import Sequence
from contextlib import redirect_stdout
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

DETECTIONS = 100  # of a class in an image; COCO counts no more


def objects_of(coco_api: COCO, img_ids: Sequence[int], cat_ids: Sequence[int]) -> list[dict]:
    """Copies of the annotations of these images and categories, with ids from 1.

    Copies, because COCOeval writes into what it evaluates; from 1, because it takes 0 for 'no match'.
    """
    categories = set(cat_ids)
    found = [
        annotation
        for image in img_ids
        for annotation in coco_api.imgToAnns.get(image, [])
        if annotation['category_id'] in categories
    ]
    optional = dict(iscrowd=0, area=0)
    return [optional | annotation | dict(id=number) for number, annotation in enumerate(found, 1)]


def detections_of(
    predictions: Sequence[dict], img_ids: Sequence[int], cat_ids: Sequence[int], kind: str
) -> list[dict]:
    """The detections of these images in COCO's form, in the order of `img_ids`, with ids from 1."""
    places = {image: place for place, image in enumerate(img_ids)}
    known = [prediction for prediction in predictions if prediction['img_id'] in places]
    detections: list[dict] = []
    for prediction in sorted(known, key=lambda one: places[one['img_id']]):
        boxes = np.array(prediction['bboxes'], dtype=float).reshape(-1, 4)
        boxes[:, 2:] -= boxes[:, :2]
        scores = (
            prediction.get('mask_scores', prediction['scores']) if kind == 'segm' else prediction['scores']
        )
        for row, (box, score, label) in enumerate(
            zip(boxes.tolist(), scores, prediction['labels'], strict=True)
        ):
            detection: dict[str, Any] = dict(
                id=len(detections) + 1,
                image_id=prediction['img_id'],
                category_id=cat_ids[int(label)],
                score=float(score),
                bbox=box,
                area=box[2] * box[3],
            )
            if kind == 'segm':
                mask = prediction['masks'][row]
                detection.update(segmentation=mask, area=float(coco_mask.area(mask)))
            detections.append(detection)
    return detections


def match(
    images: list[dict], categories: list[dict], objects: list[dict], detections: list[dict], kind: str
) -> list[dict]:
    """COCOeval's results for each class and image: one area range, IoU thresholds 0.50 to 0.95.

    With 'segm', the masks of `objects` and `detections` are run-length encoded afterwards.
    """
    with redirect_stdout(io.StringIO()):  # pycocotools prints its steps
        truth, found = (_as_coco(images, categories, each) for each in (objects, detections))
        evaluation = COCOeval(truth, found, kind)
        parameters = evaluation.params
        parameters.areaRng, parameters.areaRngLbl = parameters.areaRng[:1], parameters.areaRngLbl[:1]
        parameters.maxDets = [DETECTIONS]
        evaluation.evaluate()
    return [result for result in evaluation.evalImgs if result is not None]


def _as_coco(images: list[dict], categories: list[dict], annotations: list[dict]) -> COCO:
    made = COCO()
    made.dataset = dict(images=images, categories=categories, annotations=annotations)
    made.createIndex()
    return made


def ious_of(detections: Sequence[dict], objects: Sequence[dict], kind: str) -> np.ndarray:
    """(detections, objects) IoU of their boxes or masks, by pycocotools; no object is taken for a crowd."""
    if not detections or not objects:
        return np.zeros((len(detections), len(objects)))
    key = 'segmentation' if kind == 'segm' else 'bbox'
    first, second = ([each[key] for each in side] for side in (detections, objects))
    return np.asarray(coco_mask.iou(first, second, [0] * len(objects)))
