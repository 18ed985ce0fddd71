"""Sixty awkward folders of images and annotations, and what a training and a check make of them.

`python tests/awkward_inputs.py` prints the table of docs/awkward_inputs.md; a nightly test runs every row.
"""

import json
import os
import shutil

import drawn_folders as drawn
import numpy as np
from PIL import Image

NUMBER = 6  # images of a folder


def edit(file, change):
    """Change a JSON file by a function of its content."""
    whole = json.loads(file.read_text())
    change(whole)
    file.write_text(json.dumps(whole))


def coco(change=None, image=None):
    """A folder in COCO's format, its file changed, or its first image."""

    def make(folder):
        drawn.coco(folder, number=NUMBER)
        first = folder / 'images' / 'photo-a.png'
        if image:
            image(first, Image.open(first).copy())
        if change:
            edit(folder / 'result.json', change)

    return make


def saved(convert=lambda image: image, form='PNG', **options):
    """Another kind of file in place of the first image, under the same name."""

    def save(path, image):
        convert(image).save(path, form, **options)

    return coco(image=save)


def exif(orientation, shown=False, change=None):
    """The first image with a tag; its annotations are of the stored pixels, or say the size that is shown."""
    tag = Image.Exif()
    tag[0x0112] = orientation

    def say_size(whole):
        if shown:
            one = whole['images'][0]
            one['height'], one['width'] = one['width'], one['height']
        if change:
            change(whole)

    def save(path, image):
        image.save(path, 'JPEG', exif=tag, quality=95)

    return coco(say_size, save)


def first_object(**values):
    return coco(lambda whole: whole['annotations'][0].update(values))


def renamed(name, said=None):
    """The first image under another name."""

    def make(folder):
        drawn.coco(folder, number=NUMBER)
        path = folder / 'images' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        (folder / 'images' / 'photo-a.png').rename(path)
        edit(folder / 'result.json', lambda whole: whole['images'][0].update(file_name=said or name))

    return make


def bytes_of(data):
    return coco(image=lambda path, image: path.write_bytes(data))


def cut(path, image):
    image.save(path, 'JPEG', quality=95)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def yolo(change, **options):
    def make(folder):
        drawn.yolo(folder, number=NUMBER, **options)
        change(folder)

    return make


def line(text):
    return yolo(lambda folder: append(folder / 'labels' / 'photo-a.txt', text))


def append(file, text):
    file.write_text(f'{file.read_text()}\n{text}\n')


def voc(old, new):
    def make(folder):
        drawn.voc(folder, number=NUMBER)
        file = folder / 'Annotations' / 'photo-a.xml'
        text = file.read_text()
        assert old in text, old
        file.write_text(text.replace(old, new, 1))

    return make


def labelme(change):
    def make(folder):
        folder.mkdir(exist_ok=True)
        drawn.labelme(folder, number=NUMBER)
        edit(folder / 'photo-a.json', change)

    return make


def maps(change=lambda folder: None, **options):
    def make(folder):
        drawn.label_maps(folder, number=NUMBER, **options)
        change(folder)

    return make


def link(folder):
    original = drawn.coco(folder.with_name('original'), number=NUMBER)
    folder.mkdir(exist_ok=True)
    for path in original.iterdir():
        (folder / path.name).symlink_to(path)


def dangling(folder):
    drawn.coco(folder, number=NUMBER)
    path = folder / 'images' / 'photo-a.png'
    path.unlink()
    path.symlink_to('/nowhere')


def folder_as_image(path, image):
    path.unlink()
    path.mkdir()


def read_only(folder):
    drawn.coco(folder, number=NUMBER)
    for path in (folder / 'images', folder):
        os.chmod(path, 0o555)


def twice(whole):
    whole['images'].append(dict(whole['images'][0], id='again'))


def deep(bits):
    return lambda image: Image.fromarray(np.asarray(image.convert('L')).astype(np.uint16) << (bits - 8))


def transparent(image):
    image = image.convert('RGBA')
    image.putalpha(image.convert('L'))
    return image


def huge(path, image):
    image.resize((12_800, 9_600)).save(path, 'JPEG', quality=30)


def large(whole):
    whole['images'][0].update(height=9_600, width=12_800)
    for one in whole['annotations']:
        if one['image_id'] == 'x0':
            one['bbox'] = [100 * value for value in one['bbox']]
            one['segmentation'] = [[100 * value for value in one['segmentation'][0]]]


def photos(folder):
    for path in (folder / 'masks').iterdir():
        shutil.copy(folder / 'images' / path.name, path)


NAN = float('nan')

# name: (folder, exit code of `train --preflight`, of `check_data`, what one of them says)
BOXES = {
    'gray image': (saved(lambda i: i.convert('L')), 0, 0, ''),
    'image of 1 bit': (saved(lambda i: i.convert('1')), 0, 0, ''),
    'palette image': (saved(lambda i: i.quantize(16)), 0, 0, ''),
    'palette image with a transparent colour': (
        saved(lambda i: i.quantize(16), transparency=0),
        0,
        0,
        'transparent',
    ),
    'image with transparency': (saved(transparent), 0, 0, 'transparent'),
    'image of 16 bits': (saved(deep(16)), 0, 0, '16 bits'),
    'image of 12 bits in 16': (saved(deep(12)), 0, 0, '12 bits'),
    'CMYK JPEG': (saved(lambda i: i.convert('CMYK'), 'JPEG'), 0, 0, ''),
    'progressive JPEG': (saved(form='JPEG', progressive=True), 0, 0, ''),
    'PNG called .jpg': (renamed('photo.jpg'), 0, 0, ''),
    'animated PNG': (
        coco(image=lambda path, i: i.save(path, save_all=True, append_images=[i.rotate(180)])),
        0,
        0,
        '',
    ),
    'truncated JPEG': (coco(image=cut), 0, 1, 'truncated'),
    'empty file': (bytes_of(b''), 0, 1, 'no image'),
    'text called .png': (bytes_of(b'not an image'), 0, 1, 'no image'),
    'folder called .png': (coco(image=folder_as_image), 0, 1, 'photo-a.png'),
    '123 megapixels': (coco(large, huge), 0, 0, ''),
    'image of 1 × 1': (
        coco(lambda w: w['images'][0].update(height=1, width=1), lambda path, i: i.resize((1, 1)).save(path)),
        0,
        1,
        'outside',
    ),
    'EXIF 3, a half turn': (exif(3), 0, 0, 'EXIF orientation 3'),
    'EXIF 6, annotated as stored': (exif(6), 0, 0, 'turned, too'),
    'EXIF 6, size as shown': (exif(6, shown=True), 0, 0, ''),
    'EXIF 8, run lengths of the stored pixels': (
        exif(
            8,
            change=lambda w: w['annotations'][0].update(segmentation=dict(size=[96, 128], counts=[96 * 128])),
        ),
        0,
        1,
        'run lengths',
    ),
    'name with spaces and other scripts': (renamed('Übung 試験 (1).png'), 0, 0, ''),
    'absolute path of another machine': (renamed('photo-a.png', 'C:\\data\\images\\photo-a.png'), 0, 0, ''),
    'image in a folder below': (renamed('deep/er/photo-a.png'), 0, 0, ''),
    'symbolic links': (link, 0, 0, ''),
    'dangling link': (dangling, 0, 1, 'photo-a.png'),
    'read-only folder': (read_only, 0, 0, ''),
    'image that is not there': (
        coco(lambda w: w['images'][0].update(file_name='gone.png')),
        0,
        1,
        'gone.png',
    ),
    'image twice': (coco(twice), 0, 1, 'twice'),
    'image of another size than annotated': (coco(lambda w: w['images'][0].update(width=999)), 0, 1, '999'),
    'box outside': (first_object(bbox=[900, 900, 9, 9]), 0, 1, 'outside'),
    'box that leaves the image': (first_object(bbox=[-20, -20, 60, 60]), 0, 0, 'cut'),
    'box of no size': (first_object(bbox=[5, 5, 0, 9]), 0, 1, 'no size'),
    'box with exchanged corners': (first_object(bbox=[50, 50, -9, -9]), 0, 1, 'exchanged'),
    'box with NaN': (first_object(bbox=[NAN, 5, 9, 9]), 0, 1, 'finite'),
    'box as text': (first_object(bbox='5 5 9 9'), 0, 1, 'finite'),
    'polygon of one point': (first_object(segmentation=[[5, 5]]), 0, 1, 'three points'),
    'polygon of two points': (first_object(segmentation=[[5, 5, 9, 9]]), 0, 1, 'three points'),
    'unknown class': (first_object(category_id=99), 0, 1, '99'),
    'annotation of no image': (first_object(image_id='nobody'), 0, 1, 'nobody'),
    'no annotations': (coco(lambda w: w['annotations'].clear()), 2, 1, ''),
    'two classes of one name': (
        coco(lambda w: w['categories'][1].update(name='circle')),
        2,
        2,
        'two categories',
    ),
    'JSON with a byte-order mark': (
        lambda f: (
            coco()(f),
            (f / 'result.json').write_bytes(b'\xef\xbb\xbf' + (f / 'result.json').read_bytes()),
        ),
        0,
        0,
        '',
    ),
    'JSON cut in the middle': (
        lambda f: (coco()(f), (f / 'result.json').write_text((f / 'result.json').read_text()[:200])),
        2,
        2,
        'cannot be read: result.json',
    ),
    'YOLO: class 7 of 3': (line('7 0.5 0.5 0.1 0.1'), 0, 1, 'line 4'),
    'YOLO: three numbers': (line('1 0.5 0.5'), 0, 1, 'line 4'),
    'YOLO: nan': (line('nan 0.5 0.5 0.1 0.1'), 0, 1, 'line 4'),
    'YOLO: pixels in place of fractions': (line('1 60 40 20 20'), 0, 1, 'outside'),
    'YOLO: bytes that are no UTF-8': (
        yolo(lambda f: (f / 'labels' / 'photo-a.txt').write_bytes(b'\xff\xfe\x00 0.5 0.5')),
        0,
        1,
        'photo-a.txt',
    ),
    'YOLO: empty label file': (yolo(lambda f: (f / 'labels' / 'photo-a.txt').write_text('')), 0, 0, ''),
    'YOLO: two images of one stem': (
        yolo(lambda f: shutil.copy(f / 'images' / 'photo-b.png', f / 'images' / 'photo-a.jpg')),
        0,
        1,
        'photo-a.jpg, photo-a.png',
    ),
    'YOLO: data.yaml names a folder that is not there': (
        yolo(lambda f: (f / 'data.yaml').write_text('train: nowhere\nval: nowhere\nnames: [a, b, c]\n')),
        2,
        2,
        'nowhere',
    ),
    'VOC: exchanged corners': (voc('<xmin>', '<xmin>9'), 0, 1, 'exchanged'),
    'VOC: no size': (voc('<width>128</width>', ''), 0, 0, ''),
    'VOC: XML cut in the middle': (voc('</annotation>', ''), 0, 1, 'photo-a.xml'),
    'LabelMe: a point': (
        labelme(lambda w: w['shapes'].append(dict(label='circle', points=[[5, 5]], shape_type='point'))),
        0,
        0,
        'point',
    ),
    'LabelMe: a polygon of two points': (
        labelme(lambda w: w['shapes'][0].update(points=[[5, 5], [9, 9]])),
        0,
        1,
        'shape 1',
    ),
    'LabelMe: a file cut in the middle': (
        lambda f: (labelme(lambda w: None)(f), (f / 'photo-a.json').write_text('{"shapes": [')),
        0,
        1,
        'photo-a.json',
    ),
    'LabelMe: no imagePath': (labelme(lambda w: w.pop('imagePath')), 0, 0, ''),
    'nothing but photos': (lambda f: (coco()(f), (f / 'result.json').unlink()), 2, 2, 'known format'),
}
MAPS = {
    'label map of another size': (
        maps(lambda f: Image.new('L', (5, 5)).save(f / 'masks' / 'photo-a.png')),
        0,
        1,
        '5 × 5',
    ),
    'value that no class stands for': (maps(classes=('background', 'circle')), 2, 2, 'values'),
    'label maps in colours, without a file': (
        maps(mapping=lambda v: np.stack([v * 80, v * 20, v], -1).astype(np.uint8), classes=()),
        0,
        0,
        'colours',
    ),
    'label maps as JPEGs': (
        maps(
            lambda f: [
                Image.fromarray(
                    np.random.default_rng(0).integers(0, 255, (96, 128, 3)).astype(np.uint8)
                ).save(p)
                for p in (f / 'masks').iterdir()
            ],
            classes=(),
        ),
        2,
        2,
        'colours',
    ),
    'image without a label map': (
        maps(lambda f: (f / 'masks' / 'photo-a.png').unlink()),
        0,
        0,
        'photo-a.png',
    ),
    'label maps of one value': (maps(mapping=lambda v: v * 0), 2, 1, ''),
}
CASES = {
    **{name: ('retinanet', *case) for name, case in BOXES.items()},
    **{name: ('pspnet', *case) for name, case in MAPS.items()},
}
# `predict` on such a folder names the first image and exits with 1; on every other one, with 0
UNPREDICTABLE = {'truncated JPEG', 'empty file', 'text called .png', 'dangling link'}


def call_words(command, head, folder, run):
    """The arguments of a command on such a folder."""
    words = [f'{head}_pit', '--data', folder, '--size', 64]
    return [*words, '--preflight', '--work-dir', run] if command == 'train' else words


def table():
    """A row for each case, as the test holds it."""
    yield '| input | train | check_data | predict | what train and check_data say contains |'
    yield '|---|---|---|---|---|'
    for name, (_, _, train, check, word) in CASES.items():
        yield f'| {name} | {train} | {check} | {int(name in UNPREDICTABLE)} | {word} |'


if __name__ == '__main__':
    print('\n'.join(table()))
