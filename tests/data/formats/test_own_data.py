"""`--data DIR`: one word trains on a folder, whatever its format, and the score is of its own classes."""

import json

import drawn_folders as drawn
import pytest
import torch
from mmengine.config import Config
from small import CONFIGS, workplace

from vitdense.data.own_data import read_own_data, use_own_data
from vitdense.data.own_schedule import Wanted

FORMATS = dict(
    coco=drawn.coco,
    yolo=drawn.yolo,
    polygons=lambda folder: drawn.yolo(folder, polygons=True),
    voc=drawn.voc,
    labelme=lambda folder: drawn.labelme(folder) if folder.mkdir() is None else None,
)
QUICK = ['--epochs', 2, '--batch', 2, '--size', 64]

pytestmark = pytest.mark.usefixtures('no_pictures')


def files(folder):
    return {path: path.read_bytes() for path in folder.rglob('*') if path.is_file()}


def test_five_formats_train_the_same_weights(call_tool, tmp_path):
    """Bit for bit after ten iterations, with the same lines, and nothing written into the folders."""
    found = {}
    config = workplace(tmp_path) / 'tiny.py'
    for name, make in FORMATS.items():
        folder, work_dir = tmp_path / name, tmp_path / 'runs' / name
        make(folder)
        before = files(folder)
        code, out, err = call_tool('train', config, '--data', folder, '--work-dir', work_dir, *QUICK)
        assert code == 0, err
        assert files(folder) == before
        weights = torch.load(work_dir / 'epoch_2.pth', weights_only=False)['state_dict']
        said = ('classes', 'labels', 'images', 'rate', 'maps')
        lines = [line for line in out.splitlines() if line.strip().startswith(said)]
        assert len(lines) >= len(said)
        assert '3: circle' in out
        assert 'bbox mAP' in out
        scores = json.loads((work_dir / 'annotations' / 'instances_val.json').read_text())
        assert [one['name'] for one in scores['categories']] == drawn.CLASSES
        found[name] = weights, lines
    (first, lines), *others = found.values()
    for weights, said in others:
        assert said == lines
        assert all(torch.equal(weights[key], first[key]) for key in first)


@pytest.mark.parametrize(
    ('config', 'make', 'score'),
    [
        pytest.param(
            'mask_rcnn_dualtoken_vit',
            lambda folder: drawn.yolo(folder, polygons=True),
            'segm mAP',
            marks=pytest.mark.nightly,
        ),
        ('pspnet_dualtoken_vit', drawn.label_maps, 'mIoU'),
        *(
            pytest.param(f'{head}_dualtoken_vit', drawn.label_maps, 'mIoU', marks=pytest.mark.nightly)
            for head in ('semantic_fpn', 'upernet')
        ),
    ],
)
def test_masks_and_label_maps_train(config, make, score, call_tool, tmp_path, monkeypatch):
    make(tmp_path / 'data')
    monkeypatch.chdir(tmp_path)
    options = ['--epochs', 1, '--batch', 5, '--size', 64, '--work-dir', tmp_path / 'run']
    code, out, err = call_tool('train', config, '--data', tmp_path / 'data', *options)
    assert code == 0, err
    assert score in out
    cfg = Config.fromfile(tmp_path / 'run' / f'{config}.py')
    classes = cfg.train_dataloader.dataset.metainfo['classes']
    assert list(classes) == (drawn.CLASSES if score == 'segm mAP' else ['background', *drawn.CLASSES])
    heads = cfg.model.roi_head.bbox_head if score == 'segm mAP' else cfg.model.decode_head
    assert heads.num_classes == len(classes)


def test_a_part_of_the_classes(call_tool, tmp_path):
    folder = drawn.voc(tmp_path / 'data')
    config = workplace(tmp_path) / 'tiny.py'
    options = ['--data', folder, '--work-dir', tmp_path / 'run', '--preflight', *QUICK]
    code, out, _ = call_tool('train', config, *options, '--classes', 'triangle,circle')
    assert code == 0
    whole = json.loads((tmp_path / 'run' / 'annotations' / 'instances_train.json').read_text())
    assert [one['name'] for one in whole['categories']] == ['triangle', 'circle']
    assert 'background now: square' in out
    code, _, err = call_tool('train', config, *options, '--classes', 'Triangle')
    assert code == 2
    assert 'circle, square, triangle' in err


@pytest.mark.parametrize(
    ('config', 'make', 'word'),
    [
        ('mask_rcnn_pit', drawn.voc, 'retinanet'),
        ('pspnet_pit', drawn.voc, 'retinanet'),
        ('retinanet_pit', drawn.label_maps, 'pspnet'),
    ],
)
def test_data_of_another_kind_than_the_config_names_one_that_fits(config, make, word, call_tool, tmp_path):
    make(tmp_path / 'data')
    code, _, err = call_tool('train', CONFIGS / f'{config}.py', '--data', tmp_path / 'data')
    assert code == 2
    assert word in err


@pytest.mark.parametrize('option', [['--epochs', 2], ['--classes', 'a'], ['--size', 64]])
def test_options_of_data_want_data(option, call_tool):
    code, _, err = call_tool('train', CONFIGS / 'retinanet_pit.py', *option)
    assert code == 2
    assert '--data' in err


def test_the_dumped_config_is_that_run(call_tool, tmp_path):
    config, folder = workplace(tmp_path) / 'tiny.py', drawn.voc(tmp_path / 'data')
    mine = tmp_path / 'mine.py'
    assert call_tool('train', config, '--data', folder, '--dump-config', mine, *QUICK)[0] == 0
    assert call_tool('train', config, '--data', folder, '--dump-config', mine, *QUICK)[0] == 2  # is there
    assert not (tmp_path / 'work_dirs').exists()
    code, out, err = call_tool('train', mine, '--work-dir', tmp_path / 'run', '--preflight')
    assert code == 0, err
    assert '3 classes (circle, square, triangle)' in out
    cfg = Config.fromfile(mine)
    assert cfg.train_cfg.max_epochs == 2
    assert cfg.train_dataloader.batch_size == 2
    assert 'from .tiny import *' in mine.read_text()


def test_check_data_exits_1_where_something_is_left_out(call_tool, tmp_path):
    config, folder = workplace(tmp_path) / 'tiny.py', drawn.yolo(tmp_path / 'data')
    assert call_tool('check_data', config, '--data', folder)[0] == 0
    file = folder / 'labels' / 'photo-a.txt'
    file.write_text(f'{file.read_text()}\n7 0.5 0.5 0.1 0.1')
    code, out, _ = call_tool('check_data', config, '--data', folder)
    assert code == 1
    assert 'labels/photo-a.txt: line 4' in out


def test_a_learning_rate_of_an_option_is_the_one_that_is_said(call_tool, tmp_path):
    config, folder = workplace(tmp_path) / 'tiny.py', drawn.yolo(tmp_path / 'data')
    words = ['--data', folder, *QUICK, '--work-dir', tmp_path / 'run', '--preflight']
    code, out, err = call_tool('train', config, *words, '--cfg-options', 'optim_wrapper.optimizer.lr=0.0123')
    assert code == 0, err
    said = [line for line in out.splitlines() if 'learning rate' in line]
    assert len(said) == 2  # of the schedule, of the optimizer
    assert all('0.0123' in line for line in said)


@pytest.mark.parametrize('rate', [None, 0.01])
@pytest.mark.parametrize('optimizer', ['AdamW', 'SGD'])
def test_heads_learn_quicker_than_a_pretrained_backbone_unless_a_rate_is_given(optimizer, rate, tmp_path):
    cfg = Config.fromfile(workplace(tmp_path) / 'tiny.py')
    cfg.optim_wrapper.optimizer.type = optimizer
    use_own_data(
        cfg, read_own_data([drawn.voc(tmp_path / 'data')], None), 64, Wanted(pretrained=True, rate=rate)
    )
    keys = cfg.optim_wrapper.get('paramwise_cfg', {}).get('custom_keys', {})
    assert ('head' in keys) == ('neck' in keys) == (optimizer == 'AdamW' and rate is None)


def test_a_run_goes_on_from_a_checkpoint_of_other_classes(call_tool, tmp_path):
    """With the rows of equal classes, frozen stages, and the learning rate of a pretrained backbone."""
    config, folder = workplace(tmp_path) / 'tiny.py', drawn.coco(tmp_path / 'data')
    first, second = tmp_path / 'first', tmp_path / 'second'
    options = ['--data', folder, *QUICK]
    assert call_tool('train', config, *options, '--work-dir', first, '--classes', 'square,triangle')[0] == 0
    more = ['--init', first / 'epoch_2.pth', '--freeze', 1, '--work-dir', second]
    code, out, err = call_tool('train', config, *options, *more)
    assert code == 0, err
    assert 'from scratch' not in out
    cfg = Config.fromfile(second / 'tiny.py')
    assert cfg.model.backbone.frozen_stages == 1
    rate = cfg.optim_wrapper.optimizer.lr  # of the backbone
    assert rate == pytest.approx(1e-4 * (2 / 16) ** 0.5)
    keys = cfg.optim_wrapper.paramwise_cfg.custom_keys
    assert keys['neck'].lr_mult == keys['head'].lr_mult == pytest.approx(6e-4 * (2 / 4) ** 0.5 / rate)
    before, after = (
        torch.load(run / 'epoch_2.pth', weights_only=False)['state_dict'] for run in (first, second)
    )
    stem = [
        key for key in before if key.startswith('backbone.stem') and 'running' not in key and 'num' not in key
    ]
    assert stem
    assert all(torch.equal(before[key], after[key]) for key in stem)


def test_a_resumed_run_has_the_schedule_and_the_data_of_its_start(call_tool, tmp_path):
    config, folder = workplace(tmp_path) / 'tiny.py', drawn.yolo(tmp_path / 'data')
    run = tmp_path / 'run'
    options = ['--data', folder, *QUICK, '--work-dir', run]
    assert call_tool('train', config, *options)[0] == 0
    code, out, err = call_tool('train', config, *options, '--resume', run / 'epoch_1.pth')
    assert code == 0, err
    assert 'from scratch' in out
    assert 'another config' not in out
    (folder / 'labels' / 'photo-a.txt').write_text('0 0.5 0.5 0.5 0.5')
    code, _, err = call_tool('train', config, *options, '--resume', run / 'epoch_1.pth')
    assert code == 2
    assert 'other annotations' in err


def test_what_is_left_out_is_counted_before_and_after(call_tool, tmp_path):
    config, folder = workplace(tmp_path) / 'tiny.py', drawn.coco(tmp_path / 'data')
    (folder / 'images' / 'photo-a.png').write_bytes(b'')
    whole = json.loads((folder / 'result.json').read_text())
    whole['annotations'][-1]['bbox'] = [0, 0, 0, 0]
    (folder / 'result.json').write_text(json.dumps(whole))
    options = ['--data', folder, '--size', 64, '--preflight', '--work-dir', tmp_path / 'run']
    code, out, err = call_tool('train', config, *options)
    assert code == 0, err
    assert 'data  11 of 12 images and 32 of 36 objects are used' in out
    (folder / 'images' / 'photo-a.png').unlink()
