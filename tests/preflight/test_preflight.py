"""What would end a run late, or well on nonsense, is found before its first iteration."""

import json
import re
from types import SimpleNamespace

import pytest
import torch
from small import ARCH, Hostile, workplace

from vitdense.data import sample
from vitdense.engine.precision import autocast_networks
from vitdense.errors import UserError
from vitdense.findings import Level
from vitdense.preflight import precision
from vitdense.preflight.precision import NOISE

SMALL = f"""'''Small enough for a test.'''
from mmengine.config import read_base
with read_base():
    from .configs.pspnet_transcnn import *
model.backbone.update(arch={ARCH})
model.decode_head.update(in_channels=[16, 24, 32], channels=16)
model.auxiliary_head.update(in_channels=24, channels=16)
for loader in (train_dataloader, val_dataloader, test_dataloader):
    loader.update(num_workers=0, persistent_workers=False)
"""
FILE = sample.root() / 'coco/annotations/instances_train2017.json'
COCO = f"""'''The small detector on five classes, outside the sample's schedule.'''
from mmengine.config import read_base
with read_base():
    from .tiny import *
data_root = {str(sample.root() / 'coco')!r}
metainfo = dict(classes={sample.CLASSES}, palette={sample.THING_PALETTE})
for loader in (train_dataloader, val_dataloader, test_dataloader):
    loader.dataset.update(data_root=data_root, metainfo=metainfo)
    loader.dataset.pipeline[1 if loader is not train_dataloader else 2].scale = (128, 128)
for evaluator in (val_evaluator, test_evaluator):
    evaluator.ann_file = data_root + '/annotations/instances_val2017.json'
model.bbox_head.num_classes = {len(sample.CLASSES)}
train_dataloader.batch_size = 16
"""


@pytest.fixture
def check(call_tool, tmp_path, monkeypatch, no_pictures):
    """`--preflight` on a config with lines added: exit code, output, error output."""
    workplace(tmp_path)
    (tmp_path / 'pspnet.py').write_text(SMALL)
    (tmp_path / 'coco.py').write_text(COCO)
    monkeypatch.chdir(tmp_path)

    def check(config, added='', *words):
        path = tmp_path / f'{config}.py'
        path.write_text(f'{path.read_text()}\n{added}\n')
        data = [] if config == 'coco' else ['--sample']
        return call_tool('train', path.name, '--preflight', *data, *words)

    return check


def findings(out):
    """The lines after the run's own, by their labels."""
    after = out.partition('      log  ')[2].splitlines()[1:]
    return dict(re.match(r' *(\w+)  (.*)', line).groups() for line in after)


def test_a_sound_run_passes_and_is_not_started(check, tmp_path):
    code, out, err = check('tiny')
    assert (code, err) == (0, '')
    found = findings(out)
    assert list(found) == ['filter', 'images', 'labels', 'maps', 'rate', 'scored', 'memory']
    assert re.fullmatch(
        r'in 32 samples: (\w+ \d\d?%, ){4}\w+ \d\d?%; \d\.\d% of objects ignored', found['labels']
    )
    assert all(name in found['labels'] for name in sample.CLASSES)
    train, val = re.findall(r'^ *images  (.*)$', out, re.MULTILINE)
    assert train == 'train 128 × 128 (H × W after the pipeline, 32 samples)'
    assert val == 'val 97 × 128 to 128 × 128 (H × W after the pipeline, 13 samples)'
    assert found['maps'] == '8 channels at 1/4, 16 channels at 1/8, 24 channels at 1/16, 32 channels at 1/32'
    assert re.fullmatch(r'about \d\.\d GiB for batch size 4, .* \d+\.\d GiB', found['memory'])
    assert not list(tmp_path.rglob('*.pth'))


def test_a_sound_segmentor_passes_too(check):
    code, out, err = check('pspnet')
    assert (code, err) == (0, '')
    assert re.search(r'in 32 samples: (\w+ \d+%, ){5}\d more; \d+\.\d% of pixels ignored', out)


def test_the_least_and_the_greatest_image_are_named(check):
    """The sample's first three are 128 × 128 but for the second, 134 × 97; the longer side becomes 128."""
    words = ['train_dataloader.dataset.indices=3', 'val_dataloader.batch_size=2']
    code, out, err = check('coco', 'train_dataloader.dataset.filter_cfg = None', '--cfg-options', *words)
    assert (code, err) == (0, '')
    train, val = re.findall(r'^ *images  (.*)$', out, re.MULTILINE)
    assert train == 'train 128 × 93 to 128 × 128 (H × W after the pipeline, 3 samples)'
    assert re.fullmatch(r'val \d+ × \d+ to 128 × 128 \(H × W after the pipeline, 13 samples\)', val)


def refused(outcome):
    code, _, err = outcome
    assert code == 2
    assert err.startswith('error: ')
    assert 'Traceback' not in err
    return err.removeprefix('error: ').removeprefix('the run cannot start:\n').strip()


@pytest.mark.parametrize(
    ('config', 'added', 'expected'),
    [
        (
            'coco',
            'model.bbox_head.num_classes = 80',
            'model.bbox_head.num_classes is 80, .* 5 classes .*boat, fish, house, starfish and 1 more',
        ),
        (
            'coco',
            "val_dataloader.dataset.metainfo = dict(classes=metainfo['classes'][:3])",
            'training data .* boat, fish, house, starfish and 1 more, .*validation data boat, fish, house$',
        ),
        (
            'tiny',
            'model.neck.in_channels = [8, 16, 24, 48]',
            r'model.neck.in_channels is \[8, 16, 24, 48\], .* \[8, 16, 24, 32\]$',
        ),
        (
            'pspnet',
            'model.decode_head.in_channels = [16, 24, 64]',
            'model.decode_head.in_channels .* 104, .* 72$',
        ),
        (
            'pspnet',
            'model.auxiliary_head.in_index = 7',
            'model.auxiliary_head.in_index is 7, .* 4 maps$',
        ),
        (
            'tiny',
            'model.bbox_head.anchor_generator.strides = [8, 16, 32, 64, 128]\nmodel.neck.start_level = 0\n'
            'model.neck.add_extra_convs = False',
            'model.bbox_head.anchor_generator.strides .* 8 .* 4$',
        ),
        (
            'tiny',
            'model.bbox_head.anchor_generator.strides = [8, 16, 32]',
            'model.bbox_head.anchor_generator.strides .* 3 .* 5 maps$',
        ),
        (
            'coco',
            f'train_dataloader.dataset.metainfo = dict(classes={("Boat", "lifebouy", *sample.CLASSES[1:4])})',
            f"{FILE}: .* 2 of the 5 classes: 'Boat' .*'boat'.*, 'lifebouy' .*'lifebuoy'.*; .*"
            'boat, fish, house, starfish, lifebuoy.*metainfo.classes',
        ),
        (
            'coco',
            'train_dataloader.dataset.filter_cfg = dict(filter_empty_gt=True, min_size=5000)',
            f'{FILE}: .*no images.* filter_cfg .*filter_empty_gt=True, min_size=5000',
        ),
        (
            'pspnet',
            'train_dataloader.batch_size = 1',
            r'batch norm .*\[1, 16, 1, 1\].* PSPHead .*train_dataloader.batch_size=2 .* it is 1$',
        ),
    ],
)
def test_an_error_stops_the_run(check, config, added, expected):
    words = ['--cfg-options', 'train_dataloader.batch_size=1'] if 'batch_size' in added else []
    said = refused(check(config, added, *words))
    assert re.search(expected, said.splitlines()[0])


def test_one_of_several_heads_is_checked_like_a_single_one(check):
    words = ['--cfg-options', 'model.auxiliary_head.0.num_classes=7']
    said = refused(check('pspnet', 'model.auxiliary_head = [model.auxiliary_head]', *words))
    assert re.match(r'model\.auxiliary_head\.0\.num_classes is 7, .* 9 classes ', said)


def test_a_last_batch_of_one_image_is_found_before_the_epoch_ends_in_it(check):
    sampler = 'train_dataloader.sampler.type=mmengine.dataset.DefaultSampler'
    words = ['--cfg-options', sampler, 'train_dataloader.dataset.indices=5', 'train_dataloader.batch_size=2']
    said = refused(check('pspnet', '', *words))
    assert re.search(r'batch norm .*\[1, 16, 1, 1\].* last batch .*train_dataloader.drop_last=True', said)
    assert check('pspnet', '', *words, 'train_dataloader.drop_last=True')[0] == 0


def test_one_image_fills_a_batch_where_it_comes_again_and_again(check):
    words = ['--cfg-options', 'train_dataloader.dataset.indices=1']
    assert check('pspnet', '', *words)[0] == 0


def test_labels_that_are_no_class_stop_the_run(check):
    said = refused(check('pspnet', '', '--cfg-options', 'train_dataloader.dataset.reduce_zero_label=False'))
    assert re.search(r'32 samples .* labels 9, .* 0 to 8$', said)


def test_a_text_in_place_of_a_list_of_classes_stops_the_run(check):
    said = refused(check('coco', '', '--cfg-options', 'train_dataloader.dataset.metainfo.classes=raccoon'))
    assert said.startswith("metainfo.classes is the text 'raccoon'")


def test_a_head_that_ignores_another_label_than_the_data_stops_the_run(check):
    said = refused(check('pspnet', '', '--cfg-options', 'model.decode_head.ignore_index=7'))
    assert 'model.decode_head.ignore_index is 7' in said
    assert ' 255' in said


def test_padding_that_is_not_ignored_is_a_warning(check):
    code, out, _ = check('pspnet', '', '--cfg-options', 'model.data_preprocessor.seg_pad_val=0')
    assert code == 0
    assert findings(out)['ignored'].startswith('warning: model.data_preprocessor.seg_pad_val is 0, ')


def test_a_step_whose_every_gradient_is_zero_stops_the_run(check):
    weights = [f'model.bbox_head.loss_{part}.loss_weight=0.0' for part in ('cls', 'bbox')]
    assert 'every gradient is zero' in refused(check('tiny', '', '--cfg-options', *weights))


def test_another_batch_size_than_the_schedules_is_a_warning(check):
    code, out, _ = check('coco')
    assert (code, 'recipe' in findings(out)) == (0, False)
    code, out, _ = check('coco', 'train_dataloader.batch_size = 4')
    assert code == 0
    expected = 'warning: batch size 4, .*batch size 16; auto_scale_lr.enable=True .* 0.0001 → 2.5e-05$'
    assert re.match(expected, findings(out)['recipe'])
    code, out, _ = check('coco', '', '--cfg-options', 'auto_scale_lr.enable=True')
    assert (code, 'recipe' in findings(out)) == (0, False)


def test_parameters_without_a_gradient_are_a_warning_or_with_several_processes_an_error(check, monkeypatch):
    finest = 'model.decode_head.update(in_index=0, in_channels=8, input_transform=None)'
    code, out, _ = check('pspnet', f'{finest}\nmodel.auxiliary_head = None')
    assert code == 0
    idle = r'\d+ parameters .*: (backbone\.stages\.1\.[\w.]+, ){3}\S+ and \d+ more'
    assert re.fullmatch(f'warning: {idle}', findings(out)['step'])

    monkeypatch.setattr('vitdense.preflight.step.get_world_size', lambda: 2)
    assert re.fullmatch(f'{idle}; .*find_unused_parameters=True', refused(check('pspnet')))
    code, out, _ = check('pspnet', 'find_unused_parameters = True')
    assert code == 0
    assert re.fullmatch(f'warning: {idle}', findings(out)['step'])


@pytest.fixture
def weights(tmp_path):
    """The backbone's own weights, as a checkpoint whose names lack their prefix."""
    from vitdense.backbones import TransCNN

    path = tmp_path / 'backbone.pth'
    torch.save(TransCNN(arch=ARCH).state_dict(), path)
    return path


def test_the_share_of_loaded_weights_is_shown_and_nothing_loaded_is_an_error(check, weights):
    init = "model.backbone.init_cfg = dict(type='Pretrained', checkpoint={!r})"
    code, out, err = check('tiny', init.format(str(weights)))
    assert (code, err) == (0, '')
    assert findings(out)['loaded'] == 'backbone 100%, neck 0%, bbox_head 0%'

    state = torch.load(weights)
    some = {key: value for key, value in state.items() if not key.startswith('stages.2')}
    torch.save(some, weights)
    code, out, err = check('tiny')
    assert code == 0
    assert 'backbone.stages.1 100%, backbone.stages.2 0%, backbone.stages.3 100%' in findings(out)['loaded']

    torch.save({f'encoder.{key}': value for key, value in state.items()}, weights)
    said = refused(check('tiny'))
    assert said.startswith(f'{weights}: no weight fits ')


def test_the_check_leaves_the_model_and_random_numbers_as_they_were(check, monkeypatch):
    """Weights, statistics, gradients and random numbers are as they were."""
    from vitdense.preflight import flight

    before = {}

    def snapshot(runner):
        state = {key: value.clone() for key, value in runner.model.state_dict().items()}
        return state, torch.get_rng_state(), runner.model.training

    def first(runner):
        before['state'], before['rng'], before['training'] = snapshot(runner)
        return iter(())

    def last(runner):
        state, rng, training = snapshot(runner)
        assert state.keys() == before['state'].keys()
        assert all(torch.equal(value, before['state'][key]) for key, value in state.items())
        assert torch.equal(rng, before['rng'])
        assert training == before['training']
        assert all(parameter.grad is None for parameter in runner.model.parameters())
        before['seen'] = True
        return iter(())

    monkeypatch.setattr(flight, 'CHECKS', [first, *flight.CHECKS, last])
    code, _, err = check('pspnet')
    assert (code, err) == (0, '')
    assert before['seen']


def test_a_pretrained_file_of_any_part_executes_nothing(check, tmp_path):
    """MMEngine's own initialiser tries a refused file again without care."""
    marker = tmp_path / 'marker'
    torch.save(dict(state_dict={}, by=Hostile(marker)), tmp_path / 'neck.pth')
    said = refused(check('tiny', "model.neck.init_cfg = dict(type='Pretrained', checkpoint='neck.pth')"))
    assert said.startswith('neck.pth: refused to load: ')
    assert not marker.exists()
    torch.load(tmp_path / 'neck.pth', weights_only=False)  # the trap is real
    assert marker.exists()
    (tmp_path / 'neck.pth').write_bytes(b'PK\x03\x04 and then nothing')
    assert refused(check('tiny')).startswith('neck.pth: damaged ')


def maps_of(tmp_path, draw):
    """A copy of the sample's label maps, each drawn anew from what it was, and the line that reads it."""
    import shutil

    import numpy as np
    from PIL import Image

    root = tmp_path / 'ade'
    shutil.copytree(sample.root() / 'ade/ADEChallengeData2016', root)
    for number, file in enumerate(sorted((root / 'annotations/training').iterdir())):
        labels = np.array(Image.open(file))
        Image.fromarray(draw(labels, number)).save(file)
    return f'train_dataloader.dataset.data_root={root}/'


def test_a_stage_that_is_frozen_at_random_weights_is_a_warning(check):
    """As MMDetection's own configs freeze it, where the weights that they name are left out."""
    added = """
from mmdet.models import ResNet
model.backbone = dict(type=ResNet, depth=18, base_channels=8, frozen_stages=1, norm_eval=True)
model.neck.in_channels = [8, 16, 32, 64]
"""
    code, out, _ = check('tiny', added)
    assert code == 0
    said = re.findall(r'^ *frozen  (.*)$', out, re.MULTILINE)
    assert re.match(r'warning: \d+ layers frozen at random weights, .*: backbone\.conv1\.weight, ', said[0])
    assert re.match(r'warning: \d+ batch norms in evaluation mode, .*: backbone\.bn1\.weight, ', said[1])
    assert 'frozen' not in findings(check('pspnet')[1])


def test_label_maps_of_one_class_stop_the_run(check, tmp_path):
    """A mask of 0 and 255: with 255 ignored, one class is left, and to answer it everywhere is right."""
    import numpy as np

    where = maps_of(tmp_path, lambda labels, _: np.where(labels > 4, np.uint8(255), np.uint8(1)))
    said = refused(check('pspnet', '', '--cfg-options', where, 'train_dataloader.dataset.indices=20'))
    assert said.startswith('one class alone: 20 samples ')


def test_one_class_in_crops_of_maps_of_several_is_no_error(check, tmp_path):
    """And that all of the first images is ignored says nothing about the others."""
    import numpy as np

    def border(labels, number):
        if number < 2:
            return np.zeros_like(labels)
        return np.where(np.arange(labels.shape[1]) < 2, np.uint8(1), np.uint8(2))[None].repeat(len(labels), 0)

    crop = """
from mmseg.datasets.transforms import LoadAnnotations, PackSegInputs
from mmcv.transforms import CenterCrop
train_dataloader.dataset.pipeline = [train_dataloader.dataset.pipeline[0],
    dict(type=LoadAnnotations, reduce_zero_label=True), dict(type=CenterCrop, crop_size=64, auto_pad=False),
    dict(type=PackSegInputs)]
"""
    words = ['train_dataloader.dataset.indices=4', 'train_dataloader.drop_last=True']
    code, out, err = check('pspnet', crop, '--cfg-options', maps_of(tmp_path, border), *words)
    assert (code, err) == (0, '')
    assert 'one class' not in out


def test_a_label_map_of_another_size_stops_the_run(check, tmp_path):
    def turned(labels, number):
        return labels[:-9] if number == 0 else labels

    added = """
from mmseg.datasets.transforms import LoadAnnotations, PackSegInputs
train_dataloader.dataset.pipeline = [train_dataloader.dataset.pipeline[0],
    dict(type=LoadAnnotations, reduce_zero_label=True), dict(type=PackSegInputs)]
"""
    said = refused(check('pspnet', added, '--cfg-options', maps_of(tmp_path, turned)))
    high, wide, image_high, image_wide = map(int, re.findall(r'\d+', said.partition('size (H, W)')[2]))
    assert (high, wide) == (image_high - 9, image_wide)


def test_a_segmentor_that_cannot_batch_its_validation_stops_before_the_run(check):
    batch = ['val_dataloader.batch_size=4', 'val_dataloader.dataset.pipeline.1.keep_ratio=True']
    said = refused(check('pspnet', '', '--cfg-options', *batch))
    assert said.startswith('the run cannot start: the first validation fails: ')


def test_an_epoch_without_iterations_stops_the_run(check):
    sampler = 'train_dataloader.sampler.type=mmengine.dataset.DefaultSampler'
    words = [sampler, 'train_dataloader.dataset.indices=3', 'train_dataloader.drop_last=True']
    assert refused(check('tiny', '', '--cfg-options', *words)).startswith('an epoch has no iteration: 3 ')


def test_an_evaluator_that_ignores_another_label_stops_the_run(check):
    said = refused(check('pspnet', '', '--cfg-options', 'val_evaluator.ignore_index=7'))
    assert re.search(r'ignore_index is 7, the data ignore 255$', said)


def test_images_that_the_filter_takes_out_are_counted(check):
    for size, warning in ((120, ''), (129, 'warning: ')):
        code, out, _ = check('coco', f'train_dataloader.dataset.filter_cfg.min_size = {size}')
        assert code == 0
        said = rf'{warning}\S+: \d+ of 800 images are not trained on, .*min_size={size}\)'
        assert re.fullmatch(said, findings(out)['filter'])


def test_most_classes_without_an_object_are_a_warning(check, tmp_path):
    """Judged where all samples were looked at."""
    whole = json.loads(FILE.read_text())
    by_image = {}
    for one in whole['annotations']:
        by_image.setdefault(one['image_id'], set()).add(one['category_id'])
    few = [number for number, kinds in by_image.items() if len(kinds) <= 2]
    whole['images'] = [image for image in whole['images'] if image['id'] == few[0]]
    whole['annotations'] = [one for one in whole['annotations'] if one['image_id'] == few[0]]
    (tmp_path / 'one.json').write_text(json.dumps(whole))
    code, out, _ = check(
        'coco', '', '--cfg-options', f'train_dataloader.dataset.ann_file={tmp_path}/one.json'
    )
    assert code == 0
    assert 'warning: most classes without an example' in out


def test_a_head_that_fails_on_the_maps_is_told_in_a_line(check):
    """Where no declared number of channels shows it."""
    added = """
from mmseg.models.decode_heads import DepthwiseSeparableASPPHead
model.decode_head = dict(type=DepthwiseSeparableASPPHead, in_channels=32, in_index=3, channels=16,
                         num_classes=9, c1_in_channels=256, c1_channels=8, dilations=(1, 2))
"""
    said = refused(check('pspnet', added))
    assert said.startswith('the run cannot start: the first step fails: RuntimeError: ')
    assert ('256 channels' in said, said.count('\n')) == (True, 0)


def test_a_test_takes_its_checkpoint_whole_also_where_the_training_loop_is_there(make_runner, tmp_path):
    make_runner(tmp_path / 'one').train()
    state = torch.load(tmp_path / 'one/iter_4.pth', weights_only=False)['state_dict']
    del state['backbone.bias']
    torch.save(state, tmp_path / 'part.pth')
    runner = make_runner(tmp_path / 'two', load_from=str(tmp_path / 'part.pth'))
    assert runner.train_loop  # which builds it
    with pytest.raises(UserError, match='another model'):
        runner.val()


def test_scaling_that_does_not_count_accumulated_batches_is_a_warning(check):
    words = ['auto_scale_lr.enable=True', 'optim_wrapper.accumulative_counts=4']
    code, out, _ = check('coco', '', '--cfg-options', *words)
    assert code == 0
    assert re.match('warning: .* 4 accumulated batches', findings(out)['recipe'])


@pytest.mark.skipif(torch.cuda.is_available(), reason='of a CPU')
def test_what_mixed_precision_brings_is_measured(check):
    assert 'amp' not in findings(check('tiny')[1])
    line = findings(check('tiny', '', '--amp')[1])['amp']
    number = re.search(r'bfloat16 takes (\d+\.\d\d) times as long as float32', line)[1]
    assert line.startswith('warning: ') == (float(number) > NOISE)


@pytest.mark.skipif(torch.cuda.is_available(), reason='of a CPU')
def test_of_a_frozen_backbone_the_forward_pass_is_measured():
    backbone = torch.nn.Conv2d(3, 4, 3)
    autocast_networks(model := torch.nn.ModuleDict(dict(backbone=backbone)), 'cpu', torch.bfloat16)
    model.requires_grad_(False)
    runner = SimpleNamespace(cfg=dict(amp='bfloat16'), seed=0, model=model)
    (finding,) = precision.training_precision(runner)
    assert 'times as long' in finding.text


@pytest.mark.parametrize(('times', 'level'), [(0.7, Level.FACT), (1.6, Level.WARNING)])
def test_a_slower_precision_is_a_warning_with_the_figure(monkeypatch, times, level):
    seconds = iter([times, 1.0] * 4)
    monkeypatch.setattr(precision, '_seconds', lambda *words: next(seconds))
    runner = SimpleNamespace(
        cfg=dict(amp='bfloat16'), seed=0, model=torch.nn.ModuleDict(dict(backbone=torch.nn.Identity()))
    )
    (finding,) = precision.test_precision(runner)
    assert finding.level is level
    assert f'{times:.2f} times' in finding.text
