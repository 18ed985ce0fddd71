"""Every format gives the same records, and says what it could not read."""

import base64
import io
import json

import drawn_folders as drawn
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pycocotools.mask import area
from small import REPOSITORY

from vitdense.data.formats import problems
from vitdense.data.formats.find import read_folder, read_folders
from vitdense.data.formats.mend import mend
from vitdense.errors import UserError

OBJECTS = dict(coco=drawn.coco, yolo=drawn.yolo, voc=drawn.voc, labelme=drawn.labelme)


def boxes(found):
    return {
        record.image.name: [(found.classes[one.label], one.box) for one in record.instances]
        for record in found.records
    }


@pytest.mark.parametrize('name', OBJECTS)
def test_every_format_gives_the_objects_that_were_drawn(name, tmp_path):
    found = mend(read_folder(OBJECTS[name](tmp_path)))
    assert found.classes == drawn.CLASSES
    assert not found.problems
    read = boxes(found)
    for image, _, objects in drawn.images():
        expected = []
        for label, polygon in objects:
            left, top, right, bottom = drawn.box(polygon)
            expected.append((drawn.CLASSES[label], (left, top, right - left, bottom - top)))
        for (kind, box), (other, there) in zip(read[f'{image}.png'], expected, strict=True):
            assert kind == other
            np.testing.assert_allclose(box, there, atol=1e-9)


def test_polygons_are_the_same_from_three_formats(tmp_path):
    found = [
        mend(read_folder(folder))
        for folder in (
            drawn.coco(tmp_path / 'coco'),
            drawn.yolo(tmp_path / 'yolo', polygons=True),
            drawn.labelme(tmp_path / 'labelme') if (tmp_path / 'labelme').mkdir() is None else None,
        )
    ]
    assert all(one.has_outlines for one in found)
    for records in zip(*(one.records for one in found), strict=True):
        first, *others = [[one.outline for one in record.instances] for record in records]
        for other in others:
            np.testing.assert_allclose(first, other, atol=1e-9)


def test_a_voc_box_of_the_whole_image_covers_it(tmp_path):
    drawn.voc(tmp_path, number=1)
    file = next((tmp_path / 'Annotations').iterdir())
    corners = '<xmin>1</xmin><ymin>1</ymin><xmax>128</xmax><ymax>96</ymax>'
    file.write_text(f'<annotation><object><name>a</name><bndbox>{corners}</bndbox></object></annotation>')
    assert read_folder(tmp_path).records[0].instances[0].box == (0, 0, 128, 96)


def test_image_sets_are_the_splits(tmp_path):
    drawn.voc(tmp_path, number=6)
    sets = tmp_path / 'ImageSets' / 'Main'
    sets.mkdir(parents=True)
    (sets / 'train.txt').write_text('photo-a\nphoto-b\nphoto-c\n')
    (sets / 'val.txt').write_text('photo-d\n')
    (sets / 'trainval.txt').write_text('photo-a\nphoto-b\nphoto-c\nphoto-d\n')
    (sets / 'test.txt').write_text('photo-e\n')
    found = read_folder(tmp_path)
    assert {name: len(records) for name, records in found.splits.items()} == dict(train=3, val=1, test=1)
    assert [problem.kind for problem in found.problems] == [problems.IN_NO_LIST]


@pytest.mark.parametrize('layout', ['coco', 'roboflow', 'cvat', 'names twice'])
def test_coco_layouts(layout, tmp_path):
    folder = drawn.coco(tmp_path)
    whole = json.loads((folder / 'result.json').read_text())
    (folder / 'result.json').unlink()
    if layout == 'coco':
        file, images = folder / 'annotations' / 'instances_train2017.json', folder / 'train2017'
    elif layout == 'roboflow':
        file, images = folder / 'train' / '_annotations.coco.json', folder / 'train'
        for one in whole['categories']:
            one['supercategory'] = 'shapes'
        whole['categories'].insert(0, dict(id=0, name='shapes', supercategory='none'))
    elif layout == 'cvat':
        file, images = folder / 'annotations' / 'instances_default.json', folder / 'images'
    else:
        file, images = folder / 'annotations' / 'instances_val.json', folder / 'images' / 'val'
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(whole))
    if images != folder / 'images':
        moved = folder / 'moved'
        (folder / 'images').rename(moved)
        images.mkdir(parents=True, exist_ok=True)
        for image in moved.iterdir():
            image.rename(images / image.name)
    if layout == 'names twice':  # as COCO numbers its images in each split
        other = folder / 'images' / 'train'
        other.mkdir()
        for image in images.iterdir():
            (other / image.name).write_bytes(image.read_bytes())
    found = read_folder(folder)
    split = dict(coco='train', roboflow='train', cvat='all').get(layout, 'val')
    assert {name: len(records) for name, records in found.splits.items()} == {split: 12}
    assert found.classes == drawn.CLASSES
    assert not found.problems
    assert all(record.image.parent == images for record in found.records)


@pytest.mark.parametrize(
    ('path', 'train'),
    [
        ('', 'images/train'),
        ('.', 'images/train'),
        ('../elsewhere/here', 'images/train'),
        ('', '../images/train'),
        ('', 'train.txt'),
    ],
)
def test_yolo_path_rules(path, train, tmp_path):
    """Ultralytics joins `path`, wherever it was written; Roboflow writes ../ from a folder below."""
    folder = drawn.yolo(tmp_path / 'here')
    for kind in ('images', 'labels'):
        (folder / kind).rename(folder / 'train')
        (folder / kind).mkdir()
        (folder / 'train').rename(folder / kind / 'train')
    (folder / 'train.txt').write_text('\n'.join(f'./images/train/photo-{c}.png' for c in 'abcdefghijkl'))
    (folder / 'data.yaml').write_text(f'path: {path}\ntrain: {train}\nnames:\n  0: a\n  1: b\n  2: c\n')
    found = read_folder(folder)
    assert found.classes == ['a', 'b', 'c']
    assert len(found.splits['train']) == 12
    assert len(found.splits['train'][0].instances) == 3


def test_yolo_oriented_boxes_are_their_hulls(tmp_path):
    folder = drawn.yolo(tmp_path, number=1)
    (folder / 'labels' / 'photo-a.txt').write_text('1 0.5 0.25 0.75 0.5 0.5 0.75 0.25 0.5')
    found = read_folder(folder)
    assert found.records[0].instances[0].box == (32, 24, 64, 48)
    assert 'oriented' in found.format


@pytest.mark.parametrize(
    'line',
    [
        '9 0.5 0.5 0.1 0.1',
        '0.5 0.5 0.5 0.1 0.1',
        'circle 0.5 0.5 0.1 0.1',
        '0 0.5 0.5 0.1',
        '0 0.5 0.5 0.1 0.1 0.9',
        '0 nan 0 1 1 0 0',
    ],
)
def test_a_line_that_is_not_yolos_is_named_and_the_others_are_read(line, tmp_path):
    folder = drawn.yolo(tmp_path, number=1)
    file = folder / 'labels' / 'photo-a.txt'
    file.write_text(f'{file.read_text()}\n{line}\n')
    found = read_folder(folder)
    assert len(found.records[0].instances) == 3
    assert [problem.where for problem in found.problems] == ['labels/photo-a.txt: line 4']


def test_labelme_groups_rectangles_masks_and_what_has_no_area(tmp_path):
    drawn.labelme(tmp_path, number=1)
    ring = np.zeros((11, 11), np.uint8)
    ring[:] = 255
    ring[3:8, 3:8] = 0
    picture = io.BytesIO()
    Image.fromarray(ring).save(picture, 'PNG')
    mask = base64.b64encode(picture.getvalue()).decode()
    shapes = [
        dict(label='a', points=[[30, 40], [10, 20]], shape_type='rectangle'),
        dict(label='a', points=[[0, 0], [4, 0], [4, 4]], shape_type='polygon', group_id=1),
        dict(label='a', points=[[10, 10], [14, 10], [14, 14]], shape_type='polygon', group_id=1),
        dict(label='b', points=[[50, 60], [60, 70]], shape_type='mask', mask=mask),
        dict(label='b', points=[[1, 1]], shape_type='point'),
    ]  # fmt: skip
    file = tmp_path / 'photo-a.json'
    file.write_text(json.dumps(dict(json.loads(file.read_text()), shapes=shapes)))
    found = read_folder(tmp_path)
    rectangle, group, mask = found.records[0].instances
    assert rectangle.box == (10, 20, 20, 20)
    assert rectangle.outline is None
    assert group.box == (0, 0, 14, 14)
    assert len(group.outline) == 2
    assert mask.box == (50, 60, 11, 11)
    assert area(mask.outline) == 121 - 25
    assert len(found.notes) == 1
    assert 'point' in found.notes[0]


@pytest.mark.parametrize(
    ('mapping', 'classes', 'names', 'zero'),
    [
        (lambda v: v, ('background', *drawn.CLASSES), ['background', *drawn.CLASSES], 0),
        (
            lambda v: v,
            tuple(drawn.CLASSES),
            drawn.CLASSES,
            None,
        ),  # one value more than classes: 0 is unlabelled
        (lambda v: v, (), ['value 0', 'value 1', 'value 2', 'value 3'], 0),
        (lambda v: (v > 0).astype(np.uint8) * 255, (), ['value 0', 'value 255'], 0),
        (lambda v: (v > 0).astype(np.uint8), ('cell',), ['background', 'cell'], 0),
        (lambda v: (v > 0).astype(np.uint8) * 255, ('cell',), ['background', 'cell'], 0),
        (lambda v: np.where(v == 3, 255, v).astype(np.uint8), (), ['value 0', 'value 1', 'value 2'], 0),
    ],
)
def test_what_values_of_label_maps_mean(mapping, classes, names, zero, tmp_path):
    found = read_folder(drawn.label_maps(tmp_path, mapping=mapping, classes=classes))
    assert found.classes == names
    assert found.values[0] == zero
    assert found.is_label_maps
    if names == ['background', 'cell']:
        assert found.values[max(found.pixels)] == 1
    if 255 in found.values and len(names) == 3:
        assert found.values[255] is None


def test_colours_of_label_maps_are_those_of_the_file(tmp_path):
    palette = np.array([(0, 0, 0), *drawn.COLOURS], np.uint8)
    folder = drawn.label_maps(tmp_path, mapping=lambda values: palette[values], classes=())
    lines = [f'{name}:{r},{g},{b}::' for name, (r, g, b) in zip(drawn.CLASSES, drawn.COLOURS, strict=True)]
    (folder / 'labelmap.txt').write_text('\n'.join(['# label:color_rgb:parts:actions', *lines]))
    found = read_folder(folder)
    assert found.classes == drawn.CLASSES
    assert found.values[0, 0, 0] is None
    assert [found.values[colour] for colour in drawn.COLOURS] == [0, 1, 2]
    palette[1] += 1
    drawn.label_maps(tmp_path, mapping=lambda values: palette[values], classes=())
    with pytest.raises(UserError, match='does not name'):
        read_folder(folder)


def test_a_value_that_no_class_stands_for_is_an_error(tmp_path):
    drawn.label_maps(tmp_path, mapping=lambda values: values * 2)
    with pytest.raises(UserError, match='6'):
        read_folder(tmp_path)


def test_several_folders_are_one_dataset_if_their_classes_agree(tmp_path):
    one, other = drawn.coco(tmp_path / 'one'), drawn.voc(tmp_path / 'other', number=3)
    found = read_folders([one, other])
    assert len(found.records) == 15
    assert found.classes == drawn.CLASSES
    (other / 'Annotations' / 'photo-a.xml').write_text(
        '<annotation><object><name>Circle</name></object></annotation>'
    )
    with pytest.raises(UserError, match='perhaps circle'):
        read_folders([one, other])


def test_a_folder_of_no_known_format_says_what_is_expected(tmp_path):
    drawn.save(drawn.draw(0)[0], tmp_path / 'a.png')
    with pytest.raises(UserError, match=r'data\.yaml'):
        read_folder(tmp_path)
    with pytest.raises(UserError, match='no such folder'):
        read_folder(tmp_path / 'nowhere')


numbers = st.floats(-300, 300) | st.sampled_from([float('nan'), float('inf')])


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(numbers, numbers, numbers, numbers), max_size=6))
def test_what_mend_keeps_lies_inside_and_everything_else_is_named(tmp_path_factory, found_boxes):
    folder = drawn.coco(tmp_path_factory.mktemp('coco'), number=1)
    file = folder / 'result.json'
    whole = json.loads(file.read_text())
    whole['annotations'] = [
        dict(id=i, image_id='x0', category_id=7, bbox=list(box)) for i, box in enumerate(found_boxes)
    ]
    file.write_text(json.dumps(whole))
    found = mend(read_folder(folder))
    kept = found.records[0].instances
    for one in kept:
        x, y, width, height = one.box
        assert x >= 0
        assert y >= 0
        assert width > 0
        assert height > 0
        assert x + width <= 128 + 1e-9
        assert y + height <= 96 + 1e-9
    left_out = [problem for problem in found.problems if problem.kind is not problems.CLIPPED]
    assert len(kept) + len(left_out) == len(found_boxes)


def test_the_documented_table_of_awkward_inputs_is_the_tested_one():
    from awkward_inputs import table

    assert '\n'.join(table()) in (REPOSITORY / 'docs' / 'awkward_inputs.md').read_text(encoding='utf-8')


@pytest.mark.parametrize(
    'outline',
    [
        [[[5, 5], [30, 5], [30, 30], [5, 30]]],
        [[5, 5, 30, 'x', 30, 30, 5, 30]],
        [5, 5, 30, 5, 30, 30],
        [[5, 5, 30, 5, 30, 30, 5]],
        [None],
    ],
)
@pytest.mark.parametrize('orientation', [1, 6])
def test_outlines_that_are_no_lists_of_numbers_are_named(outline, orientation, tmp_path):
    folder = drawn.coco(tmp_path / 'data', number=2)
    tag = Image.Exif()
    tag[0x0112] = orientation
    first = folder / 'images' / 'photo-a.png'
    Image.open(first).save(first, 'JPEG', exif=tag)
    whole = json.loads((folder / 'result.json').read_text())
    whole['annotations'][0]['segmentation'] = outline
    (folder / 'result.json').write_text(json.dumps(whole))
    found = mend(read_folder(folder))
    assert problems.SHORT_POLYGON in {problem.kind for problem in found.problems}
    assert len(found.records[0].instances) == 3
