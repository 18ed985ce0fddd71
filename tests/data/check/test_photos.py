"""The same photo under two names, in two splits or in one."""

import shutil

import cv2
import numpy as np
from small_data import picture


def test_the_same_photo_in_two_splits_under_two_names(coco):
    shutil.copy(coco.data / 'train' / 'b.jpg', coco.data / 'val' / 'e.jpg')
    done = coco.check()
    assert (done.code, done.errors, list(done.warnings)) == (0, {}, ['images that are in two splits'])
    [line] = done.warnings['images that are in two splits']
    assert line.startswith('image e.jpg: the same bytes as train image b.jpg; ')
    assert done.row('warning  images that are in two splits') == ['–', '1']


def test_the_same_pixels_in_another_file(coco):
    data = (coco.data / 'train' / 'b.jpg').read_bytes()
    (coco.data / 'val' / 'e.jpg').write_bytes(data[:2] + b'\xff\xfe\0\x08a copy'[:10] + data[2:])
    cv2.imwrite(str(coco.data / 'val' / 'f.jpg'), picture(3), [cv2.IMWRITE_JPEG_QUALITY, 60])
    [line] = coco.check().warnings['images that are in two splits']
    assert line.startswith('image e.jpg: the same pixels as train image b.jpg; ')


def test_the_same_photo_twice_in_a_split(coco):
    for name in ('b.jpg', 'c.png'):
        shutil.copy(coco.data / 'train' / 'a.jpg', coco.data / 'train' / name)
    done = coco.check()
    assert (done.code, done.errors) == (0, {})
    lines = done.warnings['images that are twice in a split']
    assert [line.partition('; ')[0] for line in lines] == [
        f'image {name}: the same bytes as train image a.jpg' for name in ('b.jpg', 'c.png')
    ]


def test_a_photo_is_compared_under_every_name(ade):
    shutil.copy(ade.data / 'images/training/a.jpg', ade.data / 'images/validation/d.jpg')
    [line] = ade.check().warnings['images that are in two splits']
    assert line.startswith('image d.jpg: the same bytes as train image a.jpg; ')


def test_photos_that_are_alike_only_at_a_glance_are_two(coco):
    """A JPEG is first decoded at an eighth of its size, where these have the same pixels."""
    values = np.full((30, 40, 3), 128, np.uint8)
    for name, step in (('a.jpg', 0), ('b.jpg', 40)):
        values[8:16, 8:16] = 128
        values[8:16:2, 8:16] = 128 + step
        values[9:16:2, 8:16] = 128 - step
        cv2.imwrite(str(coco.data / 'train' / name), values, [cv2.IMWRITE_JPEG_QUALITY, 100])
    done = coco.check()
    assert (done.code, done.warnings) == (0, {})
