"""What a COCO folder as a whole can be wrong in: its file, lists, ids, categories and images."""

import os

import cv2
import pytest
from small_data import HEIGHT, WIDTH, picture


def test_a_whole_folder_has_neither_errors_nor_warnings(coco):
    done = coco.check(masks=True)
    assert (done.code, done.err, done.errors, done.warnings) == (0, '', {}, {})
    assert done.row('images') == ['3', '3']
    assert done.row('annotations') == ['6', '6']


# ---- the file ----------------------------------------------------------------------------------------------


def test_a_missing_annotation_file(coco):
    coco.check()
    (coco.data / 'train.json').unlink()
    assert coco.recheck().only('missing annotation files') == ['train.json: no such file']


@pytest.mark.parametrize(
    ('content', 'came'),
    [
        (b'{"images": [', 'JSONDecodeError: '),
        (b'', 'JSONDecodeError: '),
        (b'\xff\xfe', 'UnicodeDecodeError: '),
        (b'[' * 100_000, 'RecursionError: '),
        (b'9' * 5000, 'ValueError: '),
    ],
)
def test_an_annotation_file_that_is_not_json(coco, content, came):
    coco.check()
    (coco.data / 'train.json').write_bytes(content)
    [line] = coco.recheck().only('annotation files that are not JSON')
    assert line.startswith(f'train.json: {came}')


def test_json_that_is_no_object(coco):
    coco.check()
    (coco.data / 'train.json').write_text('[1, 2]')
    assert coco.recheck().only('lists that an annotation file lacks') == ['train.json: [1, 2]']


@pytest.mark.parametrize('name', ['images', 'annotations', 'categories'])
def test_a_list_that_the_file_lacks(coco, name):
    coco.train.pop(name)
    done = coco.check()
    assert done.code == 1
    [line] = done.errors['lists that an annotation file lacks']
    assert line.startswith(f'train.json: no {name}; ')
    coco.train[name] = None
    [line] = coco.check().errors['lists that an annotation file lacks']
    assert line.startswith(f'train.json: {name} null; ')


@pytest.mark.parametrize('name', ['images', 'annotations'])
def test_an_empty_set(coco, name):
    coco.train[name] = []
    [line] = coco.check().errors['empty sets']
    assert line.startswith(f'train.json: no {name}; ')


def test_a_folder_that_is_missing_is_one_error_and_not_one_an_image(coco):
    (coco.data / 'train').rename(coco.data / 'elsewhere')
    assert coco.check().only('missing folders') == ['train/: no such folder']


# ---- entries and ids ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('name', 'change', 'came'),
    [
        ('images', dict(id=None), 'images[0]: id null'),
        ('images', dict(id=True), 'images[0]: id true'),
        ('images', dict(file_name=None), 'images[0]: file_name null'),
        ('images', dict(file_name=''), "images[0]: file_name ''"),
        ('images', dict(height='30'), "images[0]: height '30'"),
        ('images', dict(width=0), 'images[0]: width 0'),
        ('images', dict(width=40.5), 'images[0]: width 40.5'),
        ('images', dict(width=10**300), 'images[0]: width 1000'),
        ('annotations', dict(id=[1]), 'annotations[0]: id [1]'),
        ('categories', dict(name=7), 'categories[0]: name 7'),
    ],
)
def test_a_malformed_entry(coco, name, change, came):
    coco.train[name][0].update(change)
    done = coco.check()
    assert done.code == 1
    [line] = done.errors['malformed entries']
    assert line.startswith(f'train.json, {came}')


def test_an_entry_that_is_no_object(coco):
    coco.train['annotations'].append('x')
    assert coco.check().only('malformed entries') == ["train.json, annotations[6]: 'x'"]


@pytest.mark.parametrize(
    ('name', 'line'),
    [
        ('images', 'train.json, images[3]: id 1'),
        ('annotations', 'train.json, annotations[6]: id 10'),
    ],
)
def test_an_id_that_occurs_twice(coco, name, line):
    coco.train[name].append(dict(coco.train[name][0]))
    assert coco.check().only('ids and names that occur twice') == [line]


def test_a_category_that_occurs_twice(coco):
    coco.train['categories'].append(dict(id=2, name='fish'))
    assert coco.check().only('ids and names that occur twice') == [
        'train.json, categories[3]: id 2',
        "train.json, categories[3]: name 'fish'",
    ]


@pytest.mark.parametrize('number', [99, None, '1', [1], 1.5])
def test_an_annotation_of_an_unknown_image_or_category(coco, number):
    said = 'null' if number is None else repr(number)
    coco.train['annotations'][2]['image_id'] = number
    [line] = coco.check().only('annotations of unknown images')
    assert line.endswith(f': image_id {said}')
    coco.train['annotations'][2].update(image_id=2, category_id=number)
    [line] = coco.check().errors['annotations of unknown categories']
    assert line.startswith("train.json, annotation 20 of image 2 ('b.jpg'): ")
    assert f': category_id {said}; ' in line


# ---- categories and the config's classes -------------------------------------------------------------------


def test_a_class_that_is_no_category_with_the_name_that_was_perhaps_meant(coco):
    coco.train['categories'][1]['name'] = 'fishes'
    done = coco.check()
    assert done.errors.keys() == {'classes without category'}
    [line] = done.errors['classes without category']
    assert line.startswith("train.json, class 'fish' of the config: ")
    assert line.endswith("'fishes'?")
    assert done.warnings.keys() == {'categories that are none of the classes'}
    [line] = done.warnings['categories that are none of the classes']
    assert line.startswith("train.json, category 'fishes': ")


def test_categories_in_another_order_than_the_classes(coco):
    coco.train['categories'].reverse()
    [line] = coco.check().errors['categories in another order than the classes']
    assert line.startswith("train.json, category 'house': becomes label 0; expected 'boat' ")


def test_a_config_for_some_of_the_classes_is_a_warning(coco):
    done = coco.check(classes=('boat', 'house'))
    assert (done.code, done.errors) == (0, {})
    assert len(done.warnings['categories that are none of the classes']) == 2  # in train and in val


def test_a_class_that_never_occurs_is_a_warning(coco):
    for annotation in coco.train['annotations']:
        annotation['category_id'] = 2
    done = coco.check()
    assert (done.code, done.errors) == (0, {})
    lines = done.warnings['classes that never occur']
    assert [line.partition(': ')[0] for line in lines] == [
        "train.json, class 'fish'",
        "train.json, class 'house'",
    ]


# ---- images ------------------------------------------------------------------------------------------------


def test_a_missing_image(coco):
    (coco.data / 'train' / 'b.jpg').unlink()
    assert coco.check().only('missing images') == ['train/b.jpg, image 2: no such file']


def test_a_pipe_in_place_of_an_image_is_not_waited_for(coco):
    (coco.data / 'train' / 'b.jpg').unlink()
    os.mkfifo(coco.data / 'train' / 'b.jpg')
    assert coco.check().only('missing images') == ['train/b.jpg, image 2: not a file']


def test_an_image_that_is_none(coco):
    (coco.data / 'train' / 'b.jpg').write_text('<html>404</html>')
    [line] = coco.check().only('unreadable images')
    assert line.startswith('train/b.jpg, image 2: ')


def test_a_truncated_image(coco):
    path = coco.data / 'train' / 'b.jpg'
    path.write_bytes(path.read_bytes()[:-40])
    [line] = coco.check().only('truncated images')
    assert line.startswith('train/b.jpg, image 2: ')


def test_an_image_of_another_size_than_annotated(coco):
    cv2.imwrite(str(coco.data / 'train' / 'b.jpg'), picture(0, (HEIGHT + 1, WIDTH, 3)))
    [line] = coco.check().errors['images of another size than annotated']
    assert line.startswith('train/b.jpg, image 2: height 31, width 40; expected height 30, width 40')
    cv2.imwrite(str(coco.data / 'train' / 'b.jpg'), picture(0, (WIDTH, HEIGHT, 3)))
    [line] = coco.check().only('images of another size than annotated')
    assert line.startswith('train/b.jpg, image 2: height 40, width 30 (exchanged: by an EXIF tag')


@pytest.mark.parametrize('name', ['../val/d.jpg', 'x/../../val/d.jpg', '..'])
def test_a_file_name_that_leaves_the_folder_is_not_opened(coco, name):
    coco.train['images'][1]['file_name'] = name
    assert coco.check().only('file names that leave the folder') == [
        f'train.json, images[1]: file_name {name!r}'
    ]


def test_a_file_name_may_go_through_folders(coco):
    (coco.data / 'train' / 'x').mkdir()
    (coco.data / 'train' / 'b.jpg').rename(coco.data / 'train' / 'x' / 'b.jpg')
    coco.train['images'][1]['file_name'] = 'x/../x/b.jpg'
    assert coco.check().code == 0


def test_an_image_that_is_in_training_and_in_validation_is_a_warning(coco):
    for split in (coco.train, coco.val):
        split['images'][0]['file_name'] = 'same.jpg'
        split['images'][1]['file_name'] = 'alike.jpg'
    for split in ('train', 'val'):
        cv2.imwrite(str(coco.data / split / 'same.jpg'), picture(0))
        cv2.imwrite(str(coco.data / split / 'alike.jpg'), picture(len(split)))
    done = coco.check()
    assert (done.code, done.errors) == (0, {})
    assert done.warnings.keys() == {'images that are in two splits'}
    [line] = done.warnings['images that are in two splits']
    assert line.startswith('image same.jpg: the same bytes as train image same.jpg; ')


# ---- all of it ---------------------------------------------------------------------------------------------


def test_one_error_does_not_hide_another(coco):
    coco.train['annotations'][0]['bbox'] = None
    coco.train['images'][0]['width'] = None
    coco.val['images'] = 3
    (coco.data / 'train' / 'b.jpg').unlink()
    done = coco.check()
    assert done.errors.keys() == {
        'malformed boxes',
        'malformed entries',
        'lists that an annotation file lacks',
        'annotations of unknown images',
        'missing images',
    }


def test_examples_are_three_and_from_every_split(coco):
    for split in (coco.train, coco.val):
        for annotation in split['annotations']:
            annotation['area'] = 'x'
    done = coco.check()
    lines = done.errors['malformed areas']
    assert [line[:5] for line in lines] == ['train', 'val.j', 'train', 'and 9']
    assert done.row('error  malformed areas') == ['6', '6']
    assert done.out.splitlines()[-1].startswith('not ready')
    assert '12 errors, no warning' in done.out


def test_names_cannot_steer_the_terminal(coco):
    coco.train['images'][0]['file_name'] = 'a\x1b[2J[bold]\n\u202e\ud800.jpg'
    [line] = coco.check().only('missing images')
    assert line.startswith(r'train/a\x1b[2J[bold]\n\u202e\ud800.jpg, image 1: no such file')


def test_a_value_of_any_length_is_shown_short(coco):
    coco.train['annotations'][0]['bbox'] = ['x' * 1_000_000] * 20
    coco.train['images'][0]['file_name'] = 'y' * 1_000_000
    assert len(coco.check().out) < 5000
