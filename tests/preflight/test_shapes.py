"""Strides that are assumed of the maps, and those that are assumed of others."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from vitdense.data.reproducible import SampleId
from vitdense.findings import Finding
from vitdense.preflight.shapes import SIZE, _strides, shapes

HEAD = ['model.bbox_head.in_channels=8', 'train_dataloader.num_workers=0']


def regions(**extractors):
    """Modules that cut regions out of maps, by name."""
    model = nn.ModuleDict({name: nn.Identity() for name in extractors})
    for name, strides in extractors.items():
        model[name].featmap_strides = strides
    return model


def test_the_regions_of_a_semantic_map_are_not_those_of_the_necks_first_map():
    maps = [torch.zeros(1, 1, SIZE[0] // stride, SIZE[1] // stride) for stride in (4, 8)]
    assert not list(_strides(regions(bbox=[4, 8], semantic_roi_extractor=[8]), maps, SIZE))  # HTC's
    (found,) = _strides(regions(bbox=[8], semantic_roi_extractor=[8]), maps, SIZE)
    assert found.text == 'model.bbox.featmap_strides says 8 of a map whose stride is 4'


def test_a_model_that_fails_at_its_first_samples_is_a_user_error(call):
    code, _, said = call('train', 'tiny.py', '--sample', '--preflight', '--cfg-options', *HEAD)
    assert code == 2
    assert said.startswith('error: the run cannot start: the first step fails: RuntimeError: ')
    assert 'to have 8 channels, but got 16' in said


@pytest.mark.parametrize(
    ('change', 'said'),
    [
        ({}, None),
        (
            dict(in_channels=[16, 8]),
            'model.decode_head.in_channels comes to [16, 8], the neck gives [16, 16]',
        ),
        (dict(in_index=[0, 2]), 'model.decode_head.in_index is [0, 2], the neck gives 2 maps'),
    ],
)
def test_a_segmentors_head_behind_a_neck_reads_the_necks_maps(change, said, libraries):
    from mmseg.models import FPN, FPNHead

    head = dict(in_channels=[16, 16], in_index=[0, 1], feature_strides=[4, 8], channels=8, num_classes=3)
    model = nn.Module()
    model.backbone = TwoMaps()
    model.neck = FPN([4, 6], 16, 2)
    model.decode_head = FPNHead(**(head | change))
    found = list(shapes(SimpleNamespace(model=model)))
    assert [one.text for one in found] == ['4 channels at 1/4, 6 channels at 1/8', *([said] if said else [])]


class TwoMaps(nn.Module):
    def __init__(self):
        super().__init__()
        self.convs = nn.ModuleList([nn.Conv2d(3, 4, 1, stride=4), nn.Conv2d(3, 6, 1, stride=8)])

    def forward(self, image):
        return [conv(image) for conv in self.convs]


class OneSize(nn.Conv2d):
    """As SSD300, whose neck has no pixel left of the small image that others are tried with."""

    def forward(self, image):
        assert image.shape == (1, 3, 300, 300)
        return [super().forward(image)]


def test_a_network_for_images_of_one_size_is_tried_with_the_first_of_the_data():
    model = nn.ModuleDict(dict(backbone=OneSize(3, 8, 1, stride=4)))
    model.backbone = model['backbone']
    dataset = {SampleId(0, 0, 0): dict(inputs=torch.zeros(3, 300, 300))}
    runner = SimpleNamespace(model=model, train_dataloader=SimpleNamespace(dataset=dataset))
    (found,) = shapes(runner)
    assert found == Finding('maps', '8 channels at 1/4')
    assert model.training
