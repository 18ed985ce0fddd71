"""The tool as a person starts it, on the configs there are, and on anything that a JSON file can hold."""

import copy
import io
import json
import os
import tempfile
from pathlib import Path

import cv2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmdet.datasets import CocoDataset
from mmengine.config import Config
from rich.console import Console
from small import CONFIGS
from small_data import CLASSES, coco_split, picture

from vitdense.data import sample
from vitdense.data.check import check_config, check_dataset
from vitdense.data.check.summary import print_summary
from vitdense.findings import Level


@pytest.mark.parametrize('name', ['mask_rcnn_transcnn', 'pspnet_transcnn'])
def test_the_sample_has_no_errors_and_no_warnings_but_of_its_images_without_objects(tool, name):
    done = tool(CONFIGS / f'{name}.py', '--sample', '--all')
    assert (done.code, done.err, done.errors) == (0, '', {})
    if name == 'pspnet_transcnn':
        assert not done.warnings
    else:
        [(kind, lines)] = done.warnings.items()
        assert kind == 'images that the training leaves out'
        assert str(len(lines)) == done.row('images without annotation')[0]
    assert done.row('images') == [str(sample.COUNTS[split]) for split in ('train', 'val')]


def test_data_elsewhere_are_named_on_the_command_line(tool, tmp_path):
    done = tool(CONFIGS / 'retinanet_transcnn.py', '--data-root', tmp_path / 'nowhere')
    assert (done.code, done.out) == (2, '')
    assert done.err.startswith('error: nowhere: ')
    assert '--data-root' in done.err
    done = tool(CONFIGS / 'retinanet_transcnn.py', '--data-root', sample.root() / 'coco')
    assert done.code == 1
    assert len(done.errors['classes without category']) == 4  # three and a count
    done = tool(CONFIGS / 'retinanet_transcnn.py', '--cfg-options', 'data_rot=x')
    assert (done.code, done.err.count('\n')) == (2, 1)


@pytest.mark.parametrize(
    ('change', 'said'),
    [
        (dict(type='CocoPanopticDatasets'), 'CocoPanopticDatasets'),
        (dict(type='XMLDataset'), 'XMLDataset'),
        (dict(metainfo=dict(classes=[])), 'metainfo'),
        (dict(data_prefix=dict(img_path='train')), 'data_prefix img'),
    ],
)
def test_a_dataset_that_cannot_be_checked_is_one_line(coco, tool, change, said):
    coco.check()
    with open('config.py', 'a') as config:
        config.write(f'train_dataloader["dataset"].update({change})\n')
    done = tool('config.py')
    assert done.code == 2
    assert done.err.startswith('error: the train dataset ')
    assert said in done.err
    assert done.err.count('\n') == 1


def test_datasets_inside_wrappers_are_checked(coco, tool):
    coco.check()
    with open('config.py', 'a') as config:
        config.write(
            'inner = train_dataloader["dataset"]\n'
            'both = dict(type="ConcatDataset", datasets=[inner, val_dataloader["dataset"]])\n'
            'train_dataloader["dataset"] = dict(type="RepeatDataset", times=2, dataset=both)\n'
        )
    done = tool('config.py')
    assert (done.code, done.errors) == (0, {})
    assert '┃ train 1 ┃ train 2 ┃ val ┃' in done.out
    assert len(done.warnings['images that are in two splits']) == 3


def test_a_terminal_shows_progress(coco):
    coco.check()
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=100)
    assert check_config(Config.fromfile('config.py'), console)
    assert 'train images' in stream.getvalue()
    assert '3/3' in stream.getvalue()


# ---- hostile files -----------------------------------------------------------------------------------------

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=6)
    | st.sampled_from([10**400, -(10**400), 2**31, 2**63, 2**64, 1e308, [[]], [{}], [[[]]], [[1] * 6, {}]])
    | st.sampled_from(['', '.', '..', '/', '\0', '\ud800', 'x' * 300, 'a.jpg'])
    | st.sampled_from(['0', '5', 'PPPPP1', '~', 'P' * 9, '0' * 99]),
    lambda children: (
        st.lists(children, max_size=6) | st.dictionaries(st.text(max_size=4), children, max_size=3)
    ),
    max_leaves=8,
)
WHOLE = coco_split(1, ['a.jpg', 'b.jpg'])


@st.composite
def damaged(draw):
    """The document of a whole folder, with anything in place of some of it."""
    whole = copy.deepcopy(WHOLE)
    for _ in range(draw(st.integers(1, 8))):
        node, key = whole, draw(st.sampled_from(['images', 'annotations', 'categories']))
        while node.get(key) if node is whole else node[key]:
            if not isinstance(node[key], (dict, list)) or draw(st.integers(0, 4)) == 0:
                break
            node = node[key]
            key = draw(st.sampled_from(list(node) if isinstance(node, dict) else range(len(node))))
        if isinstance(node, dict) and draw(st.integers(0, 4)) == 0:
            node.pop(key, None)
        else:
            node[key] = copy.deepcopy(draw(VALUES))
    return whole


@pytest.fixture(scope='module')
def folder():
    with tempfile.TemporaryDirectory() as folder:
        os.mkdir(f'{folder}/train')
        for image in WHOLE['images']:
            cv2.imwrite(f'{folder}/train/{image["file_name"]}', picture(image['id']))
        yield folder


def findings_of(folder, content):
    Path(folder, 'train.json').write_bytes(content)
    dataset = dict(
        type=CocoDataset,
        data_root=folder,
        ann_file='train.json',
        data_prefix=dict(img='train/'),
        metainfo=dict(classes=CLASSES),
        pipeline=[dict(type='LoadAnnotations', with_mask=True)],
        test_mode=True,
    )
    found = check_dataset('train', dataset)
    stream = io.StringIO()
    print_summary(Console(file=stream, width=160), [found])
    shown = stream.getvalue().encode().decode()
    assert all(c == '\n' or c.isprintable() for c in shown)
    return found


def test_the_document_has_no_errors_before_it_is_damaged(folder):
    found = findings_of(folder, json.dumps(WHOLE).encode())
    assert not any(kind.level is Level.ERROR for kind in found.counts)


@settings(max_examples=150)
@given(whole=damaged())
def test_no_annotation_file_breaks_the_check(folder, whole):
    findings_of(folder, json.dumps(whole).encode())


@settings(max_examples=60)
@given(whole=VALUES)
def test_other_json_is_an_error(folder, whole):
    assert any(kind.level is Level.ERROR for kind in findings_of(folder, json.dumps(whole).encode()).counts)


@settings(max_examples=60)
@given(content=st.binary(max_size=40))
def test_other_bytes_are_an_error(folder, content):
    assert any(kind.level is Level.ERROR for kind in findings_of(folder, content).counts)
