"""VVT's published costs with Semantic FPN and UPerNet come out of our count, and docs/results.md has both."""

import re
from copy import deepcopy
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from small import CONFIGS, REPOSITORY

from vitdense.backbones.vvt import VVT
from vitdense.complexity import Cost, model_cost
from vitdense.config.variant import set_arch

HEADS = {'Semantic FPN': 'semantic_fpn', 'UPerNet': 'upernet'}
ROW = re.compile(
    r'\| VVT `(?P<arch>\w+)`, (?P<head>[\w ]+) '
    r'\| (?P<parameters>[\d.]+) M, (?P<our_parameters>[\d.]+) M, (?P<off>[+-]?[\d.]+) % '
    r'\| (?P<giga>[\d.]+) G, (?P<our_giga>[\d.]+) G, (?P<giga_off>[+-]?[\d.]+) % '
    r'\| (?P<here>[\d.]+) G \|'
)
ROWS = [row.groupdict() for row in ROW.finditer((REPOSITORY / 'docs/results.md').read_text())]


def attention_of_the_authors(vvt, side):
    """Multiply-adds of the products in the authors' code, which has four re-weighted copies of q and of k.

    Of each head, d wide, on N pixels: Σ k vᵀ, 4d × d for each pixel, q Σ k vᵀ likewise, and q Σ k.
    """
    total = 0
    for dim, heads, depth, stride in zip(
        vvt.arch.dims, vvt.arch.heads, vvt.arch.depths, vvt.strides, strict=True
    ):
        d = dim // vvt.arch.feature_reduction // heads
        total += depth * (side // stride) ** 2 * heads * (4 * d * d + 4 * d * d + 4 * d)
    return total


def test_every_published_row_is_in_the_table():
    assert {(row['head'], row['arch']) for row in ROWS} == {
        (head, arch) for head in HEADS for arch in ('small', 'medium', 'large')
    }


@pytest.mark.parametrize('row', ROWS, ids=lambda row: f'{HEADS[row["head"]]}_vvt_{row["arch"]}')
def test_a_row_of_the_table_is_recomputed(row):
    """Parameters with the auxiliary head, multiply-adds without it, with those of attention."""
    cfg = Config.fromfile(CONFIGS / f'{HEADS[row["head"]]}_vvt.py')
    set_arch(cfg, row['arch'])
    cost = sum(model_cost(cfg).values(), Cost())
    with torch.device('meta'), DefaultScope.overwrite_default_scope('mmseg'):
        model = MODELS.build(cfg.model)
    parameters = sum(p.numel() for p in model.parameters()) / 1e6
    giga = (cost.layers + attention_of_the_authors(model.backbone, 512)) / 1e9

    assert (row['our_parameters'], row['our_giga']) == (f'{parameters:.2f}', f'{giga:.2f}')
    assert row['here'] == f'{cost.multiply_adds / 1e9:.2f}'
    for ours, published, off in (
        (parameters, row['parameters'], row['off']),
        (giga, row['giga'], row['giga_off']),
    ):
        residual = 100 * (ours / float(published) - 1)
        assert off == (f'{residual:+.1f}' if abs(residual) >= 0.05 else '0.0')
        assert abs(residual) < 1


@pytest.mark.parametrize(
    ('name', 'parameters', 'giga'),
    [
        ('sem_fpn/fpn_r50_4xb4-160k_ade20k-512x512.py', 28.5, 45.6),
        ('swin/swin-tiny-patch4-window7-in1k-pre_upernet_8xb2-160k_ade20k-512x512.py', 59.9, 237),
        ('swin/swin-small-patch4-window7-in1k-pre_upernet_8xb2-160k_ade20k-512x512.py', 81.3, 261),
    ],
)
def test_the_rule_gives_what_is_published_of_mmsegmentations_own_configs(name, parameters, giga):
    cfg = Config.fromfile(Path(find_spec('mmseg').origin).parent / '.mim/configs' / name)
    with DefaultScope.overwrite_default_scope('mmseg'):
        model = MODELS.build(deepcopy(cfg.model))  # into which ResNet's segmentor writes
    multiply_adds = sum(model_cost(cfg).values(), Cost()).multiply_adds
    assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(parameters, rel=1e-3)
    assert multiply_adds / 1e9 == pytest.approx(giga, rel=2e-3)


def test_our_order_of_the_products_halves_them():
    with torch.device('meta'):
        vvt = VVT('small')
    cfg = Config.fromfile(CONFIGS / 'semantic_fpn_vvt.py')
    set_arch(cfg, 'small')
    ours = model_cost(cfg)['backbone'].attention
    assert ours / attention_of_the_authors(vvt, 512) == pytest.approx(0.5, abs=0.03)
