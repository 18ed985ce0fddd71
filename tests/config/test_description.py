"""A checkpoint says what its model is, and nothing that it says executes more than the libraries' models."""

import pytest
import torch
from mmengine.registry import MODELS
from small import workplace

from vitdense.config.bundled import config_names
from vitdense.config.description import (
    VERSION,
    Undescribable,
    changed_from,
    check_types,
    describe,
    described_config,
)
from vitdense.config.read import load_config
from vitdense.data.sample.use import use_sample_data
from vitdense.errors import UserError


def contents(config, **changes):
    return dict(meta=dict(vitdense=dict(version=VERSION, name='own', config=config) | changes))


def without_files(node):
    """Without the entries that name other weights."""
    if isinstance(node, dict):
        return {
            key: without_files(value) for key, value in node.items() if key not in ('init_cfg', 'pretrained')
        }
    return type(node)(map(without_files, node)) if isinstance(node, (list, tuple)) else node


@pytest.mark.parametrize('name', config_names())
def test_every_config_is_described_and_is_the_same_again(name):
    cfg = load_config(name)
    use_sample_data(cfg)
    entries = describe(cfg)
    again = described_config(contents(entries), 'best.pth')
    assert changed_from(contents(entries)['meta'], again) == []
    kept = ('model', 'test_dataloader', 'test_evaluator', 'optim_wrapper')
    assert {key: without_files(describe(again)[key]) for key in kept} == {
        key: without_files(entries[key]) for key in kept
    }
    assert again.filename == 'own.py'
    check_types(again)


def test_what_is_described_is_plain(tmp_path):
    workplace(tmp_path)
    cfg = load_config(tmp_path / 'tiny.py')

    def kinds(node):
        if isinstance(node, dict):
            return set().union({type(node)}, map(type, node), *map(kinds, node.values()))
        if isinstance(node, (list, tuple)):
            return set().union({type(node)}, *map(kinds, node))
        return {type(node)}

    assert kinds(describe(cfg)) <= {dict, list, tuple, str, int, float, bool, type(None)}
    torch.save(contents(describe(cfg)), tmp_path / 'file.pth')
    assert torch.load(tmp_path / 'file.pth', weights_only=True) == contents(describe(cfg))
    cfg.model.test_cfg.score_thr = torch.ones(1)
    with pytest.raises(Undescribable, match=r'model\.test_cfg\.score_thr is a Tensor'):
        describe(cfg)


HOSTILE = [
    'os.system',
    'builtins.exec',
    'subprocess.Popen',
    'torch.hub.load',
    'torch.load',
    'torch.nn.functional.linear',  # no class
    'timm.create_model',
    'mmengine.utils.package_utils.call_command',
    'mmengine.Config.fromfile',
    'mmengine.runner.Runner',  # registered, but builds anything
    'mmcv.cnn.rfsearch.RFSearchHook',  # evaluates its arguments
    'RFSearchHook',
    'mmdet.models.task_modules.tracking.camera_motion_compensation.CameraMotionCompensation',
    "__import__('os').system('true')",  # MMCV evaluates the name of an nms
    'os',
    '',
    7,
    ['TransCNN'],
]


@pytest.mark.parametrize('kind', HOSTILE, ids=repr)
def test_a_hostile_type_is_refused_wherever_it_is(kind, monkeypatch):
    monkeypatch.setattr('os.system', lambda *words: pytest.fail('was executed'))
    monkeypatch.setattr('subprocess.Popen', lambda *words, **more: pytest.fail('was executed'))
    for place in (
        dict(backbone=dict(type=kind)),
        dict(test_cfg=dict(nms=dict(type=kind))),
        dict(a=[[dict(type=kind)]]),
    ):
        cfg = described_config(contents(dict(model=place, default_scope='mmdet')), 'file.pth')
        with pytest.raises(UserError, match='no class of vitdense'):
            check_types(cfg)


@pytest.mark.parametrize(
    'part',
    [
        dict(loss_decode=dict(class_weight='weights.pkl')),
        dict(loss_decode=dict(class_weight='http://host/weights')),
        dict(teacher_config='folder/evil.py'),
        dict(pipeline=[dict(decode_backend='pickle')]),
        dict(dataset=dict(proposal_file='proposals.pkl')),
        dict(dataset=dict(ann_file='annotations.pkl')),
        dict(dataset=dict(data_root='http://host/data/')),
        dict(dataset=dict(extra_ann_file='more.json')),
        dict(dataset=dict(metainfo=dict(classes='/etc/passwd'))),
        dict(file='..\\file'),
    ],
    ids=str,
)
def test_a_text_that_may_be_a_file_that_is_run_is_refused(part):
    for entries in (dict(model=part), dict(model={}, test_dataloader=part)):
        cfg = described_config(contents(entries), 'file.pth')
        with pytest.raises(UserError, match='may be a file'):
            check_types(cfg)


def test_a_registered_class_of_another_package_is_refused():
    class Own(torch.nn.Module):
        pass

    MODELS.register_module(name='OwnOfATest', module=Own)
    try:
        cfg = described_config(contents(dict(model=dict(type='OwnOfATest'))), 'file.pth')
        with pytest.raises(UserError, match='OwnOfATest'):
            check_types(cfg)
    finally:
        MODELS.module_dict.pop('OwnOfATest')


@pytest.mark.parametrize('scope', ['os', 'torch', 'mmpretrain'])
def test_another_scope_is_refused(scope):
    for entries in (dict(model={}, default_scope=scope), dict(model=dict(backbone=dict(_scope_=scope)))):
        with pytest.raises(UserError, match=scope):
            check_types(described_config(contents(entries), 'file.pth'))


@pytest.mark.parametrize(
    ('checkpoint', 'said'),
    [
        ({}, 'give the config'),
        (dict(meta=7), 'give the config'),
        (dict(meta=dict(vitdense='x')), 'give the config'),
        (contents(None, undescribed='model is a Thing'), r'model is a Thing.*give the config'),
        (contents({}, version=99), '99'),
        (contents([]), 'damaged'),
        (contents(dict(model=7)), 'damaged'),
        (contents(dict(model=dict(type=torch.ones(1)))), 'damaged'),
    ],
)
def test_without_a_description_the_error_says_what_to_do(checkpoint, said):
    with pytest.raises(UserError, match=rf'^file\.pth: .*{said}'):
        described_config(checkpoint, 'file.pth')


def test_what_a_description_imports_is_not_imported(monkeypatch):
    entries = dict(
        model={}, custom_imports=dict(imports=['a_module_of_the_test']), load_from='x', work_dir='/'
    )
    monkeypatch.setattr(
        'mmengine.utils.import_modules_from_strings', lambda *words: pytest.fail('was imported')
    )
    cfg = described_config(contents(entries), 'file.pth')
    assert 'custom_imports' not in describe(cfg)


def test_what_a_description_would_read_and_write_elsewhere_is_dropped():
    elsewhere = dict(type='Pretrained', checkpoint='/etc/passwd')
    entries = dict(
        model=dict(type='RetinaNet', init_cfg=elsewhere, pretrained='x', backbone=dict(init_cfg=elsewhere)),
        default_hooks=dict(
            logger=dict(type='LoggerHook', out_dir='/', interval=5), x=dict(type='ProfilerHook')
        ),
        custom_hooks=[dict(type='EMAHook')],
        visualizer=dict(type='Visualizer', save_dir='/'),
        test_evaluator=[dict(type='DumpResults', out_file_path='/x.pkl'), dict(outfile_prefix='/x')],
    )
    cfg = described_config(contents(entries), 'file.pth')
    assert cfg.to_dict() == dict(
        model=dict(type='RetinaNet', backbone={}),
        default_hooks=dict(logger=dict(type='LoggerHook', interval=5)),
        test_evaluator=[dict(type='DumpResults'), {}],
    )
