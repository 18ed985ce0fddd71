"""Colours that can be told apart, measured in CIELAB."""

from itertools import combinations

import numpy as np
import pytest
from mmdet.datasets import CocoDataset
from mmseg.datasets import BaseSegDataset

from vitdense.data.sample import SEG_PALETTE, THING_PALETTE
from vitdense.show.colours import distinct_colours, ink_on, lab, palette_of

RED, BLUE = (255, 0, 0), (0, 0, 255)


def nearest(colours):
    """The distance of the two that are most alike; 2 can just be seen side by side."""
    return min(np.linalg.norm(one - other) for one, other in combinations(lab(colours), 2))


def dataset(kind, classes, **metainfo):
    made = kind(lazy_init=True, metainfo=dict(classes=classes, **metainfo))
    assert len(made.metainfo['classes']) == len(classes)
    return made


def test_lab_is_cielab():
    white, red, grey = lab([(255, 255, 255), RED, (119, 119, 119)])
    assert white == pytest.approx([100, 0, 0], abs=0.02)
    assert red == pytest.approx([53.24, 80.09, 67.20], abs=0.02)
    assert grey == pytest.approx([50.03, 0, 0], abs=0.02)


@pytest.mark.parametrize(('count', 'apart'), [(2, 80), (10, 36), (20, 36), (40, 27), (80, 20), (150, 15)])
def test_distinct_colours_are_apart(count, apart):
    colours = distinct_colours(count)
    assert len(colours) == count
    assert nearest(colours) > apart
    assert colours == distinct_colours(200)[:count]  # another class changes no colour
    assert all(type(part) is int and 0 <= part <= 255 for colour in colours for part in colour)


def test_the_samples_colours_are_apart():
    assert nearest(THING_PALETTE) > 35
    assert nearest(SEG_PALETTE) > 35


def test_text_on_a_colour_can_be_read():
    for colour in distinct_colours(150):
        ink = dict(black=(0, 0, 0), white=(255, 255, 255))[ink_on(colour)]
        assert nearest([colour, ink]) > 40


def test_a_datasets_own_colours_are_kept_and_others_are_distinct():
    own = [RED, BLUE]
    assert palette_of(dataset(CocoDataset, ('a', 'b'), palette=own)) == own
    assert palette_of(dataset(BaseSegDataset, ('a', 'b'), palette=own)) == own
    for palette in (None, 'random', own[:1]):
        assert palette_of(dataset(CocoDataset, ('a', 'b'), palette=palette)) == distinct_colours(2)


def test_cocos_colours_are_cocos_classes_and_not_of_a_dataset_in_its_format():
    whole = CocoDataset.METAINFO
    assert palette_of(dataset(CocoDataset, whole['classes'])) == whole['palette']
    assert palette_of(dataset(CocoDataset, ('cell', 'wall'))) == distinct_colours(2)


def test_colours_that_mmsegmentation_draws_at_random_are_replaced():
    random = dataset(BaseSegDataset, ('a', 'b', 'c'))
    assert len(random.metainfo['palette']) == 3
    assert palette_of(random) == distinct_colours(3)
