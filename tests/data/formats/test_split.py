"""Which images validate: by content, some of every class, and never one that the training has seen."""

import random
import shutil
from dataclasses import replace

import drawn_folders as drawn
import numpy as np
import pytest
from PIL import Image

from vitdense.data.formats.find import read_folder
from vitdense.data.formats.records import Record
from vitdense.data.formats.split import SHARE, alike, look_of, split


def names(found):
    return {name: {record.image.name for record in records} for name, records in found.splits.items()}


def groups_of(records):
    return alike(records, {record.image: look_of(record.image) for record in records})


def contents(found):
    return {name: {record.image.read_bytes() for record in records} for name, records in found.splits.items()}


def test_the_split_is_of_the_content_alone(tmp_path):
    """The same images under other names, in another format."""
    found = read_folder(drawn.coco(tmp_path / 'one', number=30))
    drawn.voc(tmp_path / 'other', number=30)
    order = random.Random(0).sample(range(30), 30)
    for number, name in zip(order, [name for name, *_ in drawn.images(30)], strict=True):
        for folder, suffix in (('JPEGImages', '.png'), ('Annotations', '.xml')):
            (tmp_path / 'other' / folder / f'{name}{suffix}').rename(
                tmp_path / 'other' / folder / f'again-{number}{suffix}'
            )
    again = read_folder(tmp_path / 'other')
    split(found)
    split(again)
    assert contents(found) == contents(again)
    assert names(found)['train'].isdisjoint(names(found)['val'])
    assert 0.1 <= len(found.splits['val']) / 30 <= 0.2


def test_every_class_validates_also_a_rare_one(tmp_path):
    found = read_folder(drawn.coco(tmp_path, number=40))
    found.classes.append('rare')
    for record in found.records[5], found.records[17]:
        record.instances[0] = replace(record.instances[0], label=3)
    split(found)
    for records in found.splits.values():
        assert {one.label for record in records for one in record.instances} == {0, 1, 2, 3}
    assert len(found.splits['val']) <= 2 * SHARE * 40


def test_copies_and_frames_of_a_clip_stay_together(tmp_path):
    folder = drawn.coco(tmp_path, number=12)
    image = Image.open(folder / 'images' / 'photo-a.png')
    for number in range(2):  # the same bytes, and the same picture
        shutil.copy(folder / 'images' / 'photo-a.png', folder / 'images' / f'photo-{"bc"[number]}.png')
    image.save(folder / 'images' / 'photo-d.png', compress_level=1)
    groups = groups_of(read_folder(folder).records)
    assert sorted(len(group) for group in groups) == [1] * 8 + [4]

    clip = tmp_path / 'clip'
    clip.mkdir()
    rng = np.random.default_rng(0)
    scene = Image.fromarray(rng.integers(0, 255, (12, 16, 3), np.uint8)).resize(
        (680, 480), Image.Resampling.BICUBIC
    )
    records = []
    for frame in range(6):
        path = clip / f'frame_{frame:04}.png'
        scene.crop((4 * frame, 0, 640 + 4 * frame, 480)).save(path)
        records.append(Record(path, (480, 640)))
    other = clip / 'frame_0006.png'  # the next number, of another scene
    Image.fromarray(drawn.draw(3)[0]).save(other)
    records.append(Record(other, (96, 128)))
    assert sorted(len(group) for group in groups_of(records)) == [1, 6]


def test_given_splits_stay_and_what_they_share_is_named(tmp_path):
    folder = drawn.yolo(tmp_path, number=8)
    for kind, suffix in (('images', 'png'), ('labels', 'txt')):
        for split_name, letters in (('train', 'abcdef'), ('val', 'gh')):
            (folder / kind / split_name).mkdir()
            for letter in letters:
                file = f'photo-{letter}.{suffix}'
                (folder / kind / file).rename(folder / kind / split_name / file)
    shutil.copy(folder / 'images' / 'train' / 'photo-a.png', folder / 'images' / 'val' / 'photo-z.png')
    (folder / 'data.yaml').write_text(f'train: images/train\nval: images/val\nnames: {drawn.CLASSES}\n')
    found = read_folder(folder)
    split(found)
    assert {name: len(records) for name, records in found.splits.items()} == dict(train=6, val=3)
    assert [problem.where for problem in found.problems] == ['val: photo-z.png']


@pytest.mark.parametrize('number', [1, 2, 3])
def test_few_images(number, tmp_path):
    found = read_folder(drawn.coco(tmp_path, number=number))
    split(found)
    assert sum(map(len, found.splits.values())) == number
    assert found.splits['train']
    assert bool(found.splits['val']) == (number > 1)
