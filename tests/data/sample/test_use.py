"""`--sample` changes the data and the schedule of a config, and of its model only what is named here."""

from copy import deepcopy

import pytest
from mmengine.config import Config
from small import CONFIGS

from vitdense.data.sample import CLASSES, SEG_CLASSES, SIZE
from vitdense.data.sample.use import CROP, use_sample_data
from vitdense.errors import UserError


def test_a_dataset_inside_another_cannot_be_replaced():
    cfg = Config.fromfile(CONFIGS / 'retinanet_pit.py')
    cfg.train_dataloader.dataset = dict(type='RepeatDataset', dataset=cfg.train_dataloader.dataset, times=3)
    with pytest.raises(UserError, match=r'--sample: .*train_dataloader\.dataset is a RepeatDataset'):
        use_sample_data(cfg)
    cfg.train_dataloader = None
    with pytest.raises(UserError, match=r'--sample: .*train_dataloader\.dataset'):
        use_sample_data(cfg)


def flat(node, name=''):
    """Every leaf of a tree of dicts and lists by its place."""
    if isinstance(node, dict) or (isinstance(node, (list, tuple)) and any(isinstance(n, dict) for n in node)):
        for key, value in node.items() if isinstance(node, dict) else enumerate(node):
            yield from flat(value, f'{name}.{key}')
    else:
        yield name, node


@pytest.mark.parametrize(
    ('name', 'changed'),
    [
        ('retinanet_hatnet', {'.bbox_head.num_classes': len(CLASSES)}),
        (
            'mask_rcnn_pit',
            {
                '.roi_head.bbox_head.num_classes': len(CLASSES),
                '.roi_head.mask_head.num_classes': len(CLASSES),
                '.train_cfg.rcnn.sampler.num': 16,
            },
        ),
        (
            'deeplabv3_vvt',
            {
                '.data_preprocessor.size': (CROP, CROP),
                '.decode_head.num_classes': len(SEG_CLASSES),
                '.decode_head.loss_decode.class_weight': [0.2] * 4 + [1.0] * 5,
                '.auxiliary_head.num_classes': len(SEG_CLASSES),
                '.auxiliary_head.loss_decode.class_weight': [0.2] * 4 + [1.0] * 5,
            },
        ),
    ],
)
def test_of_the_model_only_this_changes(name, changed):
    cfg = Config.fromfile(CONFIGS / f'{name}.py')
    before = dict(flat(deepcopy(cfg.model)))
    use_sample_data(cfg)
    after = dict(flat(cfg.model))
    assert {key: after[key] for key in after if after[key] != before.get(key)} == changed
    assert before.keys() <= after.keys()


def test_a_segmentor_with_other_losses_and_without_a_second_head_is_taken_too():
    cfg = Config.fromfile(CONFIGS / 'pspnet_transcnn.py')
    del cfg.model['auxiliary_head']
    sigmoid = dict(type='CrossEntropyLoss', use_sigmoid=True, loss_weight=1.0)
    dice = dict(type='DiceLoss', loss_weight=3.0)
    cfg.model.decode_head.loss_decode = [sigmoid, dice, dict(type='mmseg.CrossEntropyLoss')]
    use_sample_data(cfg)
    first, second, third = cfg.model.decode_head.loss_decode
    assert (first, second) == (sigmoid, dice)
    assert len(third['class_weight']) == len(SEG_CLASSES)
    assert cfg.test_dataloader.dataset.pipeline[1].scale == (SIZE, SIZE)
