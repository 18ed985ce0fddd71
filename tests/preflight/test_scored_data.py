"""A score is of what it claims to be: checkpoint, data and evaluator agree, or the test does not start."""

import json
import re
from types import SimpleNamespace

import pytest
import torch
from small import workplace

from vitdense.data import sample
from vitdense.preflight.data import other_names

ROOT = sample.root() / 'coco'
FILE = ROOT / 'annotations/instances_val2017.json'
OTHER_FILE = 'for evaluator in (val_evaluator, test_evaluator):\n    evaluator.ann_file = {!r}\n'
COCO = f"""'''The small detector on the sample's files, without the sample's schedule.'''
from mmengine.config import read_base
with read_base():
    from .tiny import *
classes = {sample.CLASSES}
for loader in (train_dataloader, val_dataloader, test_dataloader):
    loader.dataset.update(data_root={str(ROOT)!r}, metainfo=dict(classes=classes))
    loader.dataset.pipeline[1 if loader is not train_dataloader else 2].scale = (128, 128)
    loader.batch_size = 2
for evaluator in (val_evaluator, test_evaluator):
    evaluator.ann_file = {str(FILE)!r}
model.bbox_head.num_classes = len(classes)
test_dataloader.dataset.indices = val_dataloader.dataset.indices = None
"""


@pytest.fixture
def place(call_tool, tmp_path, monkeypatch, no_pictures):
    """The small config, to test its checkpoint or to check its training: exit code, output, error output."""
    workplace(tmp_path)
    monkeypatch.chdir(tmp_path)

    class Place:
        def saved(self, classes=sample.CLASSES):
            """A checkpoint of the config, which says that it was trained on these classes."""
            from mmengine.config import Config
            from mmengine.registry import MODELS, DefaultScope

            (tmp_path / 'coco.py').write_text(COCO)
            with DefaultScope.overwrite_default_scope('mmdet'):
                state = MODELS.build(Config.fromfile('coco.py').model).state_dict()
            torch.save(dict(meta=dict(dataset_meta=dict(classes=classes)), state_dict=state), 'x.pth')

        def test(self, added=''):
            (tmp_path / 'coco.py').write_text(COCO + added)
            return call_tool('test', 'coco.py', 'x.pth')

        def check(self, added=''):
            (tmp_path / 'coco.py').write_text(COCO + added)
            return call_tool('train', 'coco.py', '--preflight')

        def changed(self, change, name='other.json'):
            """The evaluator's file, changed."""
            whole = json.loads(FILE.read_text())
            change(whole)
            (tmp_path / name).write_text(json.dumps(whole))
            return OTHER_FILE.format(name)

    return Place()


def lines(out, label):
    return re.findall(rf'^ *{label}  (.*)$', out, re.MULTILINE)


def test_a_sound_test_says_how_many_images_are_scored(place):
    place.saved()
    code, out, err = place.test()
    assert (code, err) == (0, '')
    assert lines(out, 'scored') == ['80 images of 80 loaded']
    assert 'warning' not in out
    assert out.index(' log ') < out.index(' scored ')  # the run's own lines come first


@pytest.mark.parametrize(
    ('classes', 'outcome'),
    [
        (('fish', 'boat', *sample.CLASSES[2:]), 2),
        (sample.CLASSES[:4], 2),
        (('a', 'b', 'c', 'd', 'e'), 2),
        (('ship', *sample.CLASSES[1:]), 0),
        (tuple(name.title() for name in sample.CLASSES), 0),
    ],
    ids=['another order', 'fewer', 'others', 'one renamed', 'capital letters'],
)
def test_a_checkpoint_of_other_classes_is_an_error_and_of_other_names_a_warning(place, classes, outcome):
    place.saved(classes)
    code, out, err = place.test()
    assert code == outcome
    said = err if outcome else '\n'.join(lines(out, 'classes'))
    assert re.search(f'{classes[0]}, {classes[1]}.*{sample.CLASSES[0]}, {sample.CLASSES[1]}', said)


def test_a_checkpoint_without_names_is_a_warning(place):
    place.saved()
    torch.save(torch.load('x.pth')['state_dict'], 'x.pth')
    code, out, _ = place.test()
    assert (code, len(lines(out, 'classes'))) == (0, 1)


def test_images_that_drop_last_leaves_out_are_named(place):
    place.saved()
    code, out, _ = place.test('test_dataloader.update(batch_size=64, drop_last=True)\n')
    assert code == 0
    warned, scored = lines(out, 'scored')
    assert ('16 images' in warned, scored) == (True, '64 images of 80 loaded')


def renamed(whole):
    for image in whole['images'][:3]:
        image['file_name'] = f'other_{image["file_name"]}'


def shifted(whole):
    """The ids of other images, as in the annotation file of another split."""
    names = [image['file_name'] for image in whole['images']]
    for image, name in zip(whole['images'], [*names[1:], names[0]], strict=True):
        image['file_name'] = name


def renumbered(whole):
    for image in whole['images'][:5]:
        image['id'] += 10**6
    numbers = {image['id'] for image in whole['images']}
    whole['annotations'] = [one for one in whole['annotations'] if one['image_id'] in numbers]


def reordered(whole):
    whole['categories'].reverse()


def lacking(whole):
    del whole['categories'][0]


@pytest.mark.parametrize(
    ('change', 'numbers'),
    [
        (renamed, '3 of 80 images'),
        (shifted, '80 of 80 images'),
        (renumbered, '5 of the 80 images'),
        (reordered, "label 0 is 'boat' in the data and 'lifebuoy' there"),
        (lacking, "no category for 'boat'"),
    ],
)
def test_an_evaluator_with_the_file_of_other_data_is_an_error_in_test_and_training(place, change, numbers):
    place.saved()
    added = place.changed(change)
    for code, _, err in (place.test(added), place.check(added)):
        assert (code, numbers in err) == (2, True)


def moved(whole):
    for one in whole['annotations']:
        if one['image_id'] == whole['images'][0]['id']:
            one['bbox'][0] += 2
    assert any(one['image_id'] == whole['images'][0]['id'] for one in whole['annotations'])


def longer(whole):
    whole['images'] += [dict(image, id=image['id'] + 10**6) for image in whole['images'][:7]]


@pytest.mark.parametrize(('change', 'numbers'), [(moved, '1 of 80 images'), (longer, '7 of the 87 images')])
def test_other_objects_or_images_that_are_not_loaded_are_warnings(place, change, numbers):
    place.saved()
    code, out, _ = place.test(place.changed(change))
    assert code == 0
    assert numbers in lines(out, 'scored')[0]


def test_objects_without_outline_are_found_in_every_split_before_the_run(place, tmp_path):
    whole = json.loads(FILE.read_text())
    taken = whole['annotations'][-1]
    del taken['segmentation']
    (tmp_path / 'part.json').write_text(json.dumps(whole))
    name = next(image['file_name'] for image in whole['images'] if image['id'] == taken['image_id'])
    masks = f'val_dataloader.dataset.ann_file = {str(tmp_path / "part.json")!r}\n'
    masks += 'val_dataloader.dataset.pipeline[2].with_mask = True\n' + OTHER_FILE.format('part.json')
    code, _, err = place.check(masks)
    assert (code, '1 validation image' in err, name in err) == (2, True, True)


def test_a_validation_that_would_fail_is_found_before_the_run(place):
    code, _, err = place.check("val_evaluator.metric = ['bbox', 'segm']\n")  # of a detector without masks
    assert (code, 'the first validation fails' in err, 'Traceback' in err) == (2, True, False)


EARLY = "custom_hooks = [dict(type='EarlyStoppingHook', monitor='{}', rule='greater')]\n"
PLATEAU = (
    'from mmengine.optim import ReduceOnPlateauLR\n'
    "param_scheduler = [dict(type=ReduceOnPlateauLR, monitor='{}', rule='greater', by_epoch=True)]\n"
)
BEST = "default_hooks.checkpoint.update(save_best='{}', rule='greater')\n"


@pytest.mark.parametrize('added', [EARLY, PLATEAU, BEST], ids=['early stopping', 'plateau', 'best'])
@pytest.mark.parametrize(('name', 'code'), [('coco/bbox_mAP_50', 0), ('coco/bbox_map', 2)])
def test_what_waits_for_a_score_that_no_validation_has_stops_the_run(place, added, name, code):
    outcome, _, err = place.check(added.format(name))
    assert outcome == code
    assert ("is 'coco/bbox_map', a validation has coco/bbox_mAP, " in err) == bool(code)


def test_a_checkpoint_hook_that_counts_epochs_in_a_run_of_iterations_is_a_warning(place):
    loop = (
        'from mmengine.runner import IterBasedTrainLoop\n'
        'train_cfg = dict(type=IterBasedTrainLoop, max_iters=40, val_interval=20)\n'
        'default_hooks.checkpoint.update(by_epoch={}, interval=20)\n'
    )
    for by_epoch, warnings in ((True, 1), (False, 0)):
        code, out, _ = place.check(loop.format(by_epoch))
        assert (code, len(lines(out, 'saved'))) == (0, warnings)


def test_objects_of_another_name_than_the_classes_are_told(tmp_path):
    """MMDetection's VOC dataset leaves them out."""
    from mmdet.datasets import XMLDataset

    box = '<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>5</xmax><ymax>5</ymax></bndbox>'
    objects = ''.join(f'<object><name>{name}</name>{box}</object>' for name in ('red', 'blue', 'Blue'))
    for folder in ('Annotations', 'JPEGImages'):
        (tmp_path / folder).mkdir()
    (tmp_path / 'Annotations/a.xml').write_text(
        f'<annotation><size><width>9</width><height>9</height></size>{objects}</annotation>'
    )
    (tmp_path / 'all.txt').write_text('a\n')
    dataset = XMLDataset(
        data_root=str(tmp_path),
        ann_file='all.txt',
        data_prefix=dict(sub_data_root=''),
        metainfo=dict(classes=('red', 'Blue')),
    )
    (found,) = other_names(SimpleNamespace(train_dataloader=SimpleNamespace(dataset=dataset)))
    assert found.text == "objects whose name is no class are background: 1 'blue' (is 'Blue' meant?)"


def test_a_missing_image_of_the_validation_is_told_without_advice_that_does_not_help(place, tmp_path):
    whole = json.loads(FILE.read_text())
    whole['images'][0]['file_name'] = 'nowhere.jpg'
    (tmp_path / 'part.json').write_text(json.dumps(whole))
    added = f'val_dataloader.dataset.ann_file = {str(tmp_path / "part.json")!r}\n'
    code, _, err = place.check(added + OTHER_FILE.format('part.json'))
    assert (code, 'nowhere.jpg' in err) == (2, True)
    assert 'skips up to' not in err


def test_the_trial_leaves_the_evaluator_as_it_was(place, monkeypatch):
    from vitdense.preflight import flight

    seen = []

    def last(runner):
        metric = runner.val_loop.evaluator.metrics[0]
        seen.append((metric.results, metric.img_ids))
        return iter(())

    monkeypatch.setattr(flight, 'CHECKS', [*flight.CHECKS, last])
    assert place.check()[0] == 0
    assert seen == [([], None)]


@pytest.mark.parametrize('file', ['', 'val_evaluator.ann_file = None'], ids=['a file', 'no file'])
def test_parts_of_the_validation_that_share_ids_are_an_error(place, file):
    added = f"""{file}
from mmdet.datasets import ConcatDataset
one = val_dataloader.dataset
val_dataloader.dataset = dict(type=ConcatDataset, datasets=[one, one])
"""
    code, _, err = place.check(added)
    assert (code, '80 of the 160 images' in err) == (2, True)


def test_parts_of_the_training_with_other_classes_are_an_error(place, tmp_path):
    def reverse(whole):
        whole['categories'].reverse()

    place.changed(reverse)
    added = f"""
from mmdet.datasets import ConcatDataset
one = train_dataloader.dataset
other = dict(one, ann_file={str(tmp_path / 'other.json')!r}, data_prefix=dict(img='val2017/'))
other['metainfo'] = dict(classes=classes[::-1])
train_dataloader.dataset = dict(type=ConcatDataset, datasets=[one, other])
"""
    code, _, err = place.check(added)
    assert (code, 'part 2 ' in err) == (2, True)
