"""Operators that a graph with free sizes has to keep, each at sizes other than the example's."""

import numpy as np
import pytest

pytest.importorskip('onnxscript', reason='vitdense[export]')
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torchvision.ops import batched_nms

from vitdense.backbones.supervit import Stem
from vitdense.export.graph import regions
from vitdense.export.operators import Enlarge, ExactAdaptivePool, cell_means, exportable
from vitdense.export.write import to_onnx, write_onnx, write_openvino
from vitdense.exported.nms import nms
from vitdense.exported.runtimes import open_session
from vitdense.layers.interpolation import interpolation, resample
from vitdense.layers.position import resample_table

sizes = st.tuples(*[st.integers(1, 40)] * 2)


@given(sizes, st.tuples(*[st.integers(1, 9)] * 2))
def test_exact_pooling_is_torchs(size, cells):
    x = torch.randn(2, 3, *size, dtype=torch.float64)
    torch.testing.assert_close(ExactAdaptivePool(cells)(x), nn.AdaptiveAvgPool2d(cells)(x))


@given(st.integers(1, 40), st.integers(1, 9))
def test_each_cell_is_a_mean(length, cells):
    weights = cell_means(torch.ones(1), length, cells)
    torch.testing.assert_close(weights.sum(1), torch.ones(cells))


def test_every_adaptive_pooling_is_exchanged_in_a_copy():
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Conv2d(4, 4, 1)))
    copied = exportable(model)
    assert isinstance(copied[1][0], ExactAdaptivePool)
    assert isinstance(model[1][0], nn.AdaptiveAvgPool2d)


@given(
    sizes, st.integers(1, 3), st.sampled_from([('bilinear', False), ('bilinear', True), ('nearest', None)])
)
def test_enlarging_is_mmsegmentations(size, factor, how):
    theirs = pytest.importorskip('mmseg.models.utils').Upsample(None, factor, *how)
    ours = exportable(nn.Sequential(theirs))[0]
    assert isinstance(ours, Enlarge)
    x = torch.randn(2, 3, *size)
    assert torch.equal(ours(x), theirs(x))


@given(st.integers(0, 10**6))
def test_grouped_suppression_is_torchvisions(seed):
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(3, 12, 2, generator=generator) * 20
    boxes = torch.cat([corner, corner + torch.rand(3, 12, 2, generator=generator) * 15], 2)
    scores = torch.rand(3, 12, generator=generator)
    scores[scores < 0.2] = 0
    kept = nms(boxes, scores, 0.5)
    group = torch.arange(3).repeat_interleave(12)
    flat, values = boxes.flatten(0, 1), scores.flatten()
    scored = torch.nonzero(values > 0)[:, 0]
    want = torch.zeros(36)
    best = scored[batched_nms(flat[scored], values[scored], group[scored], 0.5)]
    want[best] = values[best]
    assert torch.equal(kept.flatten(), want)


class Antialiased(nn.Module):
    """DualToken-ViT's resampling to 7 × 7 cells."""

    def forward(self, image):
        x = image.permute(0, 2, 3, 1)
        return (resample(x, tuple(interpolation(x, length, 7) for length in image.shape[2:])),)


class Table(nn.Module):
    """A position table that is resized to the map."""

    def __init__(self):
        super().__init__()
        self.table = nn.Parameter(torch.randn(1, 3, 5, 6))

    def forward(self, image):
        return (image + resample_table(self.table, image.shape[2:]),)


class Nearest(nn.Module):
    """The one of SuperViT's position tables whose size is the nearest to the image's."""

    def __init__(self):
        super().__init__()
        self.stem = Stem(3, 4, 8, (16, 24, 40, 48))

    def forward(self, image):
        return (self.stem(image)[0],)


class Pooled(nn.Module):
    def __init__(self):
        super().__init__()
        self.pools = nn.ModuleList(ExactAdaptivePool((cells, cells)) for cells in (1, 2, 3, 6))

    def forward(self, image):
        return tuple(pool(image) for pool in self.pools)


class Enlarged(nn.Module):
    """Semantic FPN's steps to a finer level."""

    def __init__(self):
        super().__init__()
        self.steps = nn.Sequential(*[Enlarge(2, 'bilinear', False) for _ in range(2)])

    def forward(self, image):
        fine = self.steps(image[:, :, ::4, ::4])
        return (image + nn.functional.interpolate(fine, image.shape[2:], mode='bilinear'),)


class Suppressed(nn.Module):
    def forward(self, image):
        corner, extent, score = image[:, :2], image[:, 1:].abs(), image.mean(1).sigmoid()
        boxes = torch.cat([corner, corner + extent], 1).flatten(2).transpose(1, 2)
        return (nms(boxes * 10, score.flatten(1), 0.3),)


class Regions(nn.Module):
    """RoIAlign whose samples follow from the size of a box, on two levels."""

    def __init__(self):
        super().__init__()
        from mmdet.models import SingleRoIExtractor

        layer = dict(type='RoIAlign', output_size=3, sampling_ratio=0)
        self.extractor = SingleRoIExtractor(layer, out_channels=3, featmap_strides=[1, 2], finest_scale=8)
        self.register_buffer(
            'boxes', torch.tensor([[0.0, 1, 9, 30], [3, 3, 7.5, 8], [2, 0, 28, 31], [4, 4, 4, 4]])
        )

    def forward(self, image):
        maps = (image, image[:, :, ::2, ::2])
        return (regions(self.extractor, maps, self.boxes.expand(image.shape[0], -1, -1)),)


@pytest.mark.parametrize('module', [Antialiased, Table, Nearest, Pooled, Enlarged, Suppressed, Regions])
def test_an_operator_is_the_same_in_each_runtime_at_sizes_other_than_the_examples(
    module, libraries, tmp_path
):
    torch.manual_seed(0)
    module = module().eval()
    free = dict.fromkeys((0, 2, 3), torch.export.Dim.DYNAMIC)
    with torch.no_grad():
        program = torch.export.export(module, (torch.randn(2, 3, 36, 40),), dynamic_shapes={'image': free})
    names = [f'output {number}' for number in range(len(program.graph_signature.user_outputs))]
    write_onnx(to_onnx(program, names, 18), tmp_path / 'module.onnx')
    write_openvino(tmp_path / 'module.onnx', tmp_path / 'module.xml')
    for file in ('module.onnx', 'module.xml'):
        session = open_session(tmp_path / file)
        for shape in ((1, 3, 36, 40), (2, 3, 61, 33), (3, 3, 40, 97), (1, 3, 128, 35)):
            image = torch.randn(shape)
            with torch.no_grad():
                want = module(image)
            for one, other in zip(want, session.run(image.numpy()), strict=True):
                np.testing.assert_allclose(other, one, rtol=1e-3, atol=1e-5, err_msg=f'{file} {shape}')
