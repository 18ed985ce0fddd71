"""`backbone=dict(type='TransCNN', arch='tiny')` in the configs that MMDetection and MMSegmentation ship.

Nothing of theirs is changed but the backbone, the ResNet weights that go with theirs, and channel numbers;
and, for a backbone of three maps, what counts on four.
"""

import subprocess
import sys
from importlib.util import find_spec
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import MODELS, DefaultScope
from mmengine.structures import PixelData
from small import CONFIGS
from small_backbones import SMALL
from torch import nn

from vitdense.data.sample import CLASSES, root
from vitdense.data.sample.use import use_sample_data

DETECTORS = ['retinanet/retinanet_r50_fpn_1x_coco.py', 'mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py']
SEGMENTORS = [
    'pspnet/pspnet_r50-d8_4xb4-80k_ade20k-512x512.py',
    'deeplabv3/deeplabv3_r50-d8_4xb4-80k_ade20k-512x512.py',
]


def once(names):
    """Each backbone with one of two configs, with either over three maps and over four; nightly with both."""
    for kind, now in zip(SMALL, cycle((0, 1, 1, 0)), strict=False):
        for number, name in enumerate(names):
            yield pytest.param(kind, name, marks=[pytest.mark.nightly] if number != now else [])


def shipped(library: str, name: str) -> Path:
    """A config that came with a library."""
    return Path(find_spec(library).origin).parent / '.mim/configs' / name


def build(library: str, config: Config) -> nn.Module:
    """The model of a config, from the library's own registry."""
    registry = pytest.importorskip(f'{library}.registry')
    with DefaultScope.overwrite_default_scope(library):
        model = registry.MODELS.build(config.model)
        model.init_weights()
    return model.train()


def check_a_training_step(model: nn.Module, batch: dict[str, Any]) -> dict[str, float]:
    """The losses, after showing that they are finite and that the backbone learns from them.

    All of it does, but for the levels of SuperViT's pyramid that a head does not read.
    """
    batch = model.data_preprocessor(batch, training=True)
    loss, losses = model.parse_losses(model(**batch, mode='loss'))
    assert loss.isfinite()
    loss.backward()
    gradients = {name: p.grad for name, p in model.backbone.named_parameters()}
    idle = {name for name, gradient in gradients.items() if gradient is None}
    assert {name.split('.')[0] for name in idle} <= {'levels'}
    gradients = {name: gradient for name, gradient in gradients.items() if name not in idle}
    assert all(gradient.isfinite().all() for gradient in gradients.values())
    first = next(g for name, g in gradients.items() if name.startswith('stem.') and g.ndim == 4)
    assert first.any()  # of the convolution that sees the image
    return losses


@pytest.mark.parametrize(('kind', 'name'), once(DETECTORS))
def test_a_shipped_detector_trains(kind, name):
    config = Config.fromfile(shipped('mmdet', name))
    backbone = config.model.backbone = dict(type=kind, arch=SMALL[kind].smallest)
    config.model.neck.in_channels = MODELS.build(backbone).channels
    if len(config.model.neck.in_channels) == 3:  # strides 8, 16, 32
        if 'start_level' in config.model.neck:
            config.model.neck.start_level = 0
        else:
            config.model.neck.type = 'ExtraLevelFPN'
    model = build('mmdet', config)
    assert type(model.backbone) is SMALL[kind].backbone

    from mmdet.testing import demo_mm_inputs

    batch = demo_mm_inputs(2, image_shapes=[(3, 101, 160), (3, 128, 127)], num_items=[2, 0], with_mask=True)
    losses = check_a_training_step(model, batch)
    assert losses.keys() >= {'loss', 'loss_cls', 'loss_bbox'}
    assert ('loss_mask' in losses) == ('mask' in name)


@pytest.mark.filterwarnings('ignore:Default ``avg_non_ignore``')
@pytest.mark.parametrize(('kind', 'name'), once(SEGMENTORS))
def test_a_shipped_segmentor_trains(kind, name):
    config = Config.fromfile(shipped('mmseg', name))
    config.model.pretrained = None  # of a ResNet
    backbone = config.model.backbone = dict(type=kind, arch=SMALL[kind].smallest)
    channels = MODELS.build(backbone).channels
    for head in (config.model.decode_head, config.model.auxiliary_head):
        head.in_index -= 4 - len(channels)
        head.in_channels = channels[head.in_index]
    config.model.data_preprocessor.size = (96, 128)  # a smaller crop, to save time
    model = revert_sync_batchnorm(build('mmseg', config))  # whose norms are for several GPUs
    assert type(model.backbone) is SMALL[kind].backbone

    from mmseg.structures import SegDataSample

    rng = np.random.default_rng(0)
    batch = dict(inputs=[], data_samples=[])
    for size in ((96, 128), (90, 101)):
        batch['inputs'].append(torch.from_numpy(rng.integers(0, 256, (3, *size), dtype=np.uint8)))
        labels = torch.from_numpy(rng.integers(0, 150, (1, *size)))
        batch['data_samples'].append(SegDataSample(gt_sem_seg=PixelData(data=labels)))
    losses = check_a_training_step(model, batch)
    assert losses.keys() >= {'loss', 'decode.loss_ce', 'aux.loss_ce'}


# ---- as a text config, in an interpreter that has not imported vitdense ----------------------------------

TEXTS = {
    'mmdet': (
        DETECTORS[0],
        'model = dict(\n'
        "    backbone=dict(_delete_=True, type='TransCNN', arch='tiny'),\n"
        '    neck=dict(in_channels=[64, 128, 256, 512]))\n',
    ),
    'mmseg': (
        SEGMENTORS[0],
        'model = dict(\n'
        '    pretrained=None,\n'
        "    backbone=dict(_delete_=True, type='TransCNN', arch='tiny'),\n"
        '    decode_head=dict(in_channels=512),\n'
        '    auxiliary_head=dict(in_channels=256))\n',
    ),
}

RUN = """
import sys
import torch
from mmengine.config import Config
from mmengine.runner import Runner

config = Config.fromfile(sys.argv[1])
config.work_dir = sys.argv[2]
model = Runner.from_cfg(config).model.eval()
with torch.no_grad():
    model(torch.rand(1, 3, 96, 128), mode='tensor')
print('backbone:', type(model.backbone).__module__, type(model.backbone).__name__)
"""


@pytest.mark.parametrize('library', ['mmdet', pytest.param('mmseg', marks=pytest.mark.nightly)])
def test_custom_imports_is_all_that_a_text_config_needs(library, tmp_path):
    name, model = TEXTS[library]
    path = tmp_path / 'config.py'
    path.write_text(
        f"_base_ = {str(shipped(library, name))!r}\ncustom_imports = dict(imports=['vitdense'])\n{model}"
    )
    command = [sys.executable, '-W', 'ignore', '-c', RUN, str(path), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == 'backbone: vitdense.backbones.transcnn TransCNN'


# ---- by the libraries' own tools ---------------------------------------------------------------------------

OWN = {
    'mmdet': """
model = dict(
    backbone=dict(_delete_=True, type='TransCNN', arch='tiny'),
    neck=dict(in_channels=[64, 128, 256, 512]),
    bbox_head=dict(num_classes={classes}),
)
files = dict(data_root={root!r} + '/coco/', metainfo=dict(classes={names!r}))
boxes = dict(type='LoadAnnotations', with_bbox=True)
resize = dict(type='Resize', scale=(128, 128), keep_ratio=True)
keys = ('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')
pack = dict(type='PackDetInputs', meta_keys=keys)
val_evaluator = dict(ann_file={root!r} + '/coco/annotations/instances_val2017.json')
test_evaluator = val_evaluator
""",
    'mmseg': """
batch_norm = dict(norm_cfg=dict(type='BN'))  # theirs is for several GPUs
model = dict(
    pretrained=None,
    data_preprocessor=dict(size=(128, 128)),
    backbone=dict(_delete_=True, type='TransCNN', arch='tiny'),
    decode_head=dict(in_channels=512, **batch_norm),
    auxiliary_head=dict(in_channels=256, **batch_norm),
)
files = dict(data_root={root!r} + '/ade/ADEChallengeData2016/', img_suffix='.png')
boxes = dict(type='LoadAnnotations', reduce_zero_label=True)
resize = dict(type='Resize', scale=(128, 128))
pack = dict(type='PackSegInputs')
""",
}
BOTH = """
_base_ = {base!r}
custom_imports = dict(imports=['vitdense'])
read = dict(type='LoadImageFromFile')
here = dict(num_workers=0, persistent_workers=False)
train_dataloader = dict(dataset=dict(pipeline=[read, boxes, resize, pack], **files), batch_size=2, **here)
val_dataloader = dict(dataset=dict(indices=4, pipeline=[read, resize, boxes, pack], **files), **here)
test_dataloader = val_dataloader
train_cfg = dict(_delete_=True, type='IterBasedTrainLoop', max_iters=3, val_interval=3)
param_scheduler = []
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=3), logger=dict(interval=1))
log_processor = dict(by_epoch=False)
"""


@pytest.mark.nightly
@pytest.mark.parametrize(('library', 'name'), [('mmdet', DETECTORS[0]), ('mmseg', SEGMENTORS[0])])
def test_a_librarys_own_tools_train_resume_and_test(library, name, tmp_path):
    use_sample_data(Config.fromfile(CONFIGS / 'retinanet_transcnn.py'))  # draws it
    path, tools = tmp_path / 'config.py', Path(find_spec(library).origin).parent / '.mim/tools'
    words = dict(base=str(shipped(library, name)), classes=len(CLASSES), root=str(root()), names=CLASSES)
    path.write_text((OWN[library] + BOTH).format_map(words))

    # beside MMCV 2.2 the originals are imported after vitdense alone
    alone = subprocess.run([sys.executable, '-c', f'import {library}'], capture_output=True).returncode == 0

    def call(tool, *words):
        # MMDetection's test.py imports its models before the config imports vitdense
        direct = alone and (library, tool) != ('mmdet', 'test.py')
        command = [sys.executable, '-W', 'ignore', *('-m', 'vitdense', 'run') * (not direct), tools / tool]
        command += [path, *words, '--work-dir', tmp_path / 'run']
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    assert 'Iter(train) [3/3]' in call('train.py')
    said = call('train.py', '--resume', '--cfg-options', 'train_cfg.max_iters=4')
    assert 'Iter(train) [4/4]' in said
    assert 'Iter(train) [1/4]' not in said
    assert 'Iter(test) [4/4]' in call('test.py', tmp_path / 'run/iter_3.pth')
