"""Traps of pycocotools and MMDetection: what they take without a word, and what they fail on late."""

import json
import os
import unicodedata

import cv2
import pytest
from mmdet.datasets import CocoDataset
from PIL import Image
from small_data import CLASSES, HEIGHT, WIDTH, picture


def objects(split):
    """The annotations that are no crowds."""
    return [annotation for annotation in split['annotations'] if not annotation['iscrowd']]


def built(coco, split='train', **more):
    """What MMDetection itself reads."""
    return CocoDataset(
        data_root=str(coco.data),
        ann_file=f'{split}.json',
        data_prefix=dict(img=split),
        metainfo=dict(classes=CLASSES),
        pipeline=[],
        **more,
    )


# ---- ids ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize('split', ['train', 'val'])
def test_annotation_id_0_is_a_warning_because_vitdense_scores_it_right(coco, split):
    getattr(coco, split)['annotations'][0]['id'] = 0
    done = coco.check()
    assert (done.code, done.errors, list(done.warnings)) == (0, {}, ['annotations with id 0'])
    [line] = done.warnings['annotations with id 0']
    assert line.startswith(f'{split}.json, annotation 0 of image ')


@pytest.mark.parametrize('number', ['x', '0'])
def test_an_annotation_id_that_pycocotools_cannot_count_with_is_an_error_where_it_is_scored(coco, number):
    coco.train['annotations'][0]['id'] = number
    assert coco.check().code == 0
    coco.val['annotations'][0]['id'] = number
    [line] = coco.check().only('annotation ids that are no numbers')
    assert line == f'val.json, annotations[0]: id {number!r}'


def test_ids_may_be_texts(coco):
    for split in (coco.train, coco.val):
        for name, key in (('images', 'image_id'), ('categories', 'category_id')):
            for entry in split[name]:
                entry['id'] = f'a{entry["id"]}'
            for annotation in split['annotations']:
                annotation[key] = f'a{annotation[key]}'
    done = coco.check(masks=True)
    assert (done.code, done.errors, done.warnings) == (0, {}, {})
    assert [len(info['instances']) for info in built(coco)] == [2, 2, 2]


@pytest.mark.parametrize(('name', 'key'), [('images', 'image_id'), ('categories', 'category_id')])
def test_ids_of_both_types_are_an_error_where_they_are_scored(coco, name, key):
    for split in (coco.train, coco.val):
        old = split[name][1]['id']
        split[name][1]['id'] = 'a'
        for annotation in split['annotations']:
            annotation[key] = 'a' if annotation[key] == old else annotation[key]
    assert coco.check().only('ids that are numbers and texts') == [f'val.json, {name}: numbers and texts']


# ---- what is scored, and what is left out ------------------------------------------------------------------


def test_annotations_without_iscrowd_are_a_warning_because_vitdense_scores_them(coco):
    for annotation in objects(coco.val)[:2]:
        del annotation['iscrowd']
    done = coco.check()
    assert (done.code, done.errors) == (0, {})
    assert len(done.warnings['annotations without iscrowd']) == 2


@pytest.mark.parametrize('area', [193, 0.02])
def test_an_area_that_does_not_fit_its_box_is_a_warning_where_it_is_scored(coco, area):
    for split in (coco.train, coco.val):
        split['annotations'][0].update(bbox=[4, 6, 14, 10], area=area)
    done = coco.check()
    assert (done.code, done.errors) == (0, {})
    [line] = done.warnings['areas that do not fit their box']
    assert line.startswith('val.json, annotation 310 of ')


def test_more_than_100_objects_of_a_class_are_a_warning_where_they_are_scored(coco):
    for split in (coco.train, coco.val):
        one = split['annotations'][0]
        for number in range(100):
            corner = dict(bbox=[number % 10 * 4, number // 10 * 3, 3, 2], area=6, segmentation=[])
            split['annotations'].append(one | corner | dict(id=1000 + number))
    done = coco.check()
    assert (done.code, done.errors, list(done.warnings)) == (
        0,
        {},
        ['images with more than 100 objects of a class'],
    )
    [line] = done.warnings['images with more than 100 objects of a class']
    assert "image 31 ('d.jpg'): 101 objects" in line


def test_images_that_the_training_leaves_out_are_named(coco):
    coco.train['annotations'] = [one for one in coco.train['annotations'] if one['image_id'] != 2]
    coco.train['images'][2].update(height=31)
    filters = dict(filter_empty_gt=True, min_size=HEIGHT)
    coco.train['images'][2].update(height=HEIGHT - 1)
    done = coco.check(filter_cfg=filters)
    lines = done.warnings['images that the training leaves out']
    assert [line.partition('; ')[0] for line in lines] == [
        "train.json, image 2 ('b.jpg'): no annotation of a class",
        f"train.json, image 3 ('c.png'): its smaller side is {HEIGHT - 1} pixels",
    ]
    assert len(built(coco, filter_cfg=filters)) == 1
    assert 'images that the training leaves out' not in coco.check(filter_cfg=None).warnings


def test_a_training_without_an_image_has_nothing_to_learn_from(coco):
    done = coco.check(filter_cfg=dict(min_size=1000))
    assert done.code == 1
    [line] = done.errors['nothing to learn from']
    assert line.startswith('train.json: no image passes filter_cfg')


# ---- what is there twice -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('box', 'twice'),
    [
        ([4, 6, 20, 18], True),
        ([5, 7, 20, 18], True),  # IoU 0.81, two sides a pixel away
        ([6, 8, 20, 18], False),  # IoU 0.67
        ([4, 6, 20, 12], False),
        ([4, 12, 20, 18], False),
    ],
)
def test_an_object_that_is_annotated_twice_is_a_warning(coco, box, twice):
    one = objects(coco.train)[0]
    one.update(bbox=[4, 6, 20, 18], area=360)
    other = one | dict(id=77, bbox=box, area=box[2] * box[3])
    coco.train['annotations'].append(other)
    done = coco.check()
    assert (done.code, done.errors) == (0, {})
    lines = done.warnings.get('objects that are annotated twice', [])
    assert len(lines) == twice
    assert all("image 1 ('a.jpg'): annotations 10 and 77 of class " in line for line in lines)
    other['category_id'] = 2 if one['category_id'] == 3 else 3
    assert 'objects that are annotated twice' not in coco.check().warnings


def test_each_copy_of_an_object_is_named_once(coco):
    one = objects(coco.train)[0]
    coco.train['annotations'] += [one | dict(id=70 + number) for number in range(3)]
    assert len(coco.check().warnings['objects that are annotated twice']) == 3


@pytest.mark.parametrize('same', [True, False])
def test_an_image_that_is_listed_twice(coco, same):
    """With the same objects it counts twice; with others, those are background in one of the two."""
    coco.train['images'][1]['file_name'] = './a.jpg'
    for first, second in zip(*[iter(coco.train['annotations'])] * 2, strict=True):
        first.update(category_id=2)
        second.update(category_id=3)
    if not same:
        objects(coco.train)[1].update(bbox=[20, 6, 10, 8])
    done = coco.check()
    assert done.code == (not same)
    found = (
        done.warnings['images that are twice in a split']
        if same
        else done.only('images listed twice with different objects')
    )
    assert len(found) == 1
    assert found[0].startswith("train.json, image 2 ('./a.jpg'): the file of image 1, ")


# ---- files -------------------------------------------------------------------------------------------------


def test_a_byte_order_mark_is_an_error_with_a_name(coco):
    coco.check()
    path = coco.data / 'train.json'
    path.write_bytes(b'\xef\xbb\xbf' + path.read_bytes())
    [line] = coco.recheck().only('annotation files with a byte-order mark')
    assert line.startswith('train.json: ')
    with pytest.raises(json.JSONDecodeError):
        built(coco)


def test_a_whole_path_is_read_as_it_is(coco):
    elsewhere = coco.data / 'elsewhere'
    elsewhere.mkdir()
    (coco.data / 'train' / 'b.jpg').rename(elsewhere / 'b.jpg')
    coco.train['images'][1]['file_name'] = str(elsewhere / 'b.jpg')
    coco.train['images'][0]['file_name'] = str(coco.data / 'train' / 'a.jpg')
    done = coco.check()
    assert (done.code, done.errors, done.warnings) == (0, {}, {})
    assert built(coco)[1]['img_path'] == str(elsewhere / 'b.jpg')
    coco.train['images'][1]['file_name'] = str(elsewhere / 'c.jpg')
    [line] = coco.check().only('missing images')
    assert line.startswith('elsewhere/c.jpg, image 2: no such file')


@pytest.mark.parametrize(
    ('there', 'named', 'said'),
    [
        (unicodedata.normalize('NFD', 'é.jpg'), 'é.jpg', 'one in another Unicode normal form'),
        ('b.JPG', 'b.jpg', "'b.JPG'"),
        ('b.png', 'b.jpg', "'b.png'"),
    ],
)
def test_a_missing_image_comes_with_the_one_that_was_perhaps_meant(coco, there, named, said):
    (coco.data / 'train' / 'b.jpg').rename(coco.data / 'train' / there)
    coco.train['images'][1]['file_name'] = named
    if os.path.exists(coco.data / 'train' / named):
        pytest.skip('this file system takes both names for one')
    [line] = coco.check().only('missing images')
    assert line.endswith(f': no such file, but {said}')


def test_a_class_in_another_unicode_normal_form_is_named_as_such(coco):
    coco.train['categories'][1]['name'] = unicodedata.normalize('NFD', 'poisson salé')
    coco.val['categories'][1]['name'] = 'poisson salé'
    [line] = coco.check(classes=('boat', 'poisson salé', 'house')).errors['classes without category']
    assert 'another Unicode normal form' in line


def test_classes_that_are_one_text_are_refused(coco):
    """MMDetection would take every category whose name is a part of the text."""
    done = coco.check(classes=repr('boat'))
    assert done.code == 2
    assert "metainfo.classes 'boat'; expected ('boat',)" in done.err


# ---- pixels ------------------------------------------------------------------------------------------------


def test_what_opencv_makes_of_odd_images_is_a_warning(coco):
    """They keep their size, so that nothing else betrays them."""
    tag = Image.Exif()
    tag[0x112] = 3
    turned = Image.fromarray(picture(1))
    turned.save(coco.data / 'train' / 'a.jpg', exif=tag)
    cv2.imwrite(str(coco.data / 'train' / 'c.png'), picture(3).astype('uint16') * 16)  # of 12 bits
    clear = cv2.cvtColor(picture(33), cv2.COLOR_BGR2BGRA)
    clear[: HEIGHT // 2, :, 3] = 0
    coco.val['images'][2]['file_name'] = 'f.png'
    cv2.imwrite(str(coco.data / 'val' / 'f.png'), clear)
    done = coco.check()
    assert (done.code, done.errors) == (0, {})
    assert {kind: [line.partition('; ')[0] for line in lines] for kind, lines in done.warnings.items()} == {
        'images that an EXIF tag turns': ['train/a.jpg, image 1: EXIF orientation 3'],
        'images of 16 bits that become black': [
            f'train/c.png, image 3: values up to {int(picture(3).max()) * 16}, which become 0 to '
            f'{cv2.imread(str(coco.data / "train" / "c.png")).max()}'
        ],
        'images with transparency': ['val/f.png, image 33: 50.0% of its pixels are not opaque'],
    }


def test_a_turned_image_whose_annotations_follow_the_turn_is_no_warning(coco):
    tag = Image.Exif()
    tag[0x112] = 6
    Image.fromarray(picture(1, (WIDTH, HEIGHT, 3))).save(coco.data / 'train' / 'a.jpg', exif=tag)
    done = coco.check()
    assert (done.code, done.errors, done.warnings) == (0, {}, {})


# ---- is there something to learn? --------------------------------------------------------------------------


def test_boxes_in_fractions_are_one_error_with_advice(coco):
    for annotation in objects(coco.train):
        annotation.update(bbox=[0.1, 0.2, 0.25, 0.3], area=0.075)
    coco.train['annotations'] = objects(coco.train)
    done = coco.check()
    assert done.only('nothing to learn from') == ['train.json: 0 of 3 annotations are left']
    assert 'YOLO' in done.errors['nothing to learn from'][0]


def test_a_whole_image_in_fractions_does_not_hide_the_others(coco):
    coco.train['annotations'] = objects(coco.train)
    for annotation in coco.train['annotations']:
        annotation.update(bbox=[0.1, 0.2, 0.25, 0.3], area=0.075)
    coco.train['annotations'][0].update(bbox=[0, 0, 1, 1], area=1)
    assert coco.check().only('nothing to learn from') == ['train.json: 1 of 3 annotations are left']


@pytest.mark.parametrize('split', ['train', 'val'])
def test_annotations_that_are_all_left_out_are_an_error(coco, split):
    for annotation in getattr(coco, split)['annotations']:
        annotation['area'] = 0
    done = coco.check()
    [line] = done.only('nothing to learn from')
    assert line.startswith(f'{split}.json: no object of any class; annotations: ')
    assert len(done.warnings['annotations that MMDetection leaves out']) == 4  # three and a count
    assert not any(info['instances'] for info in built(coco, split))


def test_most_classes_without_an_example_are_a_warning_and_may_be_a_part_of_large_data(coco):
    for split in (coco.train, coco.val):
        split['categories'] += [dict(id=10 + number, name=f'extra {number}') for number in range(4)]
    classes = [category['name'] for category in coco.train['categories']]
    done = coco.check(classes=classes)
    assert (done.code, done.errors) == (0, {})
    lines = done.warnings['most classes without an example']
    assert [line.partition(';')[0] for line in lines] == [
        'train.json: 3 of 7 classes occur: boat, fish, house',
        'val.json: 3 of 7 classes occur: boat, fish, house',
    ]
