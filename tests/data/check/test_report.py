"""Every case of every finding, on the terminal and as JSON; the page that names them."""

import json
import pkgutil
import re
from importlib import import_module
from pathlib import Path

import pytest

from vitdense.data import check
from vitdense.findings import Kind

ROOT = Path(__file__).parents[3]


@pytest.fixture
def damaged(coco):
    """Eight missing images and a warning."""
    for split, document in (('train', coco.train), ('val', coco.val)):
        document['images'] += [
            dict(document['images'][0], id=100 + number, file_name=f'{split}{number}.jpg')
            for number in range(4)
        ]
    coco.train['annotations'][0].update(area=0)
    return coco


def test_the_first_three_cases_come_from_every_split(damaged):
    lines = damaged.check().errors['missing images']
    assert [line.partition(',')[0] for line in lines[:3]] == [
        'train/train0.jpg',
        'val/val0.jpg',
        'train/train1.jpg',
    ]
    assert lines[3:] == ['and 5 more']


def test_all_shows_every_case(damaged):
    lines = damaged.check('--all').errors['missing images']
    assert sorted(line.partition(',')[0] for line in lines) == [
        f'{split}/{split}{number}.jpg' for split in ('train', 'val') for number in range(4)
    ]


def test_json_has_every_case_and_the_terminal_the_first(damaged):
    done = damaged.check('--json', 'report.json')
    assert done.code == 1
    assert len(done.errors['missing images']) == 4
    report = json.loads(Path('report.json').read_text())
    findings = report.pop('findings')
    assert report.pop('splits')[1] == dict(
        name='val', facts={'images': '7', 'annotations': '6', 'images without annotation': '4'}
    )
    assert report == dict(
        format='vitdense check_data 1', config='config.py', ready=False, errors=8, warnings=1
    )
    assert [finding['kind'] for finding in findings] == ['missing images'] * 8 + [
        'annotations that MMDetection leaves out'
    ]
    assert findings[4] == dict(
        kind='missing images',
        level='error',
        note='',
        split='val',
        where='val/val0.jpg, image 100',
        came='no such file',
        expected='a whole image',
    )
    assert findings[8]['level'] == 'warning'
    assert damaged.check('--json', 'report.json').code == 1  # written over by the next


def test_json_of_whole_data(coco):
    assert coco.check('--json', 'report.json').code == 0
    report = json.loads(Path('report.json').read_text())
    assert (report['ready'], report['errors'], report['warnings'], report['findings']) == (True, 0, 0, [])


@pytest.mark.parametrize('path', ['data/train.json', 'nowhere/report.json', 'data'])
def test_a_report_overwrites_nothing_else(coco, path):
    coco.check()
    before = (coco.data / 'train.json').read_text()
    done = coco.recheck('--json', path)
    assert (done.code, done.out) == (2, '')
    assert done.err.startswith(f'error: {path.removesuffix("/report.json")}: ')
    assert (coco.data / 'train.json').read_text() == before


def test_the_page_names_every_kind_of_finding_with_its_level():
    names = [f'{check.__name__}.{module.name}' for module in pkgutil.iter_modules(check.__path__)]
    kinds = {
        (value.name, value.level.value)
        for name in [*names, 'vitdense.data.lessons']
        for value in vars(import_module(name)).values()
        if isinstance(value, Kind)
    }
    page = (ROOT / 'docs' / 'check_data.md').read_text()
    rows = re.findall(r'^\| ([^|`]+?) \| (error|warning) \|', page, re.MULTILINE)
    assert len(rows) == len(set(rows))
    assert set(rows) == kinds
