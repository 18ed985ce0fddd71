"""Pictures as people have them: boxes lie where the training sees their objects, or the file is named."""

import json
import os
import stat

import cv2
import numpy as np
import pytest
from mmdet.datasets import CocoDataset
from PIL import Image

from vitdense.data.formats import problems
from vitdense.data.formats.find import read_folder
from vitdense.data.formats.mend import mend
from vitdense.data.formats.write import write_coco
from vitdense.errors import UserError

HEIGHT, WIDTH = 48, 80
BOX = (50, 6, 20, 10)  # x, y, width, height of a white rectangle
OTHER = (4, 30, 6, 14)


def picture():
    image = np.full((HEIGHT, WIDTH, 3), 60, np.uint8)
    for x, y, width, height in (BOX, OTHER):
        image[y : y + height, x : x + width] = 250
    return Image.fromarray(image)


def folder_with(tmp_path, name, save, boxes=(BOX, OTHER), size=(HEIGHT, WIDTH)):
    """COCO's annotations of one image, which `save` writes."""
    path = tmp_path / 'images' / name
    path.parent.mkdir(parents=True)
    save(path)
    annotations = [dict(id=i, image_id=1, category_id=1, bbox=list(box)) for i, box in enumerate(boxes)]
    whole = dict(
        images=[dict(id=1, file_name=name, height=size[0], width=size[1])],
        annotations=annotations,
        categories=[dict(id=1, name='a')],
    )
    (tmp_path / 'result.json').write_text(json.dumps(whole))
    return tmp_path


def seen(found, folder):
    """The mean brightness in each box of the image that OpenCV reads, as the training does."""
    file = write_coco(found, folder / 'out', folder)['all']
    dataset = CocoDataset(
        ann_file=str(file), data_root=str(folder), data_prefix=dict(img=''), metainfo=dict(classes=('a',))
    )
    info = dataset[0]
    image = cv2.imread(info['img_path'])
    assert image.shape[:2] == (info['height'], info['width'])
    for one in info['instances']:
        left, top, right, bottom = map(round, one['bbox'])
        yield image[top:bottom, left:right].mean()


# of stored pixels, orientations 2 to 4 are not here: no size says whether such a tag was obeyed
@pytest.mark.parametrize(
    ('annotated', 'orientation'),
    [*(('as shown', i) for i in range(1, 9)), *(('as stored', i) for i in (1, 5, 6, 7, 8))],
)
def test_boxes_of_turned_photos(orientation, annotated, tmp_path):
    """OpenCV turns what the EXIF tag turns. Of stored pixels with exchanged sides, the boxes are turned."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = picture()
    folder = folder_with(tmp_path, 'a.jpg', lambda path: stored.save(path, exif=exif, quality=95))
    if annotated == 'as shown':
        shown = cv2.imread(str(folder / 'images' / 'a.jpg'))
        _, _, stats, _ = cv2.connectedComponentsWithStats((shown[..., 0] > 150).astype(np.uint8))
        boxes = [[int(value) for value in row[:4]] for row in stats[1:]]
        whole = json.loads((folder / 'result.json').read_text())
        whole['images'][0].update(height=shown.shape[0], width=shown.shape[1])
        for one, box in zip(whole['annotations'], boxes, strict=True):
            one['bbox'] = box
        (folder / 'result.json').write_text(json.dumps(whole))
    found = mend(read_folder(folder))
    assert all(value > 220 for value in seen(found, folder))
    expected = {'as stored': [problems.TURNED]} if orientation >= 5 else {'as shown': [problems.UNKNOWN_TURN]}
    expected = [] if orientation == 1 else expected.get(annotated, [])
    assert [problem.kind for problem in found.problems] == expected


def gif(path):
    first = picture()
    first.save(path, save_all=True, append_images=[first.rotate(180)])


KINDS = {
    'gray.png': lambda path: picture().convert('L').save(path),
    'palette.png': lambda path: picture().quantize(8).save(path),
    'bits.png': lambda path: picture().convert('L').point(lambda v: 255 * (v > 128)).convert('1').save(path),
    'alpha.png': lambda path: picture().convert('RGBA').save(path),
    'print.jpg': lambda path: picture().convert('CMYK').save(path, quality=95),
    'progressive.jpg': lambda path: picture().save(path, progressive=True, quality=95),
    'a.tiff': lambda path: picture().save(path),
    'a.webp': lambda path: picture().save(path, lossless=True),
    'a.bmp': lambda path: picture().save(path),
    'really a png.jpg': lambda path: picture().save(path, 'PNG'),
    'Übung – 試験.png': lambda path: picture().save(path),
    'many.dots.in.it.JPG': lambda path: picture().save(path, 'JPEG', quality=95),
}


@pytest.mark.parametrize('name', KINDS)
def test_kinds_of_images(name, tmp_path):
    folder = folder_with(tmp_path, name, KINDS[name])
    found = mend(read_folder(folder))
    assert not found.problems
    assert all(value > 220 for value in seen(found, folder))


@pytest.mark.parametrize('data', [b'', b'\xff\xd8\xff', b'no image at all'])
def test_a_file_that_is_no_image_is_named(data, tmp_path):
    folder = folder_with(tmp_path, 'a.jpg', lambda path: path.write_bytes(data))
    found = mend(read_folder(folder))
    assert [problem.kind for problem in found.problems] == [problems.UNREADABLE_IMAGE]
    assert not found.records


def test_an_image_of_another_size_than_annotated_is_left_out(tmp_path):
    folder = folder_with(tmp_path, 'a.png', lambda path: picture().save(path), size=(HEIGHT, WIDTH + 1))
    found = mend(read_folder(folder))
    assert [problem.kind for problem in found.problems] == [problems.OTHER_SIZE]


def test_links_and_folders_without_write_permission(tmp_path):
    original = folder_with(tmp_path / 'there', 'a.png', lambda path: picture().save(path))
    (tmp_path / 'here').mkdir()
    (tmp_path / 'here' / 'images').symlink_to(original / 'images')
    (tmp_path / 'here' / 'result.json').symlink_to(original / 'result.json')
    os.chmod(tmp_path / 'here', stat.S_IRUSR | stat.S_IXUSR)
    try:
        found = mend(read_folder(tmp_path / 'here'))
    finally:
        os.chmod(tmp_path / 'here', stat.S_IRWXU)
    assert len(found.records) == 1
    assert not found.problems


@pytest.mark.parametrize(
    'name', ['images\\a.png', './images/a.png', 'C:\\photos\\a.png', '/nowhere/images/a.png']
)
def test_names_from_other_machines(name, tmp_path):
    folder = folder_with(tmp_path, 'a.png', lambda path: picture().save(path))
    whole = json.loads((folder / 'result.json').read_text())
    whole['images'][0]['file_name'] = name
    (folder / 'result.json').write_text(json.dumps(whole))
    assert mend(read_folder(folder)).records[0].image == folder / 'images' / 'a.png'


def hostile(key, value):
    def change(whole):
        whole[key] = value

    return change


@pytest.mark.parametrize(
    'change',
    [
        hostile('annotations', [None, 3, 'x', []]),
        hostile('annotations', [dict(id=1, image_id=[1], category_id={}, bbox=[0, 0, 1, 1])]),
        hostile(
            'annotations', [dict(id=1, image_id=1, category_id=1, bbox='0 0 1 1', area='x', segmentation=7)]
        ),
        hostile('images', [dict(id=1), dict(id=[2], file_name='a.png'), 5]),
        hostile('categories', [dict(id=1, name='a'), dict(id=[2], name='b'), dict(name='c'), 7]),
        hostile('categories', [dict(id=1, name=None)]),
    ],
)
def test_files_with_anything_in_them_are_errors_of_one_line_or_problems(change, tmp_path):
    folder = folder_with(tmp_path, 'a.png', lambda path: picture().save(path))
    whole = json.loads((folder / 'result.json').read_text())
    change(whole)
    (folder / 'result.json').write_text(json.dumps(whole))
    try:
        found = mend(read_folder(folder))
    except UserError:
        return
    write_coco(found, folder / 'out', folder)


def test_run_lengths_of_stored_pixels_are_named_and_left_out(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    folder = folder_with(tmp_path, 'a.jpg', lambda path: picture().save(path, exif=exif))
    whole = json.loads((folder / 'result.json').read_text())
    whole['annotations'][0]['segmentation'] = dict(size=[HEIGHT, WIDTH], counts=[HEIGHT * WIDTH])
    (folder / 'result.json').write_text(json.dumps(whole))
    found = mend(read_folder(folder))
    assert [problem.kind for problem in found.problems] == [problems.OTHER_SIZE, problems.TURNED]
    assert len(found.records[0].instances) == 1
