"""The sample world is exact, the same everywhere, read by the real dataset classes, and safe to write."""

import hashlib
import json
import os
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest
import torch
from mmcv.transforms import LoadImageFromFile
from mmdet.datasets import CocoDataset
from mmdet.datasets.transforms import LoadAnnotations, PackDetInputs
from mmdet.evaluation import CocoMetric
from mmseg.datasets import BaseSegDataset
from mmseg.datasets.transforms import LoadAnnotations as LoadSegAnnotations
from mmseg.datasets.transforms import PackSegInputs
from mmseg.evaluation import IoUMetric
from pycocotools.coco import COCO

from vitdense.data import sample
from vitdense.data.sample import layout
from vitdense.data.sample.world import AWKWARD, draw_scene

SPLITS = ('train', 'val')
LONG = {'train': 'training', 'val': 'validation'}


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    """The sample world, written once into a cache of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('VITDENSE_CACHE', str(tmp_path_factory.mktemp('cache')))
        return sample.root()


@pytest.fixture(scope='module')
def coco(root):
    """The annotations of both splits, read by pycocotools."""
    return {s: COCO(str(root / f'coco/annotations/instances_{s}2017.json')) for s in SPLITS}


def pictures(root, split):
    """Every picture of a split with its label map, in order, RGB (H, W, 3) and (H, W), both uint8."""
    ade = root / 'ade' / 'ADEChallengeData2016'
    for number in range(1, sample.COUNTS[split] + 1):
        place = f'{LONG[split]}/ADE_{split}_{number:08d}.png'
        image = cv2.imread(str(ade / 'images' / place))[..., ::-1]
        yield image, cv2.imread(str(ade / 'annotations' / place), cv2.IMREAD_UNCHANGED)


# ---- the same everywhere -----------------------------------------------------------------------------------


def test_pixels_and_annotations_are_those_of_this_version(root):
    """If this fails because the world was changed on purpose: raise `VERSION`, then record the new digest."""
    digest = hashlib.sha256()
    for split in SPLITS:
        for image, labels in pictures(root, split):
            digest.update(repr(image.shape).encode() + image.tobytes() + labels.tobytes())
        digest.update((root / f'coco/annotations/instances_{split}2017.json').read_bytes())
    assert (sample.VERSION, digest.hexdigest()[:16]) == (2, 'e1fa5e030e1eca4a')


def test_a_scene_depends_on_its_split_and_index_alone():
    first, _, again = draw_scene('val', 5), draw_scene('val', 6), draw_scene('val', 5)
    assert np.array_equal(first.image, again.image)
    assert np.array_equal(first.labels, again.labels)
    assert first.things == again.things


def test_no_picture_comes_twice(root):
    seen = [image.tobytes() for split in SPLITS for image, _ in pictures(root, split)]
    assert len(set(seen)) == len(seen) == sum(sample.COUNTS.values())


# ---- exact -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize('split', SPLITS)
def test_files_are_laid_out_and_counted(root, coco, split):
    count = sample.COUNTS[split]
    assert count >= {'train': 300, 'val': 60}[split]
    assert len(coco[split].imgs) == count
    for folder in (
        f'coco/{split}2017',
        f'ade/ADEChallengeData2016/images/{LONG[split]}',
        f'ade/ADEChallengeData2016/annotations/{LONG[split]}',
    ):
        assert len(list((root / folder).glob('*.png'))) == count
    for image, (pixels, labels) in zip(coco[split].imgs.values(), pictures(root, split), strict=True):
        assert (image['height'], image['width']) == pixels.shape[:2] == labels.shape
        assert np.array_equal(
            cv2.imread(str(root / f'coco/{split}2017' / image['file_name'])), pixels[..., ::-1]
        )


def test_no_id_is_shared_between_the_splits(coco):
    assert not coco['train'].imgs.keys() & coco['val'].imgs.keys()
    assert tuple(c['name'] for c in coco['train'].dataset['categories']) == sample.CLASSES
    assert coco['train'].getCatIds() != list(range(1, len(sample.CLASSES) + 1))


@pytest.mark.parametrize('split', SPLITS)
def test_boxes_and_areas_are_those_of_the_masks(coco, split):
    for annotation in coco[split].anns.values():
        mask = coco[split].annToMask(annotation)
        y, x = np.nonzero(mask)
        left, top = x.min(), y.min()
        assert annotation['bbox'] == [left, top, x.max() + 1 - left, y.max() + 1 - top]
        assert annotation['area'] == mask.sum()
        if isinstance(annotation['segmentation'], list):
            assert annotation['area'] == sum(_area(polygon) for polygon in annotation['segmentation'])


def _area(polygon):
    """What the corners [x1, y1, x2, y2, …] of a polygon enclose, by the shoelace formula."""
    x, y = np.array(polygon).reshape(-1, 2).T
    return abs(x @ np.roll(y, 1) - y @ np.roll(x, 1)) / 2


@pytest.mark.parametrize('split', SPLITS)
def test_label_maps_are_those_of_the_masks(root, coco, split):
    grounds = len(sample.SEG_CLASSES) - len(sample.CLASSES)
    for image_id, (_, labels) in zip(coco[split].imgs, pictures(root, split), strict=True):
        assert labels.max() <= len(sample.SEG_CLASSES)
        covered = np.zeros(labels.shape, int)
        for annotation in coco[split].imgToAnns[image_id]:
            mask = coco[split].annToMask(annotation) > 0
            name = coco[split].cats[annotation['category_id']]['name']
            assert set(labels[mask]) <= {0, sample.SEG_CLASSES.index(name) + 1}
            covered += mask
        assert covered.max(initial=0) <= 1
        assert (labels[covered == 0] <= grounds).all()


def test_a_mask_with_parts_and_one_with_a_hole():
    mask = np.zeros((7, 9), np.uint8)
    mask[1:3, 1:4] = mask[3, 4] = mask[5:, 7:] = 1  # the first two touch at a corner
    polygons = layout.outline(mask)
    assert sum(_area(p) for p in polygons) == mask.sum()
    mask[1:6, 1:6] = 1
    mask[3, 3] = 0
    assert layout.outline(mask) is None


def test_awkward_cases_are_there_and_few(root, coco):
    train = coco['train']
    things = [a for a in train.anns.values() if not a['iscrowd']]
    sides = [(i['height'], i['width']) for i in train.imgs.values()]
    found = {
        'odd size': sum(s != (sample.SIZE, sample.SIZE) for s in sides),
        'cut': len({a['image_id'] for a in things if _touches_edge(a, train.imgs[a['image_id']])}),
        'border': sum((labels[:2] == 0).all() for _, labels in pictures(root, 'train')),
        'tiny': sum(max(a['bbox'][2:]) <= 8 for a in things),
        'crowd': sum(a['iscrowd'] for a in train.anns.values()),
        'empty': sum(not train.imgToAnns[i] for i in train.imgs),
    }
    assert found.keys() == AWKWARD.keys()
    for case, (every, _) in AWKWARD.items():
        assert 0.9 <= found[case] * every / len(train.imgs) <= 1.6, case
    assert all(96 <= side <= 160 for pair in sides for side in pair)
    assert sum(isinstance(a['segmentation'], dict) for a in things) >= 20
    assert sum(isinstance(a['segmentation'], list) and len(a['segmentation']) > 1 for a in things) >= 5


def _touches_edge(annotation, image):
    left, top, width, height = annotation['bbox']
    return left == 0 or top == 0 or left + width == image['width'] or top + height == image['height']


# ---- read and scored by the real thing ---------------------------------------------------------------------


def test_mmdet_reads_it_and_the_truth_scores_one(root):
    dataset = CocoDataset(
        data_root=str(root / 'coco'),
        ann_file='annotations/instances_val2017.json',
        data_prefix=dict(img='val2017/'),
        metainfo=dict(classes=sample.CLASSES),
        test_mode=True,
        pipeline=[
            dict(type=LoadImageFromFile),
            dict(type=LoadAnnotations, with_bbox=True, with_mask=True),
            dict(type=PackDetInputs),
        ],
    )
    assert len(dataset) == sample.COUNTS['val']
    metric = CocoMetric(str(root / 'coco/annotations/instances_val2017.json'), metric=['bbox', 'segm'])
    metric.dataset_meta = dataset.metainfo
    for item in dataset:
        truth = item['data_samples'].gt_instances
        assert item['inputs'].shape[1:] == item['data_samples'].ori_shape
        answer = dict(
            bboxes=truth.bboxes.tensor,
            labels=truth.labels,
            scores=torch.ones(len(truth)),
            masks=truth.masks.to_tensor(torch.bool, 'cpu'),
        )
        metric.process({}, [item['data_samples'].to_dict() | dict(pred_instances=answer)])
    scores = metric.evaluate(len(dataset))
    assert scores['coco/bbox_mAP'] == scores['coco/segm_mAP'] == 1


def test_mmseg_reads_it_and_the_truth_scores_a_hundred(root):
    dataset = BaseSegDataset(
        data_root=str(root / 'ade' / 'ADEChallengeData2016'),
        data_prefix=dict(img_path='images/validation', seg_map_path='annotations/validation'),
        img_suffix='.png',
        metainfo=dict(classes=sample.SEG_CLASSES, palette=sample.SEG_PALETTE),
        reduce_zero_label=True,
        pipeline=[dict(type=LoadImageFromFile), dict(type=LoadSegAnnotations), dict(type=PackSegInputs)],
    )
    assert len(dataset) == sample.COUNTS['val']
    metric = IoUMetric()
    metric.dataset_meta = dataset.metainfo
    ignored = 0
    for item in dataset:
        truth = item['data_samples'].gt_sem_seg.data
        ignored += int((truth == 255).sum())
        answer = dict(data=torch.where(truth == 255, 0, truth.long()))
        metric.process({}, [item['data_samples'].to_dict() | dict(pred_sem_seg=answer)])
    assert ignored > 0
    assert metric.evaluate(len(dataset))['mIoU'] == 100


# ---- safe to write -----------------------------------------------------------------------------------------

WRITER = """
from vitdense.data.sample import layout
layout.COUNTS = dict(train={train}, val=8)
print('ready', flush=True)
input()
print(layout.root())
"""


def _start_writer(cache, train):
    """A process that, at a line of input, writes a world of `train` training images and prints where."""
    environment = os.environ | dict(VITDENSE_CACHE=str(cache))
    command = [sys.executable, '-c', WRITER.format(train=train)]
    return subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    )


def _await_ready(writer):
    while (line := writer.stdout.readline()) != 'ready\n':
        assert line, 'the writer ended before it was ready'


def _assert_whole(folder, train):
    for split, count in dict(train=train, val=8).items():
        images = json.loads((folder / f'coco/annotations/instances_{split}2017.json').read_text())['images']
        assert len(images) == len(list((folder / f'coco/{split}2017').iterdir())) == count


def test_processes_that_write_at_once_leave_one_whole_folder(tmp_path):
    writers = [_start_writer(tmp_path, train=30) for _ in range(3)]
    for writer in writers:
        _await_ready(writer)
    for writer in writers:
        writer.stdin.write('go\n')
    reported = {writer.communicate(timeout=120)[0].strip() for writer in writers}
    assert [writer.returncode for writer in writers] == [0, 0, 0]
    assert reported == {str(tmp_path / f'sample-v{sample.VERSION}')}
    assert [path.name for path in tmp_path.iterdir()] == [f'sample-v{sample.VERSION}']
    _assert_whole(tmp_path / f'sample-v{sample.VERSION}', train=30)


def test_what_a_killed_process_leaves_is_not_taken_for_the_world(tmp_path, monkeypatch):
    writer = _start_writer(tmp_path, train=400)
    _await_ready(writer)
    writer.stdin.write('go\n')
    while not list(tmp_path.rglob('*.png')):
        assert writer.poll() is None
        time.sleep(0.01)
    writer.kill()
    writer.communicate()
    assert not (tmp_path / f'sample-v{sample.VERSION}').exists()
    monkeypatch.setenv('VITDENSE_CACHE', str(tmp_path))
    monkeypatch.setattr(layout, 'COUNTS', dict(train=12, val=8))
    _assert_whole(sample.root(), train=12)


def test_a_failed_write_leaves_nothing(tmp_path, monkeypatch):
    def fail(*_):
        raise RuntimeError('no pen')

    monkeypatch.setenv('VITDENSE_CACHE', str(tmp_path))
    monkeypatch.setattr(layout, 'draw_scene', fail)
    with pytest.raises(RuntimeError, match='no pen'):
        sample.root()
    assert not list(tmp_path.iterdir())


def test_a_cache_that_cannot_be_written_is_an_error_with_advice(tmp_path, monkeypatch):
    (tmp_path / 'file').touch()
    monkeypatch.setenv('VITDENSE_CACHE', str(tmp_path / 'file'))
    with pytest.raises(OSError, match='set VITDENSE_CACHE to a writable folder'):
        sample.root()


def test_the_cache_lies_where_the_environment_says(tmp_path, monkeypatch):
    name = f'sample-v{sample.VERSION}'
    expected = {
        'HOME': tmp_path / 'home/.cache/vitdense',
        'XDG_CACHE_HOME': tmp_path / 'xdg/vitdense',
        'VITDENSE_CACHE': tmp_path / 'own',
    }
    values = {'HOME': 'home', 'XDG_CACHE_HOME': 'xdg', 'VITDENSE_CACHE': 'own'}
    for variable in expected:
        monkeypatch.delenv(variable, raising=False)
    for variable, cache in expected.items():  # each goes before those above it
        (cache / name).mkdir(parents=True)
        monkeypatch.setenv(variable, str(tmp_path / values[variable]))
        assert sample.root() == cache / name
