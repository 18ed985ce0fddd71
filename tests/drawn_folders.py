"""The same drawn images and objects as a folder in each format, written from the formats' descriptions."""

import json

import numpy as np
from PIL import Image

CLASSES = ['circle', 'square', 'triangle']
COLOURS = [(220, 60, 50), (60, 180, 75), (50, 90, 220)]
SIZE = 96, 128  # H, W


def draw(seed, count=3):
    """An image (H, W, 3) and its objects: (label, polygon) of whole pixels."""
    rng = np.random.default_rng(seed)
    noise = rng.integers(90, 160, (12, 16, 3)).repeat(8, 0).repeat(8, 1)
    image = noise.astype(np.uint8)
    objects = []
    for place in range(count):
        label = int(rng.integers(3))
        side = int(rng.integers(16, 36))
        x, y = int(rng.integers(place * 42, place * 42 + 42 - side + 1)), int(rng.integers(0, SIZE[0] - side))
        image[y : y + side, x : x + side] = COLOURS[label]
        objects.append((label, [x, y, x + side, y, x + side, y + side, x, y + side]))
    return image, objects


def images(number=12):
    """Name, image and objects of each."""
    for i in range(number):
        yield f'photo-{chr(97 + i)}', *draw(i)


def save(image, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)


def box(polygon):
    xs, ys = polygon[::2], polygon[1::2]
    return min(xs), min(ys), max(xs), max(ys)


def coco(folder, split=None, number=12):
    annotations, entries = [], []
    for i, (name, image, objects) in enumerate(images(number)):
        save(image, folder / 'images' / f'{name}.png')
        entries.append(dict(id=f'x{i}', file_name=f'{name}.png', height=SIZE[0], width=SIZE[1]))
        for label, polygon in objects:
            left, top, right, bottom = box(polygon)
            annotations.append(
                dict(
                    id=len(annotations),
                    image_id=f'x{i}',
                    category_id=10 * label + 7,
                    bbox=[left, top, right - left, bottom - top],
                    segmentation=[polygon],
                )
            )
    categories = [dict(id=10 * label + 7, name=name) for label, name in enumerate(CLASSES)]
    whole = dict(images=entries, annotations=annotations, categories=categories)
    (folder / 'result.json').write_text(json.dumps(whole))
    return folder


def yolo(folder, polygons=False, number=12):
    height, width = SIZE
    for name, image, objects in images(number):
        save(image, folder / 'images' / f'{name}.png')
        lines = []
        for label, polygon in objects:
            left, top, right, bottom = box(polygon)
            numbers = [
                (left + right) / 2 / width,
                (top + bottom) / 2 / height,
                (right - left) / width,
                (bottom - top) / height,
            ]
            if polygons:
                numbers = [value / (height if i % 2 else width) for i, value in enumerate(polygon)]
            lines.append(' '.join(map(repr, [label, *numbers])))
        file = folder / 'labels' / f'{name}.txt'
        file.parent.mkdir(exist_ok=True)
        file.write_text('\n'.join(lines))
    (folder / 'data.yaml').write_text(f'path: .\ntrain: images\nval: images\nnames: {CLASSES}\n')
    return folder


def voc(folder, number=12):
    for name, image, objects in images(number):
        save(image, folder / 'JPEGImages' / f'{name}.png')
        parts = []
        for label, polygon in objects:
            left, top, right, bottom = box(
                polygon
            )  # pixels are counted from 1, and the last belongs to the box
            corners = dict(xmin=left + 1, ymin=top + 1, xmax=right, ymax=bottom)
            corners = ''.join(f'<{key}>{value}</{key}>' for key, value in corners.items())
            parts.append(f'<object><name>{CLASSES[label]}</name><bndbox>{corners}</bndbox></object>')
        size = f'<size><width>{SIZE[1]}</width><height>{SIZE[0]}</height><depth>3</depth></size>'
        file = folder / 'Annotations' / f'{name}.xml'
        file.parent.mkdir(exist_ok=True)
        text = f'<annotation><filename>{name}.png</filename>{size}{"".join(parts)}</annotation>'
        file.write_text(text)
    return folder


def labelme(folder, number=12):
    for name, image, objects in images(number):
        save(image, folder / f'{name}.png')
        shapes = [
            dict(
                label=CLASSES[label],
                points=np.reshape(polygon, (-1, 2)).tolist(),
                shape_type='polygon',
                group_id=None,
            )
            for label, polygon in objects
        ]
        whole = dict(shapes=shapes, imagePath=f'{name}.png', imageHeight=SIZE[0], imageWidth=SIZE[1])
        (folder / f'{name}.json').write_text(json.dumps(whole))
    return folder


def label_map(objects):
    """(H, W): 0 is background, k the class k − 1."""
    values = np.zeros(SIZE, np.uint8)
    for label, polygon in objects:
        left, top, right, bottom = box(polygon)
        values[top:bottom, left:right] = label + 1
    return values


def label_maps(folder, number=12, mapping=lambda values: values, classes=('background', *CLASSES)):
    for name, image, objects in images(number):
        save(image, folder / 'images' / f'{name}.png')
        save(mapping(label_map(objects)), folder / 'masks' / f'{name}.png')
    if classes:
        (folder / 'classes.txt').write_text('\n'.join(classes))
    return folder
