"""A config reads like its filename, and builds what it says, also from the text that it is dumped to."""

import ast
import os
import shutil
import subprocess
import sys
from itertools import cycle

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from small import CONFIGS, HEADS
from torch.utils._pytree import tree_leaves

from vitdense.backbones import FILES as BACKBONES

LEAVES = sorted(CONFIGS.glob('*.py'))
FRAGMENTS = sorted((CONFIGS / '_base_').rglob('*.py'))
BUILT_FROM_TEXT = {f'{head}_{file}' for head, file in zip(cycle(HEADS), BACKBONES.values(), strict=False)}
SIDE = 256  # pixels of an image that every stride divides


def head_of(leaf):
    return next(head for head in HEADS if leaf.stem.startswith(f'{head}_'))


def build(cfg):
    """The model of a config on the meta device: shapes without numbers."""
    with torch.device('meta'), DefaultScope.overwrite_default_scope(cfg.default_scope):
        return MODELS.build(cfg.model).eval()


each_leaf = pytest.mark.parametrize('leaf', LEAVES, ids=lambda leaf: leaf.stem)


@each_leaf
def test_a_leaf_is_a_command_a_head_a_backbone_and_their_join(leaf):
    tree = ast.parse(leaf.read_text())
    assert f'`python tools/train.py configs/{leaf.name}`' in ast.get_docstring(tree)
    imports = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
    (inherited,) = [node for node in tree.body if isinstance(node, ast.With)]
    joins = [node.value for node in tree.body[1:] if isinstance(node, ast.Expr)]
    assert len(tree.body) == 1 + len(imports) + 1 + len(joins)  # and nothing else

    assert [item.context_expr.func.id for item in inherited.items] == ['read_base']
    fragments = sorted(node.module for node in inherited.body)
    head = head_of(leaf)
    backbone = leaf.stem.removeprefix(f'{head}_')
    assert fragments == [f'_base_.backbones.{backbone}', f'_base_.heads.{head}']
    assert all(node.names[0].name == '*' for node in inherited.body)

    assert [ast.unparse(join.func) for join in joins] == ['model.update', 'optim_wrapper.update']
    model, optimizer = ({word.arg: ast.unparse(word.value) for word in join.keywords} for join in joins)
    assert model['backbone'] in ('backbone', 'dict(backbone, out_indices=[1, 2, 3])')
    assert optimizer == {'paramwise_cfg': 'paramwise_cfg'}
    numbers = [node for join in joins for node in ast.walk(join) if isinstance(node, ast.Constant)]
    assert {node.value for node in numbers} <= {8, 0, 1, 2, 3}  # stride 8, some of the maps: no channels


@pytest.mark.parametrize('fragment', FRAGMENTS, ids=lambda path: str(path.relative_to(CONFIGS)))
def test_a_fragment_says_what_it_is_and_some_config_inherits_it(fragment):
    story = ast.get_docstring(ast.parse(fragment.read_text()))
    assert story
    if "for a config of one's own" in story:
        return
    inherited = set()
    for config in (*LEAVES, *FRAGMENTS):
        for block in ast.walk(ast.parse(config.read_text())):
            if isinstance(block, ast.With):
                for node in block.body:
                    folder = config.parents[node.level - 1]
                    inherited.add(folder.joinpath(*node.module.split('.')).with_suffix('.py'))
    assert fragment in inherited


def test_there_is_a_leaf_for_every_head_on_every_backbone():
    assert {leaf.stem for leaf in LEAVES} == {
        f'{head}_{file}' for head in HEADS for file in BACKBONES.values()
    }


def test_a_config_of_ones_own_is_sharded(tmp_path):
    shutil.copytree(CONFIGS, tmp_path / 'configs')
    own = tmp_path / 'configs/own.py'
    own.write_text(
        'from mmengine.config import read_base\n'
        'with read_base():\n'
        '    from .pspnet_transcnn import *\n'
        '    from ._base_.shard import *\n'
    )
    cfg = Config.fromfile(own)
    assert (cfg.train_cfg.max_iters, cfg.param_scheduler[-1].end) == (160_000, 160_000)
    assert cfg.shard is True
    assert cfg.optim_wrapper.paramwise_cfg.norm_decay_mult == 0
    assert cfg.model.decode_head.in_channels == [128, 256, 512]


def check_what_it_reads(head, levels):
    """The last three maps as one, all maps, or, a head that only trains, the one at stride 16."""
    strides, channels = ([read(level) for level in levels] for read in (stride_of, lambda x: x.shape[1]))
    if not isinstance(head.in_index, (list, tuple)):
        assert (strides[head.in_index], channels[head.in_index]) == (16, head.in_channels)
    elif head.input_transform == 'resize_concat':
        assert [strides[i] for i in head.in_index] == [8, 16, 32]
        assert sum(channels[i] for i in head.in_index) == head.in_channels
    else:
        assert list(head.in_index) == list(range(len(levels)))
        assert list(head.in_channels) == channels
        assert getattr(head, 'feature_strides', strides) == strides


def stride_of(level):
    assert level.shape[2] == level.shape[3]
    return SIDE // level.shape[3]


@each_leaf
def test_neck_heads_and_anchors_fit_the_backbone_and_all_of_it_learns(leaf):
    cfg = Config.fromfile(leaf)
    model = build(cfg)
    with torch.device('meta'):
        image = torch.zeros(1, 3, SIDE, SIDE)
        maps = model.backbone(image)
        levels = model.extract_feat(image)
        heads = [n for n in ('rpn_head', 'bbox_head', 'decode_head', 'auxiliary_head') if hasattr(model, n)]
        answers = [getattr(model, name)(levels) for name in heads]  # raises where channels do not fit
        sum(answer.sum() for answer in tree_leaves(answers)).backward()
    assert cfg.default_scope == HEADS[head_of(leaf)]
    channels, strides = model.backbone.channels, model.backbone.strides
    assert [map.shape[1] for map in maps] == channels == cfg.channels[-len(channels) :]
    assert [SIDE // map.shape[3] for map in maps] == strides == cfg.strides[-len(strides) :]
    if 'neck' in cfg.model:
        assert cfg.model.neck.in_channels == channels
    if cfg.default_scope == 'mmdet':
        anchors = [h.prior_generator.strides for h in model.children() if hasattr(h, 'prior_generator')]
        assert anchors == [[(stride_of(level),) * 2 for level in levels]]
    else:
        for name in heads:
            check_what_it_reads(getattr(model, name), levels)
    assert [n for n, p in model.named_parameters() if p.grad is None and 'roi_head' not in n] == []


@each_leaf
def test_the_text_that_a_config_is_dumped_to_is_the_same_config(leaf, tmp_path):
    cfg = Config.fromfile(leaf)
    cfg.dump(tmp_path / leaf.name)
    text = Config.fromfile(tmp_path / leaf.name)
    assert text.to_dict() == cfg.to_dict()
    if leaf.stem in BUILT_FROM_TEXT:
        models = [build(cfg), build(text)]
        assert str(models[0]) == str(models[1])
        shapes = [{name: t.shape for name, t in model.state_dict().items()} for model in models]
        assert shapes[0] == shapes[1]
        assert len(shapes[0]) > 100


# In an interpreter that imports nothing of vitdense, MMDetection or MMSegmentation.
ALONE = """
import sys

import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope

assert not any(name.startswith(('vitdense', 'mmdet', 'mmseg')) for name in sys.modules)
for path in sys.argv[1:]:
    cfg = Config.fromfile(path)
    with torch.device('meta'), DefaultScope.overwrite_default_scope(cfg.default_scope):
        print('built', type(MODELS.build(cfg.model)).__name__)
"""


def test_a_config_imports_what_it_needs():
    paths = [str(CONFIGS / f'{name}.py') for name in ('deeplabv3_vvt', 'mask_rcnn_pit')]
    done = subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', ALONE, *paths],
        env=dict(os.environ, CUDA_VISIBLE_DEVICES='-1'),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    built = [line for line in done.stdout.splitlines() if line.startswith('built ')]
    assert built == ['built EncoderDecoder', 'built MaskRCNN']
