"""What label maps hold, and which of them are used, is told before a run or a test, in whole maps."""

from types import SimpleNamespace

import numpy as np
import pytest
from mmengine.config import Config
from mmseg.datasets import BaseSegDataset
from mmseg.datasets.transforms import LoadAnnotations
from PIL import Image

from vitdense.findings import Level
from vitdense.preflight.label_maps import (
    left_out_maps,
    pixels_of_classes,
    test_label_maps,
    validation_label_maps,
)

test_label_maps.__test__ = False
CLASSES = ('ground', 'road', 'house')
LAST = np.arange(3, dtype=np.uint8).repeat(8).reshape(3, 8)  # a row of each class


@pytest.fixture
def drawn(tmp_path):
    """A dataset of drawn label maps."""

    def draw(split, *maps, suffix='.png', **more):
        for name in ('images', 'maps'):
            (tmp_path / split / name).mkdir(parents=True)
        for number, labels in enumerate(maps):
            Image.fromarray(labels).save(tmp_path / split / f'maps/{number}.png')
            Image.new('RGB', (8, 3)).save(tmp_path / split / f'images/{number}{suffix}')
        return BaseSegDataset(
            data_root=str(tmp_path / split),
            data_prefix=dict(img_path='images', seg_map_path='maps'),
            metainfo=dict(classes=CLASSES),
            img_suffix='.png',
            pipeline=[dict(type=LoadAnnotations)],
            **more,
        )

    return draw


def runner(train, val=None, **more):
    loaders = dict(train_dataloader=train, val_dataloader=val)
    return SimpleNamespace(
        **{key: one and SimpleNamespace(dataset=one) for key, one in loaders.items()}, **more
    )


def found(check, *words, **more):
    return [(finding.level, finding.text) for finding in check(runner(*words, **more))]


def test_a_label_of_the_validation_that_is_no_class_is_an_error(drawn):
    odd = np.where(LAST == 0, np.uint8(200), LAST)
    train, val = drawn('train', LAST), drawn('val', LAST, odd)
    assert found(validation_label_maps, train, train) == []
    ((level, text),) = found(validation_label_maps, train, val)
    assert (level, text.startswith('1 of 2 label maps of the validation hold 200, ')) == (Level.ERROR, True)
    val.ignore_index = 200
    assert found(validation_label_maps, train, val) == []


def test_maps_that_are_counted_in_another_way_than_the_trainings(drawn):
    """They may begin at 1, but then they have the last class; else each class is taken for another."""
    train = drawn('train', LAST)
    for name, maps, level in (('same', LAST, Level.ERROR), ('from 1', LAST + 1, Level.WARNING)):
        val = drawn(name, maps, reduce_zero_label=True)
        ((said, text),) = found(validation_label_maps, train, val)
        assert said is level
        assert 'False in the training, True in the validation' in text


def test_a_test_is_compared_with_the_training_of_its_config(drawn):
    test = drawn('test', LAST, reduce_zero_label=True)
    leaf = dict(type=BaseSegDataset, metainfo=dict(classes=CLASSES))
    for reduced, errors in ((False, 1), (True, 0)):
        cfg = Config(dict(train_dataloader=dict(dataset=dict(leaf, reduce_zero_label=reduced))))
        own = dict(cfg=cfg, test_dataloader=SimpleNamespace(dataset=test))
        assert [level for level, _ in found(test_label_maps, None, **own)] == [Level.ERROR] * errors


def test_maps_whose_image_has_another_suffix_are_a_warning(drawn, tmp_path):
    assert found(left_out_maps, drawn('all', LAST, LAST)) == []
    dataset = drawn('some', LAST, LAST, lazy_init=True)
    (tmp_path / 'some/images/1.png').rename(tmp_path / 'some/images/1.PNG')
    dataset.full_init()
    ((level, text),) = found(left_out_maps, dataset)
    assert level is Level.WARNING
    assert '1 label map of 2 without an image that ends in .png: 1.png' in text
    subset = drawn('subset', LAST, LAST, indices=1)
    assert found(left_out_maps, subset) == []


def test_pixels_are_counted_in_whole_maps_until_a_second_class_comes(drawn):
    ground = np.zeros((3, 8), np.uint8)
    counts = list(pixels_of_classes(drawn('train', ground, ground, LAST, LAST), 3))
    assert np.array_equal(counts, [[24, 0, 0], [24, 0, 0], [8, 8, 8]])
    broken = drawn('broken', ground, LAST)
    broken.get_data_info(0)
    with open(broken.get_data_info(0)['seg_map_path'], 'wb') as file:
        file.write(b'no picture')
    assert np.array_equal(list(pixels_of_classes(broken, 3)), [[8, 8, 8]])
