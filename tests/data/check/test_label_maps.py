"""What a folder of images and label maps can be wrong in, as MMSegmentation would read it."""

import shutil

import cv2
import numpy as np
import pytest
from mmseg.datasets import ADE20KDataset
from PIL import Image
from small_data import CLASSES, HEIGHT, WIDTH, labels

from vitdense.data.check import check_dataset
from vitdense.findings import Level

WHERE = 'annotations/training/b.png'


def put(ade, values):
    Image.fromarray(values).save(ade.data / WHERE)


def test_a_whole_folder_has_neither_errors_nor_warnings(ade):
    done = ade.check()
    assert (done.code, done.err, done.errors, done.warnings) == (0, '', {}, {})
    assert done.row('images') == done.row('label maps') == ['3', '2']
    assert done.row('ignored pixels') == ['25.0%', '25.0%']


# ---- files -------------------------------------------------------------------------------------------------


def test_an_image_without_label_map(ade):
    (ade.data / WHERE).unlink()
    assert ade.check().only('images without label map') == [f'{WHERE}: no such file']


def test_a_label_map_without_image(ade):
    (ade.data / 'images/training/b.jpg').unlink()
    [line] = ade.check().errors['label maps without image']
    assert line == f'{WHERE}: no image; expected images/training/b.jpg'


@pytest.mark.parametrize(
    ('place', 'kept', 'kind'),
    [
        ('images/training/b.jpg', -40, 'truncated images'),
        ('images/training/b.jpg', 1, 'unreadable images'),
        (WHERE, -20, 'truncated label maps'),
        (WHERE, 1, 'unreadable label maps'),
    ],
)
def test_a_damaged_file(ade, place, kept, kind):
    path = ade.data / place
    path.write_bytes(path.read_bytes()[:kept])
    [line] = ade.check().only(kind)
    assert line.startswith(f'{place}: ')


def test_a_label_map_of_another_size(ade):
    put(ade, labels()[1:])
    [line] = ade.check().errors['label maps of another size than their image']
    assert line.startswith(f'{WHERE}: height 29, width 40; expected height 30, width 40')


@pytest.mark.parametrize('folder', ['images', 'annotations'])
def test_a_missing_folder(ade, folder):
    shutil.rmtree(ade.data / folder / 'training')
    [line] = ade.check().only('missing folders')
    assert line.startswith(f'{folder}/training/: no such folder')


def test_a_folder_without_images_of_the_suffix_says_what_it_holds(ade):
    done = ade.check(img_suffix='.jpeg')
    assert done.only('empty sets') == [
        'images/training: no image, but 3 named *.jpg',
        'images/validation: no image, but 2 named *.jpg',
    ]
    assert all(line.endswith('*.jpeg') for line in done.errors['empty sets'])


def test_images_may_be_named_by_a_file(ade):
    names = ade.data / 'names.txt'
    names.write_text('a\n')
    (ade.data / 'images/validation/a.jpg').write_bytes((ade.data / 'images/training/a.jpg').read_bytes())
    (ade.data / 'annotations/validation/a.png').write_bytes(
        (ade.data / 'annotations/training/a.png').read_bytes()
    )
    done = ade.check(ann_file='names.txt')
    assert (done.code, done.errors) == (0, {})
    assert done.row('images') == ['1', '1']
    names.write_text('a\n../validation/d\n')
    assert 'file names that leave the folder' in ade.check(ann_file='names.txt').errors
    names.write_text('')
    assert ade.check(ann_file='names.txt').errors['empty sets'][0].startswith('names.txt: no image, but 3 ')
    names.write_bytes(b'\xff')
    assert 'lists of names that cannot be read' in ade.check(ann_file='names.txt').errors
    names.unlink()
    assert 'lists of names that cannot be read' in ade.check(ann_file='names.txt').errors


# ---- values ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('values', 'form'),
    [
        (np.zeros((HEIGHT, WIDTH, 3), np.uint8), 'RGB'),
        (np.zeros((HEIGHT, WIDTH, 4), np.uint8), 'RGBA'),
    ],
)
def test_a_label_map_of_another_form(ade, values, form):
    put(ade, values)
    [line] = ade.check().only('label maps of another pixel form')
    assert line.startswith(f'{WHERE}: pixels of form {form} ')


@pytest.mark.parametrize(
    ('value', 'dtype', 'reduce', 'read', 'expected'),
    [
        (4, np.uint8, True, '3', ['1 to 3', '0 to 2', '0 and 255']),
        (254, np.uint8, True, '253', ['1 to 3', '0 to 2', '0 and 255']),
        (258, np.uint16, True, "1 ('fish')", ['1 to 3']),
        (256, np.uint16, True, '255 (ignored)', ['1 to 3']),
        (4, np.uint8, False, '4', ['0 to 2', '255']),
        (258, np.uint16, False, "2 ('house')", ['0 to 2', '255']),
    ],
)
def test_a_value_that_is_no_class_is_named_as_it_is_and_as_it_is_read(
    ade, value, dtype, reduce, read, expected
):
    for path in ade.data.glob('annotations/*/*'):
        cv2.imwrite(str(path), labels() if reduce else labels() % 3)
    values = (labels() if reduce else labels() % 3).astype(dtype)
    values[:3] = value
    put(ade, values)
    done = ade.check(reduce_zero_label=reduce)
    assert done.only('label maps with values that are no class') == [
        f'{WHERE}: value {value} in 10.0% of its pixels, read as {read}'
    ]
    [line] = done.errors['label maps with values that are no class']
    assert all(part in line.partition('; expected ')[2] for part in expected)


def test_several_values_are_one_error(ade):
    values = labels()
    values[0, :6] = (9, 10, 11, 12, 13, 14)
    put(ade, values)
    [line] = ade.check().only('label maps with values that are no class')
    assert '9, 10, 11, 12 and 2 more in 0.5%' in line
    assert line.endswith('8, 9, 10, 11 and 2 more')


@pytest.mark.parametrize(('reduce', 'values'), [(True, [0, 1, 2, 3, 255]), (False, [0, 1, 2, 255])])
def test_every_value_that_may_be_there_is_no_error(ade, reduce, values):
    for path in ade.data.glob('annotations/*/*'):
        cv2.imwrite(str(path), np.resize(values, (HEIGHT, WIDTH)).astype(np.uint8))
    done = ade.check(reduce_zero_label=reduce)
    assert (done.code, done.errors, done.warnings) == (0, {}, {})


def test_a_class_that_never_occurs_is_a_warning(ade):
    for path in ade.data.glob('annotations/training/*'):
        cv2.imwrite(str(path), np.minimum(labels(), 2))
    done = ade.check()
    assert (done.code, done.errors) == (0, {})
    [line] = done.warnings['classes that never occur']
    assert line.startswith("annotations/training/, class 'house': no pixel; expected value 3")


def test_a_label_map_that_is_all_ignored_is_a_warning(ade):
    put(ade, np.zeros((HEIGHT, WIDTH), np.uint8))
    done = ade.check()
    assert (done.code, done.errors) == (0, {})
    [line] = done.warnings['label maps with every pixel ignored']
    assert line.startswith(f'{WHERE}: only 0; ')


@pytest.mark.parametrize('split', ['training', 'validation'])
def test_masks_of_0_and_255_are_an_error_with_advice(ade, split):
    """255 is ignored, and the other class has every pixel that is left."""
    for path in ade.data.glob('annotations/*/*'):
        white = 255 if split in path.parts else 1
        cv2.imwrite(str(path), (labels() > 1) * np.uint8(white))
    done = ade.check(classes=('gap', 'cell'), reduce_zero_label=False)
    assert done.only('one class alone') == [
        f"annotations/{split}/: every pixel is of class 'gap'; values 0, 255 in the files"
    ]
    assert done.errors['one class alone'][0].endswith(
        'expected values 0 and 1: the files hold 0 and 255, and 255 is the ignored label'
    )


def test_masks_of_0_and_255_with_reduce_zero_label_become_1_and_2(ade):
    for path in ade.data.glob('annotations/*/*'):
        cv2.imwrite(str(path), (labels() > 1) * np.uint8(255))
    done = ade.check(classes=('gap', 'cell'))
    assert len(done.only('nothing to learn from')) == 2
    assert 'expected values 1 and 2: ' in done.errors['nothing to learn from'][0]


def test_one_class_alone_is_an_error(ade):
    for path in ade.data.glob('annotations/training/*'):
        cv2.imwrite(str(path), np.minimum(labels(), 1))
    assert ade.check().only('one class alone') == [
        "annotations/training/: every pixel is of class 'boat'; values 0, 1 in the files"
    ]


def test_nothing_but_ignored_pixels_is_an_error(ade):
    for path in ade.data.glob('annotations/training/*'):
        cv2.imwrite(str(path), np.zeros((HEIGHT, WIDTH), np.uint8))
    done = ade.check()
    assert done.only('nothing to learn from') == [
        'annotations/training/: no pixel of any class; values 0 in the files'
    ]
    assert len(done.warnings['label maps with every pixel ignored']) == 3


def test_most_classes_without_a_pixel_are_a_warning(ade):
    done = ade.check(classes=[*CLASSES, *'abcdef'])
    assert (done.code, done.errors) == (0, {})
    assert len(done.warnings['most classes without an example']) == 2


def test_a_transposed_label_map_is_named_as_such(ade):
    put(ade, labels().T)
    [line] = ade.check().only('label maps of another size than their image')
    assert line.startswith(f'{WHERE}: height 40, width 30 (exchanged: ')


@pytest.mark.parametrize('values', [labels() > 1, (labels() > 1).astype(np.int32)])
def test_masks_that_mmsegmentation_reads_as_0_and_1_are_read(ade, values):
    """Pillow's forms of 1 bit and of 32 bits."""
    for path in ade.data.glob('annotations/*/*'):
        Image.fromarray(values).save(path.with_suffix('.tif'))
        path.unlink()
    done = ade.check(classes=('gap', 'cell'), reduce_zero_label=False, seg_map_suffix='.tif')
    assert (done.code, done.errors, done.warnings) == (0, {}, {})


def test_label_maps_of_another_suffix_are_named(ade):
    (ade.data / WHERE).rename((ade.data / WHERE).with_suffix('.PNG'))
    assert ade.check().only('images without label map') == [f"{WHERE}: no such file, but 'b.PNG'"]


def test_an_image_that_is_in_training_and_in_validation_is_a_warning(ade):
    for path in [*ade.data.glob('*/training/a.*')]:
        shutil.copy(path, path.parents[1] / 'validation')
    [line] = ade.check().warnings['images that are in two splits']
    assert line.startswith('image a.jpg: the same bytes as train image a.jpg; ')


def test_ade20k_itself_has_150_classes_from_1(ade):
    for value, errors in ((150, 0), (151, 1)):
        values = labels()
        values[0, 0] = value
        put(ade, values)
        prefix = dict(img_path='images/training', seg_map_path='annotations/training')
        found = check_dataset('train', dict(type=ADE20KDataset, data_root=str(ade.data), data_prefix=prefix))
        assert sum(count for kind, count in found.counts.items() if kind.level is Level.ERROR) == errors


def test_some_of_ade20ks_classes_leave_the_others_ignored(ade):
    """MMSegmentation maps the classes of the file to those of the config."""
    prefix = dict(img_path='images/training', seg_map_path='annotations/training')
    some = dict(
        type=ADE20KDataset, data_root=str(ade.data), data_prefix=prefix, metainfo=dict(classes=('sky',))
    )
    found = check_dataset('train', some)
    assert not found.counts
    assert found.facts['ignored pixels'] == '75.0%'
