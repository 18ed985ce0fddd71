"""Dataset wrappers, MMEngine's and ours, give what they give in MMEngine's own runner."""

from types import SimpleNamespace

import pytest
from mmdet.engine.hooks import PipelineSwitchHook
from mmdet.utils import register_all_modules
from mmengine.registry import DATASETS, init_default_scope
from torch.utils.data import DataLoader

from vitdense.data import sample
from vitdense.data.dataset import build_dataset, classes_of, leaf_datasets
from vitdense.data.reproducible import SeededDataset
from vitdense.data.unreadable import SkipUnreadable
from vitdense.errors import UserError
from vitdense.show.preamble import _data


@pytest.fixture
def leaf():
    """The config of a small COCO dataset."""
    register_all_modules(init_default_scope=False)
    init_default_scope('mmdet')
    return dict(
        type='CocoDataset',
        data_root=f'{sample.root()}/coco/',
        ann_file='annotations/instances_val2017.json',
        data_prefix=dict(img='val2017/'),
        metainfo=dict(classes=sample.CLASSES),
        indices=6,
        pipeline=[dict(type='LoadImageFromFile'), dict(type='LoadAnnotations', with_bbox=True)],
    )


WRAPPERS = {
    'RepeatDataset': lambda leaf: dict(type='RepeatDataset', times=2, dataset=leaf),
    'ConcatDataset': lambda leaf: dict(type='ConcatDataset', datasets=[leaf, leaf]),
    'RepeatDataset of ConcatDataset': lambda leaf: dict(
        type='RepeatDataset', times=3, dataset=dict(type='ConcatDataset', datasets=[leaf, leaf])
    ),
    'ClassBalancedDataset': lambda leaf: dict(type='ClassBalancedDataset', oversample_thr=0.9, dataset=leaf),
    'MultiImageMixDataset': lambda leaf: dict(
        type='MultiImageMixDataset', dataset=leaf, pipeline=[dict(type='RandomFlip', prob=1.0)]
    ),
}


@pytest.mark.parametrize('name', WRAPPERS)
def test_a_wrapped_dataset_has_the_samples_of_mmengines_own_registry(leaf, name):
    config = WRAPPERS[name](leaf)
    ours, stock = build_dataset(config), DATASETS.build(config)
    assert type(ours) is type(stock)
    assert len(ours) == len(stock)
    for index in (0, len(stock) - 1):
        assert ours[index]['img_path'] == stock[index]['img_path']
        assert (ours[index]['img'] == stock[index]['img']).all()
    assert classes_of(ours) == list(sample.CLASSES)
    assert all(one.data_root == leaf['data_root'] for one in leaf_datasets(ours))
    line = _data(DataLoader(SeededDataset(SkipUnreadable(ours), 0)))
    assert line.startswith(f'{len(stock)} images, 5 classes ')
    assert line.endswith('/coco')


@pytest.mark.parametrize('name', WRAPPERS)
def test_a_leaf_inside_a_wrapper_is_checked(leaf, name):
    with pytest.raises(UserError, match="'lifeboy' \\(perhaps 'lifebuoy'\\)"):
        build_dataset(WRAPPERS[name](dict(leaf, metainfo=dict(classes=[*sample.CLASSES[:4], 'lifeboy']))))


def test_a_hook_that_writes_to_the_loaders_dataset_reaches_its_samples(leaf):
    inner = build_dataset(leaf)
    dataset = SeededDataset(SkipUnreadable(inner), seed=3)
    loader = DataLoader(dataset, collate_fn=list)
    hook = PipelineSwitchHook(switch_epoch=0, switch_pipeline=leaf['pipeline'][:1])
    hook.before_train_epoch(
        SimpleNamespace(epoch=0, train_dataloader=loader, logger=SimpleNamespace(info=print))
    )
    assert len(inner.pipeline.transforms) == 1
    assert 'gt_bboxes' not in dataset[0]
    assert dataset.seed == 3
    assert 'seed' not in vars(inner)
