"""Detections and objects: drawn as parts of a row of boxes, or at random."""

import io
from contextlib import redirect_stdout

import numpy as np
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from vitdense.analysis.detections import evaluate_detections

WIDTH, HEIGHT = 80, 64


def as_coco(images, annotations, cat_ids):
    made = COCO()
    made.dataset = dict(
        images=[dict(id=image, file_name=f'{image}.png', width=WIDTH, height=HEIGHT) for image in images],
        annotations=[dict(each, id=number) for number, each in enumerate(annotations, 1)],
        categories=[dict(id=category, name=f'c{category}') for category in cat_ids],
    )
    with redirect_stdout(io.StringIO()):
        made.createIndex()
    return made


def box_object(image, category, left, top, right, bottom, iscrowd=0):
    outline = [[left, top, right, top, right, bottom, left, bottom]]
    box = [left, top, right - left, bottom - top]
    made = dict(image_id=image, category_id=category, bbox=box, area=box[2] * box[3], iscrowd=iscrowd)
    if iscrowd:
        (mask,) = coco_mask.frPyObjects(outline, HEIGHT, WIDTH)
        return made | dict(segmentation=mask)
    return made | dict(segmentation=outline)


def prediction(image, rows):
    """What CocoMetric keeps of an image. Rows: left, top, right, bottom, score, label; masks fill boxes."""
    boxes = np.array([row[:4] for row in rows], dtype=np.float32).reshape(-1, 4)
    masks = np.zeros((HEIGHT, WIDTH, len(rows)), dtype=np.uint8, order='F')
    for index, (left, top, right, bottom) in enumerate(boxes.round().astype(int)):
        masks[top:bottom, left:right, index] = 1
    return dict(
        img_id=image,
        bboxes=boxes,
        scores=np.array([row[4] for row in rows], dtype=np.float32),
        labels=np.array([row[5] for row in rows], dtype=int),
        masks=coco_mask.encode(masks) if len(rows) else [],
    )


def random_box(random):
    left, top = random.integers(0, (WIDTH - 20, HEIGHT - 20))
    width, height = random.integers(6, 20, size=2)
    return np.array([left, top, left + width, top + height])


def random_case(seed, images=25, cat_ids=(7, 3, 5, 9), crowds=0.1, ties=True):
    """Annotations with crowds, and detections near some of them; some images have none of either.

    The last of the classes has detections alone.
    """
    random = np.random.default_rng(seed)
    annotations, predictions = [], []
    for image in range(images):
        rows = []
        for _ in range(random.integers(0, 7)):
            box, label = random_box(random), random.integers(len(cat_ids) - 1)
            crowd = random.random() < crowds
            annotations.append(box_object(image, cat_ids[label], *box.tolist(), iscrowd=int(crowd)))
            for _ in range(random.integers(0, 4)):
                near = np.clip(box + random.integers(-3, 4, size=4), 0, [WIDTH, HEIGHT] * 2)
                found = label if random.random() < 0.8 else random.integers(len(cat_ids))
                rows.append([*near, random.random(), found])
        rows += [[*random_box(random), random.random(), random.integers(len(cat_ids))] for _ in range(2)]
        if ties:
            rows = [[*row[:4], round(row[4], 1), row[5]] for row in rows]
        predictions.append(prediction(image, rows if random.random() < 0.9 else []))
    return as_coco(range(images), annotations, cat_ids), predictions, list(cat_ids), list(range(images))


def evaluate(case, kind='bbox'):
    truth, predictions, cat_ids, img_ids = case
    names = [f'c{category}' for category in cat_ids]
    return evaluate_detections(truth, predictions, cat_ids, img_ids, names, kind)


def coco_precision(case, kind):
    """(10, 101, C) of COCOeval by itself, on what CocoMetric hands it; −1 for classes without objects."""
    truth, predictions, cat_ids, img_ids = case
    found = []
    for each in predictions:
        for row, (left, top, right, bottom) in enumerate(each['bboxes'].tolist()):
            one = dict(image_id=each['img_id'], category_id=cat_ids[each['labels'][row]])
            one |= dict(score=float(each['scores'][row]))
            shape = dict(bbox=[left, top, right - left, bottom - top])
            found.append(one | (shape if kind == 'bbox' else dict(segmentation=each['masks'][row])))
    with redirect_stdout(io.StringIO()):
        scored = COCOeval(truth, truth.loadRes(found), kind)
        scored.params.imgIds, scored.params.catIds = img_ids, cat_ids
        scored.evaluate()
        scored.accumulate()
    precision = scored.eval['precision'][:, :, :, 0, -1]  # of classes in the order of their ids
    return precision[:, :, np.argsort(np.argsort(cat_ids))]
