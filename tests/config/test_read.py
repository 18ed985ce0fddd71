"""Entries that are overwritten exist, and data that is read is there; an error names what does exist."""

import copy

import pytest
from mmengine.config import Config
from small import CONFIGS, NEWER_MMENGINE

from vitdense.config.lint import check_arguments
from vitdense.config.read import load_config, overwrite, point_data_at, refuse_unsupported, require_data
from vitdense.config.settings import LOADERS
from vitdense.errors import UserError

LEAF = CONFIGS / 'retinanet_transcnn.py'


@pytest.fixture(scope='module')
def dumped(tmp_path_factory):
    """A config's text."""
    file = tmp_path_factory.mktemp('text') / 'dumped.py'
    load_config(str(LEAF)).dump(file)
    return file


@pytest.fixture(params=['a Python-style config', 'its dumped text'])
def cfg(request):
    return load_config(str(LEAF if 'Python' in request.param else request.getfixturevalue('dumped')))


# ---- reading ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('name', 'text', 'expected'),
    [
        ('broken.py', 'model = dict(', 'never closed'),
        ('failing.py', 'model = dict(lr=1 / 0)', 'ZeroDivisionError'),
        ('notes.md', '# notes', ''),
        ('data.py', 'data = 1', '`model`'),
    ],
)
def test_a_file_that_is_no_config_is_an_error(tmp_path, name, text, expected):
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=f'^{tmp_path / name}: .*{expected}'):
        load_config(str(tmp_path / name))


def test_a_misspelt_config_is_answered_with_the_nearest_ones(tmp_path):
    for name in ('retinanet_pit.py', 'mask_rcnn_pit.py', 'unlike.py'):
        (tmp_path / name).touch()
    with pytest.raises(UserError, match=r' retinanet_pit\.py, mask_rcnn_pit\.py$'):
        load_config(str(tmp_path / 'retinanet_pitt.py'))
    with pytest.raises(UserError, match=r' mask_rcnn_pit\.py, retinanet_pit\.py, unlike\.py$'):
        load_config(str(tmp_path / 'zzz.cfg'))


# ---- overwriting ------------------------------------------------------------------------------------------


def test_entries_are_overwritten_by_their_dotted_names_lists_by_position(cfg):
    overwrite(cfg, {'train_cfg.max_epochs': 3, 'param_scheduler.1.gamma': 0.5, 'randomness.seed': 7})
    assert cfg.train_cfg.max_epochs == 3
    assert [scheduler.get('gamma') for scheduler in cfg.param_scheduler] == [None, 0.5]
    assert cfg.randomness.seed == 7


@pytest.mark.parametrize(
    'name',
    [
        'model.backbone.with_cp',  # an argument of TransCNN
        'model.backbone.init_cfg.type',
        'model.neck.upsample_cfg',
        'model.bbox_head.init_cfg',  # which RetinaHead hands on
        'train_dataloader.pin_memory',  # of PyTorch's loader
        'train_dataloader.dataset.indices',  # of the base of CocoDataset
        'optim_wrapper.clip_grad',
        'optim_wrapper.optimizer.betas',  # of AdamW
        'train_cfg.val_begin',
        'custom_hooks',  # of the runner
        'find_unused_parameters',  # which the runner reads
    ],
)
def test_an_argument_that_the_config_leaves_at_its_default_can_be_set(cfg, name):
    *walked, last = name.split('.')
    overwrite(cfg, {name: 'value'})
    for part in walked:
        cfg = cfg[part]
    assert cfg[last] == 'value'


CUSTOM = 'optim_wrapper.paramwise_cfg.custom_keys'


def test_the_multipliers_of_a_parameter_are_set_by_a_part_of_its_name(cfg):
    overwrite(cfg, {f'{CUSTOM}.neck.lr_mult': 0.1, f'{CUSTOM}.stem.norm.decay_mult': 0})
    overwrite(cfg, {f'{CUSTOM}.stem.norm.lr_mult': 2})
    keys = cfg.optim_wrapper.paramwise_cfg.custom_keys
    assert keys == {'neck': dict(lr_mult=0.1), 'stem.norm': dict(decay_mult=0, lr_mult=2)}


@pytest.mark.parametrize('rest', ['neck.lr_mul', 'neck', 'lr_mult', 'stem.norm.weight'])
def test_a_custom_key_without_a_multiplier_is_an_error(cfg, rest):
    with pytest.raises(UserError, match=rf'^--cfg-options {CUSTOM}\.{rest}: .*lr_mult or decay_mult'):
        overwrite(cfg, {f'{CUSTOM}.{rest}': 0.1})


def test_a_segmentor_can_be_set_to_slide():
    cfg = load_config(str(CONFIGS / 'pspnet_pit.py'))
    overwrite(cfg, {'model.test_cfg.mode': 'slide', 'model.test_cfg.crop_size': (512, 512)})
    overwrite(cfg, {'model.test_cfg.stride': (341, 341)})
    assert cfg.model.test_cfg == dict(mode='slide', crop_size=(512, 512), stride=(341, 341))
    with pytest.raises(UserError, match=r"'strid'; .*stride"):
        overwrite(cfg, {'model.test_cfg.strid': 341})


@pytest.mark.parametrize(
    ('name', 'expected'),
    [
        ('model.backbon.arch', "model has no 'backbon'; .*backbone"),
        ('model.backbone.with_pc', "model.backbone has no 'with_pc'; .*with_cp"),
        ('train_dataloader.num_worker', "train_dataloader has no 'num_worker'; .*num_workers"),
        ('optim_wrapper.optimizer.lrr', "optim_wrapper.optimizer has no 'lrr'; .*lr"),
        ('default_hooks.checkpoint.intervall', "has no 'intervall'; .*interval"),
        ('train_cfg.max_iters', "train_cfg has no 'max_iters'"),  # it counts epochs
        ('param_scheduler.2.gamma', "param_scheduler .*0 to 1, got '2'"),
        ('param_scheduler.last.gamma', "param_scheduler .*0 to 1, got 'last'"),
        ('model.backbone.arch.dims', "model.backbone.arch is 'tiny'"),
        ('qwertyuiop', "no 'qwertyuiop'$"),
    ],
)
def test_an_unknown_name_is_an_error_with_the_nearest_and_nothing_is_overwritten(cfg, name, expected):
    seed = cfg.randomness.seed
    with pytest.raises(UserError, match=f'^--cfg-options {name}: .*{expected}'):
        overwrite(cfg, {'randomness.seed': 7, name: 'value'})
    assert cfg.randomness.seed == seed != 7


def test_no_nearest_name_comes_twice(cfg):
    with pytest.raises(UserError) as error:
        overwrite(cfg, {'train_dataloader.batchsize': 1})
    near = str(error.value).split('did you mean ')[1].split(' or ')
    assert len(near) == len(set(near))


# ---- data -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize('root', ['/datasets/coco', '/datasets/coco/'])
def test_another_data_root_is_where_everything_is_read(cfg, root):
    point_data_at(cfg, root)
    for loader in LOADERS:
        assert cfg[loader].dataset.data_root == '/datasets/coco/'
    for split in ('val', 'test'):
        annotations = '/datasets/coco/annotations/instances_val2017.json'
        assert cfg[f'{split}_evaluator'].ann_file == annotations
    assert 'data/coco' not in cfg.pretty_text.replace('/datasets/coco', '')


def layout(root, *left_out):
    """COCO's folders and (empty) files."""
    for split in ('train', 'val'):
        for path in (f'annotations/instances_{split}2017.json', f'{split}2017/000000000001.jpg'):
            if not path.startswith(left_out):
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                (root / path).touch()


def test_data_in_cocos_layout_is_found(cfg, tmp_path):
    layout(tmp_path)
    point_data_at(cfg, str(tmp_path))
    require_data(cfg, LOADERS)


def test_missing_data_is_named_beside_what_is_there(cfg, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    layout(tmp_path / 'coco', 'train2017')
    point_data_at(cfg, 'coco')
    with pytest.raises(UserError) as error:
        require_data(cfg, LOADERS)
    heading, *found = [line.split() for line in str(error.value).splitlines()[:5]]
    assert f'{tmp_path}/coco.' in heading
    assert found == [
        ['found', 'coco/annotations/instances_train2017.json'],
        ['MISSING', 'coco/train2017/'],
        ['found', 'coco/annotations/instances_val2017.json'],
        ['found', 'coco/val2017/'],
    ]
    assert all(option in str(error.value) for option in ('--data-root', '--sample'))
    require_data(cfg, LOADERS[1:])  # nothing that testing reads is missing


WRAPPED = """
_base_ = 'mmdet::pascal_voc/retinanet_r50_fpn_1x_voc0712.py'
custom_imports = dict(imports=['vitdense'])
model = dict(
    backbone=dict(_delete_=True, type='TransCNN', arch='tiny'),
    neck=dict(in_channels=[64, 128, 256, 512]),
)
"""


@pytest.fixture
def voc(tmp_path):
    """A text config of one's own on MMDetection's: datasets in datasets, and classes by their names."""
    (tmp_path / 'own.py').write_text(WRAPPED)
    return load_config(str(tmp_path / 'own.py'))


def test_the_arguments_of_a_text_config_are_those_of_the_classes_that_it_names(voc):
    overwrite(voc, {'model.backbone.drop_path_rate': 0.2, 'val_dataloader.dataset.indices': 4})
    assert voc.model.backbone.drop_path_rate == 0.2
    with pytest.raises(UserError, match=r"'drop_path_rat'; .*drop_path_rate"):
        overwrite(voc, {'model.backbone.drop_path_rat': 0.2})
    check_arguments(voc)
    voc.model.backbone.drop_path_rat = 0.1
    with pytest.raises(UserError, match=r"TransCNN .*'drop_path_rat'; .*drop_path_rate"):
        check_arguments(voc)


def test_datasets_inside_others_are_pointed_at_their_data_and_looked_for(voc, tmp_path):
    point_data_at(voc, str(tmp_path / 'voc'))
    with pytest.raises(UserError) as error:
        require_data(voc, LOADERS)
    said = str(error.value)
    assert f'MISSING  {tmp_path}/voc/VOC2007/ImageSets/Main/trainval.txt' in said
    assert f'MISSING  {tmp_path}/voc/VOC2012/ImageSets/Main/trainval.txt' in said


def test_a_config_without_validation_is_pointed_at_its_data(cfg, tmp_path):
    cfg.val_dataloader = cfg.val_evaluator = None
    cfg.pop('data_root')
    point_data_at(cfg, str(tmp_path / 'mine'))
    with pytest.raises(UserError, match=f'{tmp_path}/mine'):
        require_data(cfg, LOADERS)


def test_data_in_two_folders_cannot_be_pointed_at_one(cfg):
    cfg.test_dataloader.dataset.data_root = 'other/'
    with pytest.raises(UserError, match=r'--data-root x: .* data/coco/, other/'):
        point_data_at(cfg, 'x')


def test_a_dataset_that_names_no_files_is_not_asked_for_any():
    require_data(Config(dict(train_dataloader=dict(dataset=dict(type='Numbers')))), LOADERS[:1])


@NEWER_MMENGINE
def test_an_import_in_a_config_is_no_entry_of_it(tmp_path):
    (tmp_path / 'mine.py').write_text(
        "import os\nmodel = dict(type='Line')\nroot = os.environ.get('NOWHERE', 'x')\n"
    )
    cfg = load_config(str(tmp_path / 'mine.py'))
    assert ('os' in cfg, cfg.root) == (False, 'x')
    copy.deepcopy(cfg)


@pytest.mark.parametrize(
    'base',
    [
        'mmseg::pspnet/pspnet_r50-d8_4xb2-40k_cityscapes-512x1024.py',
        'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py',
    ],
)
def test_a_base_of_an_installed_library_is_found_by_its_modules_name(tmp_path, base):
    (tmp_path / 'mine.py').write_text(f'_base_ = {base!r}\n')
    assert load_config(str(tmp_path / 'mine.py')).model.backbone.depth == 50


# ---- what is refused --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('change', 'sentence'),
    [
        (lambda cfg: cfg.update(runner_type='FlexibleRunner'), 'runner_type=FlexibleRunner: .* strategy'),
        (lambda cfg: cfg.optim_wrapper.update(type='DeepSpeedOptimWrapper'), 'DeepSpeedOptimWrapper: .*'),
        (lambda cfg: cfg.model.pop('backbone'), 'model.type=RetinaNet: has no backbone'),
        (lambda cfg: cfg.update(efficient_conv_bn_eval=['backbone.stem']), 'unlike TransCNN'),
    ],
)
def test_what_these_tools_cannot_run_is_refused(cfg, change, sentence):
    refuse_unsupported(cfg)
    change(cfg)
    with pytest.raises(UserError, match=sentence):
        refuse_unsupported(cfg)
