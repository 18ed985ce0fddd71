"""A config reads like its filename, and builds what it says, also from the text that it is dumped to."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

CONFIGS = Path(__file__).parents[1] / 'configs'
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

side, folder, *paths = sys.argv[1:]
assert not any(name.startswith('vitdense') for name in sys.modules)
for path in paths:
    cfg = Config.fromfile(path)
    init_default_scope(cfg.default_scope)
    with torch.device('meta'), torch.no_grad():
        model = MODELS.build(cfg.model).eval()
        image = torch.zeros(1, 3, int(side), int(side))
        maps = model.backbone(image)
        levels = model.extract_feat(image)
        for name in ('rpn_head', 'bbox_head', 'decode_head', 'auxiliary_head'):
            if hasattr(model, name):
                getattr(model, name)(levels)  # raises where its channels do not fit
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
        level_strides=[[int(side) // level.shape[3], int(side) // level.shape[2]] for level in levels],
        anchor_strides=anchors,
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

    assert all(join.func.attr == 'update' for join in joins)
    (join,) = [join for join in joins if join.func.value.id == 'model']
    assert {word.arg: getattr(word.value, 'id', None) for word in join.keywords}['backbone'] == 'backbone'


@pytest.mark.parametrize('fragment', FRAGMENTS, ids=lambda path: str(path.relative_to(CONFIGS)))
def test_a_fragment_says_what_it_is_and_some_config_inherits_it(fragment):
    assert ast.get_docstring(ast.parse(fragment.read_text()))
    inherited = set()
    for config in (*LEAVES, *FRAGMENTS):
        for block in ast.walk(ast.parse(config.read_text())):
            if isinstance(block, ast.With):
                for node in block.body:
                    folder = config.parents[node.level - 1]
                    inherited.add(folder.joinpath(*node.module.split('.')).with_suffix('.py'))
    assert fragment in inherited


@each_leaf
def test_the_neck_and_the_heads_fit_the_backbone(built, leaf):
    report = built[0][leaf.stem]
    assert report['scope'] == HEADS[head_of(leaf)]
    assert report['channels'] == report['backbone_channels'] == report['map_channels']
    assert report['strides'] == report['backbone_strides'] == report['map_strides']
    if report['scope'] == 'mmdet':
        assert report['neck_channels'] == report['channels']


@each_leaf
def test_the_anchors_lie_where_the_levels_of_the_neck_are(built, leaf):
    report = built[0][leaf.stem]
    if report['scope'] == 'mmseg':
        pytest.skip('a segmentor has no anchors')
    assert report['anchor_strides'] == [report['level_strides']]


@each_leaf
def test_the_text_that_a_config_is_dumped_to_builds_the_same_model(built, leaf):
    file, text = (reports[leaf.stem] for reports in built)
    assert len(file['shapes']) > 100
    assert text == file
