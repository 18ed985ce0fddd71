"""A dataset is built with the categories of its file, or an error says how they differ from its classes."""

import json
from functools import partial

import pytest
from mmdet.datasets import CocoDataset
from mmengine.dataset import ConcatDataset, RepeatDataset

from vitdense.data.dataset import build_dataset
from vitdense.errors import UserError

IMAGE = dict(id=1, file_name='1.jpg', width=20, height=10)
BOX = dict(id=1, image_id=1, category_id=2, bbox=[1, 1, 8, 8], area=64, iscrowd=0)


@pytest.fixture
def build(tmp_path):
    """A dataset of one image, with classes of one's own and a file with categories by their ids."""

    def build(classes, categories=None, text=None, wrap=lambda leaf: leaf):
        if text is None:
            listed = [dict(id=number, name=name) for number, name in categories]
            text = json.dumps(dict(images=[IMAGE], annotations=[BOX], categories=listed))
        (tmp_path / 'own.json').write_text(text)
        leaf = dict(type=CocoDataset, ann_file=str(tmp_path / 'own.json'), metainfo=dict(classes=classes))
        return build_dataset(wrap(dict(leaf, data_prefix=dict(img=str(tmp_path)), pipeline=[])))

    return build


def test_some_of_the_files_categories_in_its_order_are_the_classes(build):
    dataset = build(('dog', 'cow'), [(1, 'cat'), (2, 'dog'), (5, 'cow')])
    assert dataset.cat2label == {2: 0, 5: 1}
    assert 'COCOAPI' not in vars(dataset)  # it travels to the loading processes


@pytest.mark.parametrize(
    ('classes', 'categories', 'said'),
    [
        (('dog', 'cat'), [(1, 'cat'), (2, 'dog')], ['order', 'cat, dog']),
        (('cat', 'dog'), [(1, 'cat'), (2, 'dog'), (3, 'dog')], ['one name', 'dog']),
        (('kat', 'dog'), [(1, 'cat'), (2, 'dog')], ['1 of the 2 classes', "'kat'", "'cat'", 'cat, dog']),
        (('cat', 'kat'), [(1, 'cat'), (2, 'cat')], ['1 of the 2 classes', "'kat'"]),
    ],
)
@pytest.mark.parametrize(
    'wrap',
    [
        lambda leaf: leaf,
        lambda leaf: dict(type=RepeatDataset, dataset=leaf, times=2),
        lambda leaf: dict(type='mmengine.ConcatDataset', datasets=[leaf, leaf]),
    ],
    ids=['alone', 'repeated', 'joined'],
)
def test_other_classes_than_the_files_are_an_error_however_deep_the_dataset_lies(
    build, tmp_path, classes, categories, said, wrap
):
    with pytest.raises(UserError) as error:
        build(classes, categories, wrap=wrap)
    assert str(error.value).startswith(f'{tmp_path}/own.json: ')
    assert all(part in str(error.value) for part in [*said, 'metainfo.classes'])


def test_wrapped_datasets_are_repeated_and_joined(build):
    joined = partial(build, ('cat', 'dog'), [(1, 'cat'), (2, 'dog')])
    assert len(joined(wrap=lambda leaf: dict(type=RepeatDataset, dataset=leaf, times=3))) == 3
    assert len(joined(wrap=lambda leaf: dict(type=ConcatDataset, datasets=[leaf, leaf]))) == 2


@pytest.mark.parametrize(
    'text',
    ['', '{"images": [', '[1, 2]', '{"images": [], "annotations": []}', '{"categories": 3}', '\\ud800'],
)
def test_a_file_that_holds_no_annotations_is_named(build, tmp_path, text):
    with pytest.raises(UserError) as stop:
        build(('cat',), text=text)
    assert str(stop.value).startswith(f'{tmp_path}/own.json: ')
    assert 'check_data' in str(stop.value)


def test_a_file_without_images_is_a_dataset_of_none(build):
    with pytest.raises(UserError, match=r'own\.json: a dataset of no images'):
        build(('cat',), text='{"images": [], "annotations": [], "categories": [{"id": 1, "name": "cat"}]}')
