"""A file becomes a model, or an error that says what to do."""

import warnings
from types import SimpleNamespace

import pytest
import torch
from small import Hostile, workplace

import vitdense
from vitdense.config.read import load_config
from vitdense.engine.checkpoints import description_of
from vitdense.errors import UserError
from vitdense.predict.load import ConfigWarning

CLASSES = ('cat', 'dog')


@pytest.fixture
def saved(models, tmp_path):
    """Writes a checkpoint as a training does, of the small detector with two classes."""
    workplace(tmp_path)
    cfg = load_config(tmp_path / 'tiny.py')
    cfg.model.bbox_head.num_classes = len(CLASSES)
    state = vitdense.predict.load._build(cfg, 'cpu').state_dict()

    def save(name='best_coco_bbox_mAP_epoch_1.pth', described=True, **state_changes):
        meta = dict(dataset_meta=dict(classes=CLASSES, palette=[(1, 2, 3), (4, 5, 6)]))
        if described:
            meta['vitdense'] = description_of(SimpleNamespace(cfg=cfg), {})
        path = tmp_path / 'run' / name
        path.parent.mkdir(exist_ok=True)
        torch.save(dict(meta=meta, state_dict=state | state_changes), path)
        return path

    return save


def test_a_checkpoint_alone_has_model_classes_and_colours(saved, photo):
    predictor = vitdense.load(saved())
    assert (predictor.classes, predictor.palette) == (CLASSES, ((1, 2, 3), (4, 5, 6)))
    assert predictor.name == 'tiny'
    assert {*predictor.predict(photo, score=0)[0].names} <= {*CLASSES}


def test_a_work_dir_has_its_best_checkpoint_or_its_newest(saved, tmp_path):
    saved('iter_4.pth')
    (tmp_path / 'run/last_checkpoint').write_text('iter_4.pth')
    assert vitdense.load(tmp_path / 'run').classes == CLASSES
    saved(described=False)
    with pytest.raises(UserError, match='best_coco_bbox_mAP_epoch_1'):
        vitdense.load(tmp_path / 'run')


def test_a_checkpoint_without_a_description_needs_its_config(saved, tmp_path):
    file = saved(described=False)
    with pytest.raises(UserError, match='give the config'):
        vitdense.load(file)
    with pytest.raises(UserError, match=r'another model.*differ in shape'):
        vitdense.load(file, config=tmp_path / 'tiny.py')  # of 80 classes
    own = (tmp_path / 'tiny.py').read_text() + '\nmodel.bbox_head.update(num_classes=2)\n'
    (tmp_path / 'own.py').write_text(own)
    assert vitdense.load(file, config=tmp_path / 'own.py').classes == CLASSES


def test_a_config_beside_a_description_is_compared(saved, tmp_path):
    file = saved()
    own = (tmp_path / 'tiny.py').read_text() + '\nmodel.bbox_head.update(num_classes=2)\n'
    (tmp_path / 'own.py').write_text(own)
    with warnings.catch_warnings():
        warnings.simplefilter('error', ConfigWarning)
        vitdense.load(file, config=tmp_path / 'own.py')
    (tmp_path / 'own.py').write_text(own + 'model.test_cfg.update(max_per_img=7)\n')
    with pytest.warns(ConfigWarning, match=r'model\.test_cfg\.max_per_img is 7, was 100'):
        vitdense.load(file, config=tmp_path / 'own.py')


def test_weights_load_whole_or_not_at_all(saved):
    with pytest.raises(UserError, match=r'1 are unknown \(such as other\)'):
        vitdense.load(saved(other=torch.ones(1)))


def test_what_is_no_checkpoint_of_ours_is_an_error(tmp_path):
    marker = tmp_path / 'executed'
    torch.save(dict(state_dict={}, meta=Hostile(marker)), tmp_path / 'hostile.pth')
    torch.save(dict(model=torch.nn.Linear(2, 2).state_dict()), tmp_path / 'other.pt')
    torch.save(torch.ones(3), tmp_path / 'tensor.pth')
    (tmp_path / 'text.pth').write_text('hello')
    (tmp_path / 'empty').mkdir()
    for name, said in (
        ('hostile.pth', 'refused to load'),
        ('other.pt', 'give the config'),
        ('tensor.pth', 'not a checkpoint'),
        ('text.pth', 'not a checkpoint'),
        ('empty', 'no checkpoint in this folder'),
        ('nowhere.pth', 'no such checkpoint'),
        ('model.onnx', 'no such file'),
        ('nowhere.py', 'no such config'),
    ):
        with pytest.raises(UserError, match=said):
            vitdense.load(tmp_path / name)
    assert not marker.exists()
