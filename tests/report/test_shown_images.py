"""Which images of a validation are shown, and how what lies on them is drawn."""

import base64
import io

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pycocotools import mask as coco_mask

from vitdense.report.evaluate import EACH, spread_by_worth
from vitdense.report.images import MOST, SIDE, label_png, open_picture, shapes

IMAGES = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 4)), max_size=40)


@given(IMAGES)
def test_the_best_middle_and_worst_images_are_shown_each_once(images):
    worth, counts = (
        (np.array(column) for column in zip(*images, strict=True)) if images else (np.zeros(0),) * 2
    )
    found = spread_by_worth(worth, counts)
    shown = [index for _, index in found]
    to_find = np.flatnonzero(counts)
    assert len(set(shown)) == len(shown) == min(len(to_find), len(shown)) <= 3 * EACH == 12
    assert len(shown) == min(len(to_find), 12) or len(to_find) > 3  # all of a few
    assert set(shown) <= set(to_find.tolist())
    assert bool(shown) == bool(len(to_find))
    assert [group for group, _ in found] == sorted(group for group, _ in found)  # best, middle, worst
    of = {group: [worth[i] for one, i in found if one == group] for group in ('best', 'middle', 'worst')}
    if shown:
        assert of['best'][0] == max(worth[to_find])
        assert sorted(of['best'], reverse=True) == of['best']  # the best first
        assert sorted(of['worst']) == of['worst']  # the worst first
        assert min(of['best']) >= max(of['middle'] + of['worst'], default=0)
        assert min(of['best'] + of['middle']) >= max(of['worst'], default=0)
    if len(to_find) >= 3:
        assert of['middle']
        assert of['worst'][0] == min(worth[to_find])
    if len(to_find) >= 12:
        assert [len(group) for group in of.values()] == [EACH] * 3
        # as many better than the middle ones as worse
        ranks = sorted(worth[to_find])[::-1]
        start = (len(ranks) - EACH) // 2
        assert sorted(of['middle'])[::-1] == ranks[start : start + EACH]


def test_of_images_that_are_worth_the_same_those_with_more_to_find_come_first():
    found = spread_by_worth(np.ones(30), np.arange(30))
    assert [index for group, index in found if group == 'best'] == [29, 28, 27, 26]
    assert found[-1][0] == 'worst'
    assert 0 not in [index for _, index in found]  # it has nothing to find


def decoded(text):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(text))).convert('RGBA'))


def test_a_label_map_has_the_colours_of_its_classes_and_is_transparent_elsewhere():
    labels = np.array([[0, 1], [255, -1]])
    for palette in ([[9, 8, 7], [1, 2, 3]], [[9, 8, 7], [1, 2, 3]] + [[0, 0, 0]] * 298):  # more than a byte
        shown = decoded(label_png(labels, (4, 4), palette))
        assert shown.shape == (4, 4, 4)
        assert shown[0, 0].tolist() == shown[1, 1].tolist() == [9, 8, 7, 255]
        assert shown[0, 3].tolist() == [1, 2, 3, 255]
        if len(palette) < 255:  # and 255 is no class
            assert shown[3, :, 3].tolist() == [0] * 4


def test_an_image_is_no_larger_than_it_is_shown(tmp_path):
    for size, expected in (
        ((2 * SIDE, SIDE), (SIDE, SIDE // 2)),
        ((30, 20), (30, 20)),
        ((3000, 1), (SIDE, 1)),
    ):
        Image.new('RGB', size).save(tmp_path / 'a.png')
        image, scale = open_picture(tmp_path / 'a.png')
        assert image.size == expected
        assert scale == expected[0] / size[0]


def test_objects_are_in_pixels_of_the_picture_and_not_too_many():
    mask = np.zeros((40, 60), dtype=np.uint8, order='F')
    mask[10:30, 20:50] = 1
    mask[15:20, 25:30] = 0  # a hole
    run_lengths = coco_mask.encode(mask)
    boxes = np.array([[20.0, 10.0, 50.0, 30.0]] * (MOST + 1))
    found = shapes(boxes, [3] * (MOST + 1), 0.5, [0.25] * (MOST + 1), [run_lengths] * (MOST + 1))
    assert len(found) == MOST
    assert found[0].box == [10.0, 5.0, 25.0, 15.0]
    assert (found[0].label, found[0].score) == (3, 0.25)
    assert found[0].outline.count('M') == found[0].outline.count('Z') == 2  # with its hole
    (plain,) = shapes(boxes[:1], [3], 1.0)
    assert (plain.outline, plain.score) == ('', None)
