"""What is drawn over an image, looked for in its pixels."""

import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from mmdet.structures.mask import BitmapMasks

from vitdense.show.marks import MOST, draw_boxes, tint_labels, tint_masks, write_note

RED, BLUE = (255, 0, 0), (0, 0, 255)
SIDE = 300  # pixels of the axes, as many as of the data


@pytest.fixture
def ax():
    figure = plt.figure(figsize=(SIDE / 100, SIDE / 100), dpi=100)
    ax = figure.add_axes((0, 0, 1, 1), frameon=False)
    ax.imshow(np.full((SIDE, SIDE, 3), 128, np.uint8), aspect='auto', extent=(0, SIDE, SIDE, 0))
    ax.set(xticks=[], yticks=[], xlim=(0, SIDE), ylim=(SIDE, 0))
    yield ax
    plt.close(figure)


def pixels(ax):
    ax.figure.canvas.draw()
    return np.asarray(ax.figure.canvas.buffer_rgba())[..., :3]


def where(picture, colour):
    """The bounding box of a colour, in (x1, y1, x2, y2)."""
    rows, columns = np.nonzero((picture == colour).all(-1))
    return [columns.min(), rows.min(), columns.max(), rows.max()]


def labels(ax):
    """Of each label the text and the place of its box, from the top."""
    ax.figure.canvas.draw()
    found = {}
    for text in ax.texts:
        x0, y0, x1, y1 = text.get_bbox_patch().get_window_extent().extents
        found[text.get_text()] = [x0, SIDE - y1, x1, SIDE - y0]
    return found


def test_a_box_is_drawn_where_it_is_in_the_colour_of_its_class(ax):
    draw_boxes(ax, torch.tensor([[60.0, 90.0, 180.0, 240.0]]), [''], [BLUE])
    picture = pixels(ax)
    assert where(picture, BLUE) == pytest.approx([60, 90, 180, 240], abs=2)
    assert (picture[100:230, 70:170] == 128).all()  # its inside is free


def test_a_label_stands_above_its_box_or_in_it_where_the_image_ends(ax):
    boxes = torch.tensor([[60.0, 90.0, 180.0, 120.0], [10.0, 0.0, 100.0, 60.0], [250.0, 200.0, 310.0, 260.0]])
    draw_boxes(ax, boxes, ['middle', 'top', 'at the right border'], [RED, BLUE, RED])
    found = labels(ax)
    assert found['middle'][0] == pytest.approx(60, abs=2)
    assert found['middle'][3] == pytest.approx(90, abs=2)
    assert found['top'][1] == pytest.approx(0, abs=2)
    assert found['at the right border'][2] == pytest.approx(SIDE, abs=2)


def test_no_label_lies_on_another_or_is_cut_and_the_surest_come_first(ax):
    corners = torch.rand(40, 2, generator=torch.Generator().manual_seed(0)) * 280
    boxes = torch.cat([corners, corners + 30], dim=1)
    texts = [f'number {number}' for number in range(40)]
    draw_boxes(ax, boxes, texts, [RED] * 40)
    found = labels(ax)
    assert texts[0] in found
    assert 10 < len(found) <= MOST < 40  # there is no room for all
    places = list(found.values())
    for number, (left, top, right, bottom) in enumerate(places):
        assert left >= -1
        assert top >= -1
        assert right <= SIDE + 1
        assert bottom <= SIDE + 1
        for other in places[number + 1 :]:
            across = min(right, other[2]) - max(left, other[0])
            down = min(bottom, other[3]) - max(top, other[1])
            assert min(across, down) < 1


def test_a_label_that_is_wider_than_the_image_is_shortened(ax):
    draw_boxes(ax, torch.tensor([[60.0, 90.0, 180.0, 120.0]]), ['wide ' * 30], [RED])
    ((text, (left, _, right, _)),) = labels(ax).items()
    assert text.startswith('wide wide')
    assert text.endswith('…')
    assert left >= -1
    assert right <= SIDE + 1


def test_a_name_with_dollars_is_no_formula(ax):
    draw_boxes(ax, torch.tensor([[60.0, 90.0, 180.0, 120.0]]), [r'$\frac$ $a$'], [RED])
    assert list(labels(ax)) == [r'$\frac$ $a$']


def test_a_note_stands_in_the_lower_left_corner(ax):
    write_note(ax, 'no object')
    assert labels(ax)['no object'][0] == pytest.approx(0, abs=2)
    assert labels(ax)['no object'][3] == pytest.approx(SIDE, abs=2)


GREY = np.full((64, 64, 3), 128, np.uint8)


def test_a_pixel_is_coloured_for_the_surest_mask_alone_and_mmdetections_masks_are_drawn_too():
    masks = torch.zeros(2, 64, 64, dtype=torch.bool)
    masks[0, 20:40], masks[1, 10:60] = True, True
    for stored in (masks, BitmapMasks(masks.numpy().astype('uint8'), 64, 64)):
        picture = tint_masks(GREY, stored, [RED, BLUE])
        assert picture[30, 32].tolist() == [192, 64, 64]  # half of it
        assert picture[50, 32].tolist() == [64, 64, 192]
        assert picture[5, 32].tolist() == [128, 128, 128]
    assert (GREY == 128).all()


def test_a_label_map_is_coloured_and_unlabelled_pixels_are_not():
    found = torch.full((1, 32, 32), 255)  # of half the size
    found[:, :, :16] = 1
    picture = tint_labels(GREY, found, [RED, BLUE])
    assert (picture[:, :32] == [51, 51, 204]).all()
    assert (picture[:, 32:] == 128).all()
