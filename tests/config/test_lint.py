"""Unknown keys are found and named with their place, and known ones are not."""

import random
from importlib.util import find_spec
from pathlib import Path

import pytest
from mmengine.config import Config
from small import CONFIGS

from vitdense.config.lint import _files, arguments, check_arguments
from vitdense.data.sample.use import use_sample_data
from vitdense.errors import UserError

LEAVES = sorted(CONFIGS.glob('*.py'))


@pytest.mark.parametrize('leaf', LEAVES, ids=lambda leaf: leaf.stem)
def test_our_configs_are_clean_also_on_the_sample_and_as_text(leaf, tmp_path):
    cfg = Config.fromfile(leaf)
    check_arguments(cfg)
    use_sample_data(cfg)
    check_arguments(cfg)
    if leaf in LEAVES[::5]:  # to dump takes long
        cfg.dump(tmp_path / leaf.name)
        check_arguments(Config.fromfile(tmp_path / leaf.name))


@pytest.mark.parametrize('count', [8, pytest.param(80, marks=pytest.mark.nightly)])
@pytest.mark.parametrize('library', ['mmdet', 'mmseg'])
def test_configs_that_the_libraries_ship_are_clean(library, count):
    """Except for what is wrong in them."""
    pytest.importorskip(f'{library}.models')
    folder = Path(find_spec(library).origin).parent / '.mim/configs'
    paths = sorted(path for path in folder.rglob('*.py') if '_base_' not in str(path))
    known = ('qdtrack', 'tood', 'v3det', 'cascade_rpn', 'maskformer')
    checked = 0
    for path in random.Random(3).sample(paths, count):
        try:
            cfg = Config.fromfile(path)
        except (ImportError, FileNotFoundError):  # of what is not installed
            continue
        if path.parent.name not in known:
            check_arguments(cfg)
            checked += 1
    assert checked > count / 2


MISSPELT = {
    'optim_wrapper.optimizer.update(weight_deacy=0.1)': (
        'optim_wrapper.optimizer: AdamW',
        'weight_deacy',
        'weight_decay',
    ),
    'train_dataloader.dataset.pipeline[0].update(to_float=True)': (
        'train_dataloader.dataset.pipeline.0: LoadImageFromFile',
        'to_float',
        'to_float32',
    ),
    'model.backbone.update(out_indexes=[1, 2, 3])': (
        'model.backbone: TransCNN',
        'out_indexes',
        'out_indices',
    ),
    'model.test_cfg.rcnn = dict(nms=1)\nmodel.train_cfg.assigner.update(pos_iou=0.5)': (
        'model.train_cfg.assigner: MaxIoUAssigner',
        'pos_iou',
        '',
    ),
    'default_hooks.checkpoint.update(intervall=2)': (
        'default_hooks.checkpoint: CheckpointHook',
        'intervall',
        'interval',
    ),
}


def own(tmp_path, lines):
    """A config of one's own, with lines added."""
    (tmp_path / 'configs').symlink_to(CONFIGS)
    file = tmp_path / 'own.py'
    file.write_text(
        'from mmengine.config import read_base\n'
        'with read_base():\n'
        '    from .configs.retinanet_transcnn import *\n'
        f'{lines}\n'
    )
    return Config.fromfile(file)


def unknown_key(tmp_path, line, dumped=False):
    """The only error of a config with a line added, which names the file."""
    cfg = own(tmp_path, line)
    if dumped:
        cfg.dump(tmp_path / 'text.py')
        cfg = Config.fromfile(tmp_path / 'text.py')
    with pytest.raises(UserError) as error:
        check_arguments(cfg)
    heading, complaint = str(error.value).splitlines()
    assert heading == f'{cfg.filename}: unknown keys:'
    assert f'(set in {cfg.filename}:' in complaint
    return complaint


@pytest.mark.parametrize('line', MISSPELT)
@pytest.mark.parametrize('dumped', [False, True], ids=['Python', 'text'])
def test_a_misspelt_argument_is_named_with_the_nearest_and_its_place(tmp_path, line, dumped):
    place, key, near = MISSPELT[line]
    said = unknown_key(tmp_path, line, dumped)
    assert said.startswith(f'  {place} has no argument {key!r}')
    assert near in said


@pytest.mark.parametrize(
    ('line', 'place', 'key', 'near'),
    [
        ('train_dataloader.batchsize = 4', 'train_dataloader', 'batchsize', 'batch_size'),
        ('randomness.sed = 1', 'randomness', 'sed', 'seed'),
        ('auto_scale_lr.base_batch = 4', 'auto_scale_lr', 'base_batch', 'base_batch_size'),
        ('env_cfg.cudnn_benchmrk = True', 'env_cfg', 'cudnn_benchmrk', 'cudnn_benchmark'),
        (
            'optim_wrapper.paramwise_cfg.norm_decay_mul = 0',
            'optim_wrapper.paramwise_cfg',
            'norm_decay_mul',
            'norm_decay_mult',
        ),
        (
            'optim_wrapper.clip_grad = dict(max_nrom=1)',
            'optim_wrapper.clip_grad',
            'max_nrom',
            'max_norm',
        ),
        ('param_schedular = []', 'param_schedular', '', 'param_scheduler'),
        ('defualt_hooks = dict()', 'defualt_hooks', '', 'default_hooks'),
        (
            'model.bbox_head.anchor_generator.scale_factor = 2',
            'model.bbox_head.anchor_generator',
            'scale_factor',
            '',
        ),
        ('model.bbox_head.anchor_generator.priority = 2', 'model.bbox_head.anchor_generator', 'priority', ''),
    ],
)
def test_a_misspelt_setting_that_no_class_takes_is_named_too(tmp_path, line, place, key, near):
    said = unknown_key(tmp_path, line)
    assert said.startswith(f'  {place}: ')
    assert key in said
    assert near in said


@pytest.mark.parametrize(
    'text',
    [
        'with read_base():\n    from mmdet.configs.retinanet import *\n',
        "_base_ = ['mmdet::retinanet/retinanet_r50_fpn_1x_coco.py', './not_there.py']\n",
        "_base_ = f'{HERE}/base.yaml'\n",
    ],
)
def test_a_base_that_is_no_file_beside_it_is_not_looked_through(tmp_path, text):
    (tmp_path / 'child.py').write_text(text)
    assert list(_files(tmp_path / 'child.py')) == [tmp_path / 'child.py']


def test_a_variable_of_a_configs_own_is_no_error(tmp_path):
    check_arguments(own(tmp_path, 'dataset_type = 1\nmy_scheduler = 2\nimage_size = (3, 4)'))


@pytest.mark.parametrize('parts', ['{}', '[{}]'])
def test_an_initialization_names_a_part(tmp_path, parts):
    part = parts.format("dict(type='Normal', name='retina_cls', std=0.01, bias_prob=0.01)")
    whole = f"dict(type='Normal', layer='Conv2d', std=0.01, override={part})"
    check_arguments(own(tmp_path, f'model.bbox_head.init_cfg = {whole}'))


def test_the_file_that_set_the_key_is_named(tmp_path):
    base, child = tmp_path / 'base.py', tmp_path / 'child.py'
    base.write_text("model = dict(type='vitdense.backbones.PiT', arch='ti',\n    paded=True)\n")
    child.write_text("_base_ = './base.py'\nmodel = dict(with_cp=True)\n")
    with pytest.raises(UserError, match=rf"'paded'.* padded\? \(set in {base}:2\)"):
        check_arguments(Config.fromfile(child))


class Own:
    def __init__(self, a, *, b=1):
        pass


class Hands(Own):
    def __init__(self, c, **words):
        super().__init__(**words)


class Open:
    def __init__(self, interval=1, **words):
        pass


def test_arguments_are_those_of_the_constructors_that_get_them():
    assert arguments(Own) == ({'a', 'b'}, False)
    assert arguments(Hands).names >= {'a', 'b', 'c'}
    assert not arguments(Hands).any
    assert arguments(lambda x, y=1: None) == ({'x', 'y'}, False)
    assert arguments(type('Nothing', (), {})) == (set(), False)


class Swallows(Own):
    def __init__(self, c, **words):
        super().__init__(c)


def test_a_constructor_that_keeps_its_keyword_arguments_takes_any():
    assert arguments(Swallows).any
    assert arguments(type('Below', (Swallows,), {})).any


def test_where_any_argument_is_taken_only_a_typo_is_an_error():
    takes = arguments(Open)
    assert takes.any
    assert takes.lacks('intervall')
    assert not takes.lacks('interval')
    assert not takes.lacks('other')
