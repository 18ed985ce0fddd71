"""What small folders in COCO's and in ADE20K's layout are made of."""

import cv2
import numpy as np
from pycocotools import mask as coco_mask

HEIGHT, WIDTH = 30, 40
CLASSES = ('boat', 'fish', 'house')


def picture(seed, shape=(HEIGHT, WIDTH, 3)):
    """A photograph, as far as a decoder can tell: (H, W, 3) uint8."""
    coarse = np.random.RandomState(seed).randint(0, 255, (6, 8, 3), np.uint8)
    return cv2.resize(coarse, shape[1::-1], interpolation=cv2.INTER_CUBIC)


def coco_split(first, names):
    """A document with an image of each name, and for each an annotation with a polygon and one of a crowd."""
    crowd = np.zeros((HEIGHT, WIDTH), np.uint8, order='F')
    crowd[20:26, 5:15] = 1
    code = coco_mask.encode(crowd)
    annotations = []
    for i, _ in enumerate(names, first):
        annotations += [
            dict(
                id=10 * i,
                image_id=i,
                category_id=(2, 3, 7)[i % 3],
                bbox=[4.0, 6.0, 10.0, 8.0],
                area=80.0,
                iscrowd=0,
                segmentation=[[4.0, 6.0, 14.0, 6.0, 14.0, 14.0, 4.0, 14.0]],
            ),
            dict(
                id=10 * i + 1,
                image_id=i,
                category_id=3,
                bbox=[5, 20, 10, 6],
                area=60,
                iscrowd=1,
                segmentation=dict(size=code['size'], counts=code['counts'].decode()),
            ),
        ]
    return dict(
        images=[dict(id=i, file_name=n, height=HEIGHT, width=WIDTH) for i, n in enumerate(names, first)],
        annotations=annotations,
        categories=[dict(id=i, name=name) for i, name in zip((2, 3, 7), CLASSES, strict=True)],
    )


def labels():
    """A label map with each of the three classes, and some that is none of them: (H, W) uint8."""
    labels = np.repeat(np.arange(4, dtype=np.uint8), WIDTH // 4)
    return np.tile(labels, (HEIGHT, 1))
