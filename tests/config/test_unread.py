"""A variable of a config that nothing reads is not set in vain."""

import random
from importlib.util import find_spec
from pathlib import Path

import pytest
from small import CONFIGS

from vitdense.config.read import load_config, overwrite
from vitdense.config.unread import check_variables
from vitdense.errors import UserError

RETINANET = 'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py'
PSPNET = 'mmseg::pspnet/pspnet_r50-d8_4xb2-40k_cityscapes-512x1024.py'


@pytest.fixture
def child(tmp_path):
    """A text config of one's own on a library's, with lines added."""

    def child(base, text='', name='mine.py'):
        (tmp_path / name).write_text(f'_base_ = {base!r}\n{text}')
        return load_config(str(tmp_path / name))

    return child


@pytest.mark.parametrize(
    ('base', 'option', 'places'),
    [
        (RETINANET, 'train_pipeline.2.scale', ['train_dataloader.dataset.pipeline.2.scale']),
        (
            RETINANET,
            'test_pipeline.1.scale',
            [f'{loader}_dataloader.dataset.pipeline.1.scale' for loader in ('val', 'test')],
        ),
        (PSPNET, 'optimizer.lr', ['optim_wrapper.optimizer.lr']),
        (
            PSPNET,
            'crop_size',
            ['model.data_preprocessor.size', 'train_dataloader.dataset.pipeline.3.crop_size'],
        ),
        (PSPNET, 'data_preprocessor.size', ['model.data_preprocessor.size']),
        ('retinanet_transcnn', 'train_pipeline.2.scale', ['train_dataloader.dataset.pipeline.2.scale']),
    ],
)
def test_an_option_for_a_variable_is_refused_and_told_where_it_is_read(child, base, option, places):
    cfg = child(base) if '::' in base else load_config(str(CONFIGS / f'{base}.py'))
    with pytest.raises(UserError) as error:
        overwrite(cfg, {option: 1})
    said, _, instead = str(error.value).partition('; set ')
    assert said.startswith(f'--cfg-options {option}: {option.split(".")[0]} ')
    assert sorted(instead.split(', ')) == sorted(places)


def test_an_option_for_a_variable_that_is_nowhere_is_refused_with_the_nearest_name(child):
    cfg = child(RETINANET, 'optim = dict(lr=1)\nqwertyuiop = 3\n')
    with pytest.raises(UserError, match=r'^--cfg-options optim\.lr: .*; did you mean optim_wrapper\?$'):
        overwrite(cfg, {'optim.lr': 2})
    with pytest.raises(UserError, match=r'^--cfg-options qwertyuiop: .* reads any more$'):
        overwrite(cfg, {'qwertyuiop': 2})


@pytest.mark.parametrize(
    ('base', 'text', 'place'),
    [
        (RETINANET, "train_pipeline = [dict(type='LoadImageFromFile')]", 'train_dataloader.dataset.pipeline'),
        (RETINANET, "data_root = 'mine/'", 'train_dataloader.dataset.data_root'),
        (PSPNET, 'optimizer = dict(lr=9)', 'optim_wrapper.optimizer'),
        (PSPNET, 'crop_size = (64, 64)', 'model.data_preprocessor.size'),
        (PSPNET, 'data_preprocessor = dict(size=(64, 64))', 'model.data_preprocessor'),
    ],
)
def test_a_variable_that_a_child_sets_without_what_its_base_made_of_it_is_an_error(child, base, text, place):
    variable = text.split(' ')[0]
    check_variables(child(base))
    with pytest.raises(UserError, match=rf'\n  .*mine\.py:2: {variable} .*{place}'):
        check_variables(child(base, text))
    child(base, text, 'between.py')
    with pytest.raises(UserError, match=rf'between\.py:2: {variable} '):
        check_variables(child('between.py', 'work_dir = "x"'))


@pytest.mark.parametrize(
    ('base', 'text'),
    [
        (RETINANET, 'train_pipeline = []\ntrain_dataloader = dict(dataset=dict(pipeline=train_pipeline))'),
        (RETINANET, "data_root = 'a/'\ntrain_dataloader = dict(dataset=dict(data_root='a/'))"),
        (PSPNET, 'optimizer = dict(lr=9)\noptim_wrapper = dict(optimizer=dict(lr=9))'),
        (PSPNET, 'crop_size = (64, 64)\nmodel = dict(data_preprocessor=dict(size=crop_size))'),
        (RETINANET, 'mine = [1, 2]'),
    ],
)
def test_a_variable_that_is_read_or_of_the_childs_own_is_no_error(child, base, text):
    check_variables(child(base, text))


def test_a_python_style_child_is_looked_at_too(tmp_path):
    (tmp_path / 'configs').symlink_to(CONFIGS)
    head = (
        'from mmengine.config import read_base\n'
        'with read_base():\n'
        '    from .configs.retinanet_transcnn import *\n'
    )
    for text, complaint in (
        ('', False),
        ('train_pipeline = [dict(type="LoadImageFromFile")]\n', True),
        ('train_pipeline = [dict(type="A")]\ntrain_dataloader.dataset.pipeline = train_pipeline\n', False),
    ):
        (tmp_path / 'mine.py').write_text(head + text)
        cfg = load_config(str(tmp_path / 'mine.py'))
        if complaint:
            with pytest.raises(UserError, match=r'mine\.py:4: train_pipeline .*train_dataloader'):
                check_variables(cfg)
        else:
            check_variables(cfg)


@pytest.mark.nightly
@pytest.mark.parametrize('library', ['mmdet', 'mmseg'])
def test_configs_that_the_libraries_ship_set_no_variable_in_vain(library):
    """Except for five, of 1,465."""
    folder = Path(find_spec(library).origin).parent / '.mim/configs'
    paths = sorted(path for path in folder.rglob('*.py') if '_base_' not in str(path))
    for path in random.Random(3).sample(paths, 30):
        if path.parent.name in ('bytetrack', 'strongsort') or 'levir' in path.name:
            continue
        try:
            cfg = load_config(str(path))
        except UserError:  # a fragment
            continue
        check_variables(cfg)
