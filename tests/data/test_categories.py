"""The classes of a config against the categories of a file, as a dataset is built and as it is checked."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmdet.datasets import CocoDataset

from vitdense.data.categories import CategoryDifferences, compare_categories
from vitdense.data.check import check_dataset
from vitdense.data.dataset import build_dataset
from vitdense.errors import UserError

NAMES = st.lists(st.sampled_from(['cat', 'Cat', 'dog', 'cow', 'tree']), max_size=5)


def differ(**changes):
    return CategoryDifferences(**dict(missing=[], repeated=[], reordered=None, extra=[]) | changes)


@pytest.mark.parametrize(
    ('classes', 'names', 'expected'),
    [
        (['cat', 'dog'], ['cat', 'dog'], differ()),
        (['cat', 'dog'], ['cat', 'tree', 'dog'], differ(extra=['tree'])),
        (['cat', 'tree'], ['cat', 'dog'], differ(missing=[('tree', '')], extra=['dog'])),
        (['cats', 'dog'], ['cat', 'dog'], differ(missing=[('cats', 'cat')], extra=['cat'])),
        (['CAT', 'dog'], ['Cat', 'dog'], differ(missing=[('CAT', 'Cat')], extra=['Cat'])),
        # a category that is another class is not the one that was meant
        (['cat', 'kat'], ['cat', 'dog'], differ(missing=[('kat', '')], extra=['dog'])),
        (['cat', 'dog'], ['dog', 'cat'], differ(reordered=(0, 'cat', 'dog'))),
        (['a', 'b', 'c'], ['a', 'tree', 'c', 'b'], differ(reordered=(1, 'b', 'c'), extra=['tree'])),
        (['cat', 'cow', 'dog'], ['dog', 'cat'], differ(missing=[('cow', '')], reordered=(0, 'cat', 'dog'))),
        (['cat', 'dog'], ['cat', 'dog', 'cat'], differ(repeated=['cat'])),
        (['cat'], ['tree', 'cat', 'tree'], differ(repeated=['tree'], extra=['tree'])),
        ([], [], differ()),
    ],
)
def test_missing_repeated_reordered_and_extra_categories_are_found(classes, names, expected):
    assert compare_categories(classes, names) == expected


@given(classes=NAMES.map(set).map(sorted).filter(bool), names=NAMES.filter(bool))
def test_a_dataset_is_refused_where_the_check_finds_an_error(tmp_path_factory, classes, names):
    """But for two categories of one name that is no class, of which the dataset reads nothing."""
    folder = tmp_path_factory.getbasetemp()
    image = dict(id=1, file_name='1.jpg', width=20, height=10)
    categories = [dict(id=number, name=name) for number, name in enumerate(names)]
    text = json.dumps(dict(images=[image], annotations=[], categories=categories))
    (folder / 'own.json').write_text(text)
    config = dict(
        type=CocoDataset,
        ann_file='own.json',
        data_root=str(folder),
        data_prefix=dict(img='nowhere'),  # no image is read
        metainfo=dict(classes=classes),
        pipeline=[],
        serialize_data=False,  # which collects garbage for 0.2 s
    )
    try:
        build_dataset(config)
        refused = ''
    except UserError as error:
        refused = str(error)
    cases = check_dataset('train', config, most=None).cases
    found = {kind.name: lines for kind, lines in cases.items()}
    differences = compare_categories(classes, names)
    matter = differences.missing or differences.reordered or set(differences.repeated) & set(classes)
    assert bool(refused) == bool(matter)
    assert len(found.get('classes without category', [])) == len(differences.missing)
    assert all(repr(name) in refused for name, _ in differences.missing)
    order = bool(differences.reordered and not differences.missing)
    assert ('categories in another order than the classes' in found) == order
    assert ('ids and names that occur twice' in found) == bool(differences.repeated)
