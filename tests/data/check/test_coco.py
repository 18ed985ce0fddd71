"""What a COCO folder as a whole can be at fault in: its file, lists, ids, categories and images."""

import os

import cv2
import pytest
from small_data import HEIGHT, WIDTH, picture


def only(done, kind):
    """The lines of a kind of fault, which is the only one."""
    assert (done.code, done.err) == (1, '')
    assert done.faults.keys() == {kind}
    return done.faults[kind]


def test_a_whole_folder_has_neither_faults_nor_doubts(coco):
    done = coco.check(masks=True)
    assert (done.code, done.err, done.faults, done.doubts) == (0, '', {}, {})
    assert '│ images                    │     3 │   3 │' in done.out
    assert '│ annotations               │     6 │   6 │' in done.out
    assert done.out.endswith('ready to train on: no fault, no doubt\n')


# ---- the file ----------------------------------------------------------------------------------------------


def test_a_missing_annotation_file(coco):
    coco.check()
    (coco.data / 'train.json').unlink()
    assert only(coco.recheck(), 'missing annotation files') == [
        "train.json: no such file; expected COCO's annotations"
    ]


@pytest.mark.parametrize(
    ('content', 'came'),
    [
        (b'{"images": [', 'JSONDecodeError: Expecting value: line 1 column 13 (char 12)'),
        (b'', 'JSONDecodeError: Expecting value: line 1 column 1 (char 0)'),
        (b'\xff\xfe', "UnicodeDecodeError: 'utf-8' codec can't decode byte 0xff in position 0"),
        (b'[' * 100_000, 'RecursionError: '),
        (b'9' * 5000, 'ValueError: Exceeds the limit'),
    ],
)
def test_an_annotation_file_that_is_not_json(coco, content, came):
    coco.check()
    (coco.data / 'train.json').write_bytes(content)
    [line] = only(coco.recheck(), 'annotation files that are not JSON')
    assert line.startswith(f'train.json: {came}')
    assert line.endswith("expected COCO's annotations as JSON")


def test_json_that_is_no_object(coco):
    coco.check()
    (coco.data / 'train.json').write_text('[1, 2]')
    assert only(coco.recheck(), 'lists that an annotation file lacks') == [
        'train.json: [1, 2]; expected an object with images, annotations, categories'
    ]


@pytest.mark.parametrize('name', ['images', 'annotations', 'categories'])
def test_a_list_that_the_file_lacks(coco, name):
    coco.train.pop(name)
    done = coco.check()
    assert done.code == 1
    assert done.faults['lists that an annotation file lacks'] == [
        f'train.json: no {name}; expected a list `{name}`'
    ]
    coco.train[name] = None
    assert f'train.json: {name} null; expected a list `{name}`' in coco.check().out


@pytest.mark.parametrize('name', ['images', 'annotations'])
def test_an_empty_set(coco, name):
    coco.train[name] = []
    assert coco.check().faults['empty sets'] == [f'train.json: no {name}; expected at least one']


def test_a_folder_that_is_missing_is_one_fault_and_not_one_an_image(coco):
    (coco.data / 'train').rename(coco.data / 'elsewhere')
    assert only(coco.check(), 'missing folders') == [
        'train/: no such folder; expected the images that train.json names'
    ]


# ---- entries and ids ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('name', 'change', 'sentence'),
    [
        ('images', dict(id='1'), "images[0]: id '1'; expected a whole number"),
        ('images', dict(id=True), 'images[0]: id true; expected a whole number'),
        ('images', dict(file_name=None), 'images[0]: file_name null; expected the name of a file'),
        ('images', dict(file_name=''), "images[0]: file_name ''; expected the name of a file"),
        ('images', dict(height='30'), "images[0]: height '30'; expected a whole number of pixels"),
        ('images', dict(width=0), 'images[0]: width 0; expected a whole number of pixels'),
        ('images', dict(width=40.5), 'images[0]: width 40.5; expected a whole number of pixels'),
        ('images', dict(width=10**300), 'expected a whole number of pixels'),
        ('annotations', dict(id=[1]), 'annotations[0]: id [1]; expected a whole number'),
        ('categories', dict(name=7), 'categories[0]: name 7; expected a name'),
    ],
)
def test_a_malformed_entry(coco, name, change, sentence):
    coco.train[name][0].update(change)
    done = coco.check()
    assert done.code == 1
    [line] = done.faults['malformed entries']
    assert sentence in line


def test_an_entry_that_is_no_object(coco):
    coco.train['annotations'].append('x')
    assert only(coco.check(), 'malformed entries') == ["train.json, annotations[6]: 'x'; expected an object"]


@pytest.mark.parametrize(
    ('name', 'sentence'),
    [
        ('images', 'train.json, images[3]: id 1; expected an id of its own'),
        ('annotations', 'train.json, annotations[6]: id 10; expected an id of its own'),
    ],
)
def test_an_id_that_occurs_twice(coco, name, sentence):
    coco.train[name].append(dict(coco.train[name][0]))
    assert only(coco.check(), 'ids and names that occur twice') == [sentence]


def test_a_category_that_occurs_twice(coco):
    coco.train['categories'].append(dict(id=2, name='fish'))
    assert only(coco.check(), 'ids and names that occur twice') == [
        'train.json, categories[3]: id 2; expected an id of its own',
        "train.json, categories[3]: name 'fish'; expected a name of its own",
    ]


@pytest.mark.parametrize('number', [99, None, '1', [1], 1.5])
def test_an_annotation_of_an_unknown_image_or_category(coco, number):
    said = 'null' if number is None else repr(number)
    coco.train['annotations'][2]['image_id'] = number
    [line] = only(coco.check(), 'annotations of unknown images')
    assert line.endswith(f'image_id {said}; expected the id of an image')
    coco.train['annotations'][2].update(image_id=2, category_id=number)
    [line] = coco.check().faults['annotations of unknown categories']
    assert line.startswith("train.json, annotation 20 of image 2 ('b.jpg'): ")
    assert line.endswith(f'category_id {said}; expected the id of a category')


# ---- categories and the config's classes -------------------------------------------------------------------


def test_a_class_that_is_no_category_with_the_name_that_was_perhaps_meant(coco):
    coco.train['categories'][1]['name'] = 'fishes'
    done = coco.check()
    assert only(done, 'classes without category') == [
        "train.json, class 'fish' of the config: no category; expected one of this name; is it 'fishes'?"
    ]
    assert done.doubts == {
        'categories that are none of the classes': [
            "train.json, category 'fishes': not a class of the config; expected one of its 3 classes"
        ]
    }


def test_categories_in_another_order_than_the_classes(coco):
    coco.train['categories'].reverse()
    assert only(coco.check(), 'categories in another order than the classes') == [
        "train.json, category 'house': becomes label 0; expected 'boat' there, as in the config's classes"
    ]


def test_a_config_for_some_of_the_classes_is_a_doubt(coco):
    done = coco.check(classes=('boat', 'house'))
    assert (done.code, done.faults) == (0, {})
    assert len(done.doubts['categories that are none of the classes']) == 2  # in train and in val


def test_a_class_that_never_occurs_is_a_doubt(coco):
    for annotation in coco.train['annotations']:
        annotation['category_id'] = 2
    done = coco.check()
    assert (done.code, done.faults) == (0, {})
    assert done.doubts['classes that never occur'] == [
        "train.json, class 'fish': no annotation; expected some",
        "train.json, class 'house': no annotation; expected some",
    ]


# ---- images ------------------------------------------------------------------------------------------------


def test_a_missing_image(coco):
    (coco.data / 'train' / 'b.jpg').unlink()
    assert only(coco.check(), 'missing images') == [
        'train/b.jpg, image 2: no such file; expected a whole image'
    ]


def test_a_pipe_in_place_of_an_image_is_not_waited_for(coco):
    (coco.data / 'train' / 'b.jpg').unlink()
    os.mkfifo(coco.data / 'train' / 'b.jpg')
    assert only(coco.check(), 'missing images') == [
        'train/b.jpg, image 2: not a file; expected a whole image'
    ]


def test_an_image_that_is_none(coco):
    (coco.data / 'train' / 'b.jpg').write_text('<html>404</html>')
    assert only(coco.check(), 'unreadable images') == [
        'train/b.jpg, image 2: in no image format that is known; expected a whole image'
    ]


def test_a_truncated_image(coco):
    path = coco.data / 'train' / 'b.jpg'
    path.write_bytes(path.read_bytes()[:-40])
    [line] = only(coco.check(), 'truncated images')
    assert line.startswith('train/b.jpg, image 2: image file is truncated')


def test_an_image_of_another_size_than_annotated(coco):
    cv2.imwrite(str(coco.data / 'train' / 'b.jpg'), picture(0, (HEIGHT + 1, WIDTH, 3)))
    assert only(coco.check(), 'images of another size than annotated') == [
        'train/b.jpg, image 2: height 31, width 40; expected height 30, width 40, as in train.json'
    ]
    cv2.imwrite(str(coco.data / 'train' / 'b.jpg'), picture(0, (WIDTH, HEIGHT, 3)))
    [line] = only(coco.check(), 'images of another size than annotated')
    assert (
        'height 40, width 30 (exchanged: by an EXIF tag, which OpenCV obeys, or in the annotations)' in line
    )


@pytest.mark.parametrize('name', ['../val/d.jpg', '/etc/passwd', 'x/../../val/d.jpg', '..'])
def test_a_file_name_that_leaves_the_folder_is_not_opened(coco, name):
    coco.train['images'][1]['file_name'] = name
    assert only(coco.check(), 'file names that leave the folder') == [
        f'train.json, images[1]: file_name {name!r}; expected a name inside train/'
    ]


def test_a_file_name_may_go_through_folders(coco):
    (coco.data / 'train' / 'x').mkdir()
    (coco.data / 'train' / 'b.jpg').rename(coco.data / 'train' / 'x' / 'b.jpg')
    coco.train['images'][1]['file_name'] = 'x/../x/b.jpg'
    assert coco.check().code == 0


def test_an_image_that_is_in_training_and_in_validation_is_a_doubt(coco):
    for split in (coco.train, coco.val):
        split['images'][0]['file_name'] = 'same.jpg'
        split['images'][1]['file_name'] = 'alike.jpg'
    for split in ('train', 'val'):
        cv2.imwrite(str(coco.data / split / 'same.jpg'), picture(0))
        cv2.imwrite(str(coco.data / split / 'alike.jpg'), picture(len(split)))
    done = coco.check()
    assert (done.code, done.faults) == (0, {})
    assert done.doubts == {
        'images that are in two splits': [
            'val image same.jpg: the same bytes as in train; expected an image of its own'
        ]
    }


# ---- all of it ---------------------------------------------------------------------------------------------


def test_one_fault_does_not_hide_another(coco):
    coco.train['annotations'][0]['bbox'] = None
    coco.train['images'][0]['width'] = None
    coco.val['images'] = 3
    (coco.data / 'train' / 'b.jpg').unlink()
    done = coco.check()
    assert done.faults.keys() == {
        'malformed boxes',
        'malformed entries',
        'lists that an annotation file lacks',
        'annotations of unknown images',
        'missing images',
    }


def test_examples_are_five_and_from_every_split(coco):
    for split in (coco.train, coco.val):
        for annotation in split['annotations']:
            annotation['area'] = 'x'
    done = coco.check()
    lines = done.faults['malformed areas']
    assert [line[:5] for line in lines] == ['train', 'val.j', 'train', 'val.j', 'train', 'and 7']
    assert '│ fault  malformed areas    │     6 │   6 │' in done.out
    assert done.out.endswith('not ready to train on: 12 faults, no doubt\n')


def test_names_cannot_steer_the_terminal(coco):
    coco.train['images'][0]['file_name'] = 'a\x1b[2J[bold]\n\u202e\ud800.jpg'
    [line] = only(coco.check(), 'missing images')
    assert line.startswith(r'train/a\x1b[2J[bold]\n\u202e\ud800.jpg, image 1: no such file')


def test_a_value_of_any_length_is_shown_short(coco):
    coco.train['annotations'][0]['bbox'] = ['x' * 1_000_000] * 20
    coco.train['images'][0]['file_name'] = 'y' * 1_000_000
    assert len(coco.check().out) < 5000
