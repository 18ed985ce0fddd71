"""Small folders of data, whole until a test damages them, and the tool to check them."""

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import cv2
import pytest
from small_data import CLASSES, coco_split, labels, picture

COCO = """
default_scope = 'mmdet'
model = dict()
data_root = 'data/'
pipeline = [dict(type='LoadAnnotations', with_bbox=True, with_mask={masks})]
for split in ('train', 'val'):
    dataset = dict(
        type='CocoDataset',
        data_root=data_root,
        ann_file=split + '.json',
        data_prefix=dict(img=split + '/'),
        metainfo=dict(classes={classes}),
        test_mode=split == 'val',
        pipeline=pipeline,
    )
    dataset.update({more})
    globals()[split + '_dataloader'] = dict(dataset=dataset)
"""
ADE = """
default_scope = 'mmseg'
model = dict()
data_root = 'data/'
for split in ('training', 'validation'):
    dataset = dict(
        type='BaseSegDataset',
        data_root=data_root,
        data_prefix=dict(img_path='images/' + split, seg_map_path='annotations/' + split),
        metainfo=dict(classes={classes}),
        reduce_zero_label=True,
    )
    dataset.update({more})
    globals()[dict(training='train', validation='val')[split] + '_dataloader'] = dict(dataset=dataset)
"""


class Outcome(NamedTuple):
    code: int
    out: str
    err: str

    def found(self, word):
        """The cases of every kind of 'error' or 'warning': {kind: [line, …]}; counts must agree.

        Each case begins with its split, which is cut off; `and 4 more` is the last line of a kind.
        """
        kinds, kind = {}, None
        for line in self.out.splitlines():
            if head := re.fullmatch(r'(error|warning)  (.+?): (\d+)(?: \(.*\))?', line):
                kind = head[2]
                if head[1] == word:
                    kinds[kind] = (int(head[3]), [])
            elif line.startswith('    ') and kind in kinds:
                kinds[kind][1].append(line.strip())
        for kind, (count, lines) in kinds.items():
            more = re.fullmatch(r'and (\d+) more', lines[-1])
            assert count == (3 + int(more[1]) if more else len(lines)), kind
            cases = lines[: -1 if more else None]
            assert all(re.match(r'(train|val)( \d+)?: ', line) for line in cases), kind
            kinds[kind] = count, [line.partition(': ')[2] for line in cases] + lines[len(cases) :]
        return {kind: lines for kind, (_, lines) in kinds.items()}

    errors = property(lambda self: self.found('error'))
    warnings = property(lambda self: self.found('warning'))

    def row(self, label):
        """The cells of a row of the table."""
        cells = re.search(rf'^│ {label} +│(.*)│$', self.out, re.MULTILINE)[1]
        return [cell.strip() for cell in cells.split('│')]

    def only(self, kind):
        """Where and what, of each error, all of this kind: a line without what was expected."""
        assert (self.code, self.err) == (1, '')
        assert self.errors.keys() == {kind}
        return [line.partition('; expected ')[0] for line in self.errors[kind]]


@pytest.fixture
def tool(call_tool, tmp_path, monkeypatch):
    """The tool with its arguments, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return lambda *words: Outcome(*call_tool('check_data', *words))


@pytest.fixture
def coco(tmp_path, tool):
    """COCO's layout: documents to change, then `check()` with words of the command line and arguments of the
    datasets; images are under `data/train`, `data/val`.
    """
    splits = dict(
        train=coco_split(1, ['a.jpg', 'b.jpg', 'c.png']), val=coco_split(31, ['d.jpg', 'e.jpg', 'f.jpg'])
    )
    data = tmp_path / 'data'
    for split, document in splits.items():
        (data / split).mkdir(parents=True)
        for image in document['images']:
            cv2.imwrite(str(data / split / image['file_name']), picture(image['id']))

    def check(*words, masks=False, classes=CLASSES, **more):
        for split, document in splits.items():
            (data / f'{split}.json').write_text(json.dumps(document))
        return recheck(*words, masks=masks, classes=classes, **more)

    def recheck(*words, masks=False, classes=CLASSES, **more):
        Path('config.py').write_text(COCO.format(classes=classes, masks=masks, more=more))
        return tool('config.py', *words)

    return SimpleNamespace(data=data, check=check, recheck=recheck, **splits)


@pytest.fixture
def ade(tmp_path, tool):
    """ADE20K's layout, 3 training and 2 validation images, to damage before `check()`."""
    data = tmp_path / 'data'
    for split, names in dict(training='abc', validation='de').items():
        for folder in ('images', 'annotations'):
            (data / folder / split).mkdir(parents=True)
        for name in names:
            cv2.imwrite(str(data / 'images' / split / f'{name}.jpg'), picture(ord(name)))
            cv2.imwrite(str(data / 'annotations' / split / f'{name}.png'), labels())

    def check(classes=CLASSES, **more):
        Path('config.py').write_text(ADE.format(classes=classes, more=more))
        return tool('config.py')

    return SimpleNamespace(data=data, check=check)
