"""What is converted comes back as it was."""

import drawn_folders as drawn
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from vitdense.data.formats.find import read_folder
from vitdense.data.formats.keep import write_dataset
from vitdense.data.formats.records import Annotations, Instance, Record


def records(found):
    return {
        split: [(one.image.read_bytes(), one.size, one.instances) for one in records]
        for split, records in found.splits.items()
    }


@pytest.mark.parametrize('form', ['coco', 'yolo'])
@pytest.mark.parametrize('polygons', [False, True])
def test_objects_there_and_back(form, polygons, tmp_path, call_tool):
    folder = drawn.yolo(tmp_path / 'data', polygons=polygons)
    assert call_tool('convert_data', folder, tmp_path / 'out', '--to', form)[0] == 0
    first, again = read_folder(folder), read_folder(tmp_path / 'out')
    assert first.classes == again.classes
    assert not again.problems
    assert list(first.splits) == list(again.splits)
    for one, other in zip(first.records, again.records, strict=True):
        assert one.image.read_bytes() == other.image.read_bytes()
        for there, back in zip(one.instances, other.instances, strict=True):
            np.testing.assert_allclose(there.box, back.box, rtol=0, atol=1e-9)
            assert (there.outline is None) == (back.outline is None)
            if polygons:
                np.testing.assert_allclose(there.outline, back.outline, rtol=0, atol=1e-9)


def test_label_maps_of_outlines_and_of_label_maps(tmp_path, call_tool):
    folder = drawn.coco(tmp_path / 'data', number=4)
    assert call_tool('convert_data', folder, tmp_path / 'maps', '--to', 'label-maps')[0] == 0
    assert call_tool('convert_data', tmp_path / 'maps', tmp_path / 'again', '--to', 'label-maps')[0] == 0
    for place in ('maps', 'again'):
        assert read_folder(tmp_path / place).classes == ['background', *drawn.CLASSES]
        for name, _, objects in drawn.images(4):
            labels = np.asarray(Image.open(tmp_path / place / 'labels' / f'{name}.png'))
            assert (labels == drawn.label_map(objects)).all()


def test_a_folder_that_is_there_is_not_overwritten_and_kinds_must_fit(tmp_path, call_tool):
    boxes, maps = drawn.voc(tmp_path / 'boxes'), drawn.label_maps(tmp_path / 'label_maps')
    assert call_tool('convert_data', boxes, maps, '--to', 'coco')[0] == 2
    assert call_tool('convert_data', boxes, tmp_path / 'a', '--to', 'label-maps')[0] == 2
    assert call_tool('convert_data', maps, tmp_path / 'b', '--to', 'coco')[0] == 2
    assert not (tmp_path / 'a').exists()
    assert not (tmp_path / 'b').exists()


sides = st.tuples(st.floats(0, 100), st.floats(0, 70), st.floats(0.01, 28), st.floats(0.01, 26))
objects = st.lists(st.tuples(st.integers(0, 2), sides), max_size=5)


@settings(max_examples=25)
@given(st.lists(objects, min_size=1, max_size=4), st.sampled_from(['coco', 'yolo']))
def test_any_boxes_survive(tmp_path_factory, drawn_objects, form):
    folder = tmp_path_factory.mktemp('any')
    images = []
    for i, boxes in enumerate(drawn_objects):
        drawn.save(np.full((96, 128, 3), i, np.uint8), folder / f'{i}.png')
        instances = [Instance(label, box) for label, box in boxes]
        images.append(Record(folder / f'{i}.png', (96, 128), instances))
    found = Annotations('drawn', ['a', 'ü b', 'c: d'], dict(train=images))
    write_dataset(found, folder / 'out', form)
    again = read_folder(folder / 'out')
    assert again.classes == found.classes
    assert not again.problems
    for (_, _, there), (_, _, back) in zip(records(found)['train'], records(again)['train'], strict=True):
        assert [one.label for one in there] == [one.label for one in back]
        for one, other in zip(there, back, strict=True):
            np.testing.assert_allclose(one.box, other.box, rtol=0, atol=1e-9)
            assert form == 'yolo' or one.box == other.box
