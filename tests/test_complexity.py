"""Costs are those that one computes by hand, whatever kernels a device has, and no part is left out."""

import json
from functools import partial
from pathlib import Path

import mmdet
import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config
from small import CONFIGS
from torch import nn

from vitdense.backbones import PiT, SuperViT
from vitdense.complexity import Cost, cost, model_cost


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.qkv = nn.Linear(24, 72)
        self.convs = nn.ModuleList([nn.Conv2d(24, 16, 3, stride=2, padding=1, groups=4), nn.Conv2d(16, 8, 1)])

    def forward(self, tokens):
        q, k, v = self.qkv(tokens).view(2, 35, 3, 4, 6).permute(2, 0, 3, 1, 4)
        out = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(2, 5, 7, 24)
        for conv in self.convs:
            out = conv(out.movedim(-1, 1)).movedim(1, -1)
        return out


@pytest.mark.parametrize('device', ['cpu', 'meta'])
@pytest.mark.parametrize('gradients', [True, False])
def test_costs_are_those_of_the_definitions(device, gradients):
    """The CPU's attention is one fused operator, the meta device's two products."""
    module = Attention().to(device).requires_grad_(gradients)
    whole, inside, out = cost(module, torch.zeros(2, 35, 24, device=device))
    assert out.shape == (2, 3, 4, 8)
    projection = 2 * 35 * 24 * 72
    convs = 2 * 12 * 16 * 9 * 6, 2 * 12 * 8 * 16
    attention = 2 * 4 * 2 * 35 * 35 * 6
    pixels = 2 * 35 * 72, 2 * 12 * 16, 2 * 12 * 8
    parameters = 24 * 72 + 72, 16 * 6 * 9 + 16, 8 * 16 + 8
    assert whole == Cost(sum(parameters), projection + sum(convs), attention, sum(pixels))
    assert whole.multiply_adds == projection + sum(convs) + attention
    assert inside['qkv'] == Cost(parameters[0], projection, 0, pixels[0])
    assert inside['convs'] == Cost(sum(parameters[1:]), sum(convs), 0, sum(pixels[1:]))
    assert inside['convs.1'] == Cost(parameters[2], convs[1], 0, pixels[2])
    assert list(inside) == ['qkv', 'convs', 'convs.0', 'convs.1']
    assert not module.qkv._forward_hooks  # nothing of the counting stays behind
    assert not module.qkv._forward_pre_hooks


def test_pits_attention_is_between_all_tokens_of_a_stage():
    with torch.device('meta'):
        pit, image = PiT('s'), torch.empty(1, 3, 128, 256)
    a = pit.arch
    expected = 0
    for heads, depth, (height, width) in zip(a.heads, a.depths, ((16, 32), (8, 16), (4, 8)), strict=True):
        expected += depth * 2 * (height * width + 1) ** 2 * heads * a.head_dim
    assert cost(pit, image)[0].attention == expected


def test_a_lower_keep_rate_of_supervit_costs_less():
    with torch.device('meta'):
        backbone, image = SuperViT('deit_s'), torch.empty(1, 3, 224, 224)
    backbone.scale, backbone.keep_rate = 1, 1
    full = cost(backbone.eval(), image)[0].multiply_adds
    backbone.keep_rate = 0.5
    assert cost(backbone, image)[0].multiply_adds < 0.6 * full


@pytest.mark.parametrize('name', ['retinanet_hatnet', 'mask_rcnn_transcnn', 'deeplabv3_vvt'])
def test_the_parts_of_a_model_are_all_of_it(name):
    cfg = Config.fromfile(CONFIGS / f'{name}.py')
    parts = model_cost(cfg)
    stages = model_cost(cfg, stages=True)
    assert len(stages) >= len(parts) + 4  # the stem and four stages in place of the backbone
    assert sum(stages.values(), Cost()) == sum(parts.values(), Cost())
    with torch.device('meta'):
        from mmengine.registry import MODELS

        model = MODELS.build(cfg.model)
    only_trains = getattr(model, 'auxiliary_head', None) or nn.Module()
    counted = sum(part.parameters for part in parts.values())
    assert counted == sum(p.numel() for p in model.parameters()) - sum(
        p.numel() for p in only_trains.parameters()
    )


def test_the_heads_of_mask_rcnn_cost_what_their_layers_come_to():
    """At 800 × 1280, on 1000 regions of 7 × 7 for their boxes and 100 of 14 × 14 for their masks."""
    parts = model_cost(Config.fromfile(CONFIGS / 'mask_rcnn_transcnn.py'))
    cells = sum(-(-800 // stride) * -(-1280 // stride) for stride in (4, 8, 16, 32, 64))
    assert parts['rpn_head'].layers == cells * 256 * (9 * 256 + 3 + 3 * 4)
    assert parts['bbox_head'].layers == 1000 * 1024 * (7 * 7 * 256 + 1024 + 81 + 80 * 4)
    convolutions, deconvolution, classes = 14**2 * 4 * 9 * 256, 28**2 * 256, 28**2 * 80
    assert parts['mask_head'].layers == 100 * 256 * (convolutions + deconvolution + classes)


@pytest.fixture
def tool(call_tool):
    return partial(call_tool, 'complexity')


def test_the_tool_prints_a_table_or_json(tool):
    configs = [CONFIGS / 'retinanet_transcnn.py', CONFIGS / 'pspnet_transcnn.py']
    code, out, err = tool(*configs, '--json', '--arch', 'small', '--size', 65, 130)
    assert (code, err) == (0, '')
    parts = json.loads(out)
    assert list(parts) == ['retinanet_transcnn', 'pspnet_transcnn']
    assert list(parts['retinanet_transcnn']) == ['backbone', 'neck', 'bbox_head']
    cfg = Config.fromfile(configs[0])
    cfg.model.backbone.arch = 'small'
    backbone = model_cost(cfg, (65, 130))['backbone']
    assert parts['retinanet_transcnn']['backbone'] == backbone._asdict()

    code, out, err = tool(configs[0], '--arch', 'small', '--size', 65, 130)
    assert (code, err) == (0, '')
    assert f'{backbone.parameters / 1e6:.2f} M' in out
    assert f'{backbone.multiply_adds / 1e9:.2f} G' in out


THEIRS = Path(mmdet.__file__).parent / '.mim/configs'


@pytest.mark.parametrize(
    ('name', 'part'),
    [
        ('solo/solo_r50_fpn_1x_coco.py', 'mask_head of SOLO'),
        ('ms_rcnn/ms-rcnn_r50_fpn_1x_coco.py', 'mask_iou_head of MaskScoringRCNN'),
        ('detr/detr_r50_8xb2-150e_coco.py', 'TypeError'),
    ],
)
def test_a_model_of_which_a_part_cannot_be_counted_is_refused(tool, name, part):
    code, out, err = tool(THEIRS / name)
    assert (code, out) == (2, '')
    assert err.startswith(f'error: {THEIRS / name}: ')
    assert part in err
    assert err.count('\n') == 1


def test_a_model_that_reads_numbers_while_it_is_built_is_counted_too(tool):
    name = 'swin/retinanet_swin-t-p4-w7_fpn_1x_coco.py'
    code, out, _ = tool(THEIRS / name, '--json', '--size', 128, 128)
    assert code == 0
    assert sum(part['parameters'] for part in json.loads(out)[Path(name).stem].values()) > 38e6


def test_two_configs_of_one_name_are_two(tool, tmp_path):
    leaf = CONFIGS / 'retinanet_pit.py'
    cfg = Config.fromfile(leaf)
    cfg.dump(tmp_path / leaf.name)
    code, out, _ = tool(leaf, tmp_path / leaf.name, '--json', '--size', 64, 64)
    assert (code, list(json.loads(out))) == (0, ['retinanet_pit', str(tmp_path / leaf.name)])


def test_an_unknown_variant_is_one_line_with_the_known_ones(tool):
    code, out, err = tool(CONFIGS / 'retinanet_transcnn.py', '--arch', 'huge')
    assert (code, out) == (2, '')
    assert err.startswith('error: --arch: ')
    assert err.endswith('tiny, small, medium, large\n')
