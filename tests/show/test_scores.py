"""Scores as tables: of everything, and of each class."""

import io
from types import SimpleNamespace

import pytest
import torch
from rich.console import Console

from vitdense.show.scores import ROWS, number, score_name, score_tables


def evaluator(**metric):
    return SimpleNamespace(metrics=[SimpleNamespace(**metric)])


def shown(metrics, found):
    stream = io.StringIO()
    console = Console(file=stream, width=120)
    for table in score_tables(metrics, found, 'test'):
        console.print(table)
    return stream.getvalue()


def rows(text):
    """The cells of each row of all tables."""
    return [
        [cell.strip() for cell in line.strip('│').split('│')] for line in text.splitlines() if '│' in line
    ]


def classes(**aps):
    return {name: dict(objects=7, detections=0 if ap == 0 else 3, AP=ap) for name, ap in aps.items()}


def test_a_class_that_is_not_found_has_a_row_that_says_so():
    metrics = {'coco/bbox_mAP': 0.25, 'coco/boat_precision': 0.5, 'coco/fish_precision': 0.0}
    text = shown(metrics, evaluator(per_class=dict(bbox=classes(boat=0.5, fish=0.0, cow=-1))))
    assert rows(text) == [
        ['bbox mAP', '0.250'],
        ['boat', '7', '3', '0.500'],
        ['fish', '7', '0', '0.000'],
        ['cow', '7', '3', '–'],
    ]
    assert 'precision' not in text


def test_of_boxes_and_masks_there_is_a_table_each():
    text = shown({'coco/bbox_mAP': 0.25}, evaluator(per_class=dict(bbox=classes(a=0.1), segm=classes(a=0.2))))
    assert rows(text)[1:] == [['a', '7', '3', '0.100'], ['a', '7', '3', '0.200']]
    assert text.index('bbox by class') < text.index('segm by class')


def test_scores_of_the_same_name_keep_the_prefixes_of_their_evaluators():
    metrics = {'all/bbox_mAP': 0.25, 'all/bbox_mAP_s': 0.1, 'strict/bbox_mAP': 0.5, 'mIoU': 0.75}
    kinds = [SimpleNamespace(prefix=name, per_class=dict(bbox=classes(a=0.1))) for name in ('all', 'strict')]
    text = shown(metrics, SimpleNamespace(metrics=kinds))
    names = ['all bbox mAP', 'bbox mAP s', 'strict bbox mAP', 'mIoU']
    assert [name for name, *_ in rows(text)] == [*names, 'a', 'a']
    assert text.index('all bbox by class') < text.index('strict bbox by class')


def test_of_many_classes_the_lowest_are_shown():
    aps = {f'class {index}': (index * 37 % 80) / 100 for index in range(80)}
    text = shown({'coco/bbox_mAP': 0.25}, evaluator(per_class=dict(bbox=classes(**aps))))
    found = [(name, ap) for name, _, _, ap in rows(text)[1:]]
    assert [ap for _, ap in found] == [f'{index / 100:.3f}' for index in range(ROWS)]
    assert found[0][0] == 'class 0'
    assert 'the lowest of 80 classes' in text


def test_an_evaluator_that_only_writes_says_where(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for kind in ('bbox', 'segm'):
        (tmp_path / f'mine.{kind}.json').touch()
    boxes = evaluator(format_only=True, outfile_prefix=str(tmp_path / 'mine'))
    assert (
        shown({}, boxes)
        == 'test: results in mine.bbox.json, mine.segm.json; no scores, because of format_only\n'
    )
    maps = evaluator(format_only=True, output_dir='maps')
    assert shown({}, maps) == 'test: results in maps; no scores, because of format_only\n'
    assert shown({}, evaluator()) == 'test: the evaluator returned no scores\n'


@pytest.mark.parametrize(
    ('name', 'said'),
    [
        ('coco/bbox_mAP_50', 'bbox mAP 50'),
        ('coco/big boat_precision', 'big boat AP'),
        ('mIoU', 'mIoU'),
        ('mine/precision', 'precision'),
        ('mine/truck/bus AP', 'truck/bus AP'),
    ],
)
def test_a_score_is_called_as_its_field_calls_it(name, said):
    assert score_name(name) == said


@pytest.mark.parametrize(
    ('value', 'text'),
    [
        (0.1234, '0.123'),
        (-1, '–'),
        (-1.0, '–'),
        (torch.tensor(0.5), '0.500'),
        (7, '7'),
        (float('nan'), 'nan'),
    ],
)
def test_a_number_has_three_decimals(value, text):
    assert number(value) == text


def test_shares_of_pixels_have_two_decimals():
    row = {'labelled %': 66.666, 'predicted %': 0.0, 'IoU': -1}
    text = shown({'mIoU': 28.88}, evaluator(per_class=dict(pixels=dict(sea=row))))
    assert rows(text) == [['mIoU', '28.880'], ['sea', '66.67', '0.00', '–']]
