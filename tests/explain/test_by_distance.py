"""VVT's weights by distance: of content that is everywhere alike, the cosines alone."""

import numpy as np
import pytest
import torch
from small_backbones import images, shared

from vitdense.explain.distance import _rings, average, by_distance
from vitdense.explain.record import record
from vitdense.explain.weights import VicinityWeights
from vitdense.layers.vicinity import VicinityAttention


def test_of_content_that_is_alike_it_is_that_of_the_cosines():
    q = k = torch.ones(1, 1, 6, 9, 2)
    v = torch.rand(1, 1, 6, 9, 2)
    one = _rings(VicinityWeights('layer', q, k, v, VicinityAttention.attend(q, k, v)), 4)
    np.testing.assert_allclose(one.weight, one.alone)
    assert (np.diff(one.alone) < 0).all()
    assert one.pixels.tolist() == [4.0 * ring for ring in range(len(one.pixels))]


def test_means_in_rings_are_those_of_the_whole_matrix():
    torch.manual_seed(0)
    q, k, v = (torch.rand(1, 2, 4, 7, 3) for _ in range(3))
    attention = VicinityWeights('layer', q, k, v, VicinityAttention.attend(q, k, v))
    matrix = torch.cat(attention.parts(), 1).mean(0).numpy()
    places = np.array([divmod(i, 7) for i in range(28)])
    rings = np.linalg.norm(places[:, None] - places[None], axis=2).round()
    one = _rings(attention, 1)
    expected = [28 * matrix[rings == ring].mean() for ring in one.pixels]
    np.testing.assert_allclose(one.weight, expected)


def test_images_of_other_sizes_are_averaged_as_far_as_all_reach():
    network = shared('VVT')
    found = [by_distance(network, record(network, images(1, 3, *size))) for size in ((61, 90), (40, 40))]
    for mean, one, other in zip(average(found), *found, strict=True):
        count = min(len(one.pixels), len(other.pixels))
        np.testing.assert_allclose(mean.weight, (one.weight[:count] + other.weight[:count]) / 2)
        assert mean.stride == one.stride


@pytest.mark.parametrize('size', [(1, 1), (300, 500)])
def test_any_size_has_a_line_for_each_stage(size):
    network = shared('VVT')
    assert len(by_distance(network, record(network, images(1, 3, *size)))) == 4
