"""Scores of predictions, from the definitions: pycocotools, and intersection over union."""

import contextlib
import io

import numpy as np
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from vitdense.data import sample


def coco_scores(predictor, images, kinds=('bbox',)):
    """AP, AP50 and AP75 of the first images of the sample's validation, by name, as a test prints them."""
    root = sample.root() / 'coco'
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(root / 'annotations/instances_val2017.json')
    ids = sorted(truth.imgs)[:images]
    files = [root / 'val2017' / truth.imgs[one]['file_name'] for one in ids]
    found = predictor.predict(files, score=0)
    entries = [
        entry
        for one, result in zip(ids, found, strict=True)
        for entry in result.to_coco(one, category_ids=sorted(truth.cats))
    ]
    scores = {}
    for kind in kinds:
        # pycocotools takes the areas of the boxes where there are any
        own = [{k: v for k, v in one.items() if kind == 'bbox' or k != 'bbox'} for one in entries]
        with contextlib.redirect_stdout(io.StringIO()):
            scorer = COCOeval(truth, truth.loadRes(own), kind)
            scorer.evaluate()
            scorer.accumulate()
            scorer.summarize()
        names = ('', ' 50', ' 75', ' s', ' m')
        scores |= {f'{kind} mAP{name}': f'{scorer.stats[i]:.3f}' for i, name in enumerate(names)}
    return scores


def mean_iou(predictor, images):
    """mIoU, in percent, over the first images of the sample's validation; 0 in a label map is no class."""
    root = sample.root() / 'ade/ADEChallengeData2016'
    files = sorted((root / 'images/validation').iterdir())[:images]
    classes = len(predictor.classes)
    both, either = np.zeros(classes), np.zeros(classes)
    for file, result in zip(files, predictor.predict(files), strict=True):
        truth = np.asarray(Image.open(root / 'annotations/validation' / file.name)).astype(int) - 1
        found = np.where(truth < 0, -1, result.label_map.astype(int))
        for label in range(classes):
            both[label] += ((truth == label) & (found == label)).sum()
            either[label] += ((truth == label) | (found == label)).sum()
    return 100 * np.nanmean(np.where(either > 0, both / np.maximum(either, 1), np.nan))
