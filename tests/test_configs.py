"""A config reads like its filename, and builds what it says, also from the text that it is dumped to."""

import ast
import json
import os
import shutil
import subprocess
import sys

import pytest
from mmengine.config import Config
from small import CONFIGS

LEAVES = sorted(CONFIGS.glob('*.py'))
FRAGMENTS = sorted((CONFIGS / '_base_').rglob('*.py'))
HEADS = {'retinanet': 'mmdet', 'mask_rcnn': 'mmdet', 'deeplabv3': 'mmseg', 'pspnet': 'mmseg'}
SIDE = 256  # pixels of an image that every stride divides

# Run in an interpreter that imports nothing of vitdense: what a config needs, it brings. The model is built,
# and run, on the meta device: shapes without numbers.
BUILD = """
import json, sys
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from torch.utils._pytree import tree_leaves

side, folder, *paths = sys.argv[1:]
assert not any(name.startswith('vitdense') for name in sys.modules)
for path in paths:
    cfg = Config.fromfile(path)
    init_default_scope(cfg.default_scope)
    with torch.device('meta'):
        model = MODELS.build(cfg.model).eval()
        image = torch.zeros(1, 3, int(side), int(side))
        maps = model.backbone(image)
        levels = model.extract_feat(image)
        heads = [n for n in ('rpn_head', 'bbox_head', 'decode_head', 'auxiliary_head') if hasattr(model, n)]
        answers = [getattr(model, name)(levels) for name in heads]  # raises where channels do not fit
        sum(answer.sum() for answer in tree_leaves(answers)).backward()
    anchors = [head.prior_generator.strides for head in model.children() if hasattr(head, 'prior_generator')]
    report = dict(
        scope=cfg.default_scope,
        channels=cfg.channels,
        strides=cfg.strides,
        backbone_channels=model.backbone.channels,
        backbone_strides=model.backbone.strides,
        map_channels=[map.shape[1] for map in maps],
        map_strides=[int(side) // map.shape[3] for map in maps],
        neck_channels=cfg.model.get('neck', {}).get('in_channels'),
        head_channels=[
            cfg.model[name].in_channels for name in ('decode_head', 'auxiliary_head') if name in cfg.model
        ],
        level_strides=[[int(side) // level.shape[3], int(side) // level.shape[2]] for level in levels],
        anchor_strides=anchors,
        idle=[name for name, p in model.named_parameters() if p.grad is None and 'roi_head' not in name],
        model=str(model),
        shapes={name: list(tensor.shape) for name, tensor in model.state_dict().items()},
    )
    if folder:
        cfg.dump(Path(folder) / Path(path).name)
    print(Path(path).stem, json.dumps(report), sep='\\t')
"""


def build(paths, folder=''):
    """What comes of configs of one library, by name; their text goes to `folder`."""
    done = subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', BUILD, str(SIDE), str(folder), *map(str, paths)],
        env=dict(os.environ, CUDA_VISIBLE_DEVICES='-1'),
        capture_output=True,
        text=True,
        timeout=1800,
    )
    assert done.returncode == 0, done.stderr
    lines = (line.split('\t') for line in done.stdout.splitlines() if '\t{' in line)
    return {name: json.loads(report) for name, report in lines}


def head_of(leaf):
    return next(head for head in HEADS if leaf.stem.startswith(f'{head}_'))


@pytest.fixture(scope='module')
def built(tmp_path_factory):
    """Reports of all leaves, from their files and from their dumped texts."""
    files, texts = {}, {}
    for library in sorted({HEADS[head_of(leaf)] for leaf in LEAVES}):
        folder = tmp_path_factory.mktemp(library)
        files |= build([leaf for leaf in LEAVES if HEADS[head_of(leaf)] == library], folder)
        texts |= build(sorted(folder.glob('*.py')))
    return files, texts


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
    assert {node.value for node in numbers} <= {8, 1, 2, 3}  # stride 8, some of the maps: no channels


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
    backbones = {path.stem for path in (CONFIGS / '_base_/backbones').glob('*.py')} - {'__init__'}
    assert len(backbones) == 6
    assert {leaf.stem for leaf in LEAVES} == {
        f'{head}_{backbone}' for head in HEADS for backbone in backbones
    }


def test_a_config_of_ones_own_takes_another_schedule_and_is_shared_out(tmp_path):
    shutil.copytree(CONFIGS, tmp_path / 'configs')
    own = tmp_path / 'configs/own.py'
    own.write_text(
        'from mmengine.config import read_base\n'
        'with read_base():\n'
        '    from .pspnet_transcnn import *\n'
        '    from ._base_.schedules.segmentor_80k import *\n'
        '    from ._base_.shard import *\n'
    )
    cfg = Config.fromfile(own)
    assert (cfg.train_cfg.max_iters, cfg.param_scheduler[-1].end) == (80_000, 80_000)
    assert cfg.shard is True
    assert cfg.optim_wrapper.paramwise_cfg.norm_decay_mult == 0
    assert cfg.model.decode_head.in_channels == [128, 256, 512]


@each_leaf
def test_the_neck_and_the_heads_fit_the_backbone(built, leaf):
    report = built[0][leaf.stem]
    assert report['scope'] == HEADS[head_of(leaf)]
    channels, strides = report['backbone_channels'], report['backbone_strides']
    assert report['map_channels'] == channels == report['channels'][-len(channels) :]
    assert report['map_strides'] == strides == report['strides'][-len(strides) :]
    if report['scope'] == 'mmdet':
        assert report['neck_channels'] == channels
    else:
        assert report['head_channels'] == [channels[-3:], channels[-2]]
        assert strides[-3:] == [8, 16, 32]


@each_leaf
def test_all_of_the_backbone_and_the_neck_learns(built, leaf):
    assert built[0][leaf.stem]['idle'] == []


@pytest.mark.parametrize(
    'leaf', [leaf for leaf in LEAVES if HEADS[head_of(leaf)] == 'mmdet'], ids=lambda leaf: leaf.stem
)
def test_the_anchors_lie_where_the_levels_of_the_neck_are(built, leaf):
    report = built[0][leaf.stem]
    assert report['anchor_strides'] == [report['level_strides']]


@each_leaf
def test_the_text_that_a_config_is_dumped_to_builds_the_same_model(built, leaf):
    file, text = (reports[leaf.stem] for reports in built)
    assert len(file['shapes']) > 100
    assert text == file
