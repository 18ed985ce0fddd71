"""The weights that are drawn are the layers' own, of every backbone, and looking changes nothing."""

import dataclasses
import math

import pytest
import torch
import torch.nn.functional as F
from small_backbones import SETTINGS, build, images, shared

from vitdense.explain.kept import at_dials
from vitdense.explain.maps import in_cells
from vitdense.explain.record import record
from vitdense.explain.weights import NotItsOutput, VicinityWeights
from vitdense.layers.cells import to_cells
from vitdense.layers.vicinity import VicinityAttention

SIZES = [(61, 90), (128, 64), (1, 1)]
EACH = pytest.mark.parametrize('name', SETTINGS)


def all_weights(attention):
    """(items, heads, queries, keys), checked on the way."""
    return torch.stack([torch.cat(attention.parts(item), 1) for item in range(len(attention.q))])


@pytest.mark.parametrize('size', SIZES, ids=str)
@EACH
def test_weights_of_every_layer_sum_to_one_and_in_its_place_give_the_maps_of_the_backbone(
    monkeypatch, name, size
):
    network, image = shared(name), images(1, 3, *size)
    with torch.no_grad():
        before = network(image)
    seen = record(network, image)
    layers = [one for found in seen.attentions.values() for one in found]
    assert layers
    products = []
    for one in layers:
        weights = all_weights(one)
        silent = weights.sum(3) == 0  # only VVT's
        assert not silent.any() or isinstance(one, VicinityWeights)
        torch.testing.assert_close(weights.sum(3)[~silent], torch.ones_like(weights.sum(3))[~silent])
        if isinstance(one, VicinityWeights):  # under the bounds of the authors' code
            products.append(one._rows(torch.arange(one.queries), 0)[1].to(one.v.dtype))
        else:
            products.append((weights @ one.v.double()).to(one.v.dtype))
    left = iter(products)
    monkeypatch.setattr(F, 'scaled_dot_product_attention', lambda *args, **kwargs: next(left))
    monkeypatch.setattr(
        VicinityAttention, 'attend', staticmethod(lambda q, k, v: next(left).reshape(v.shape))
    )
    with torch.no_grad():
        after = network(image)
    assert next(left, None) is None
    for one, other in zip(after, before, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3 * float(other.std(correction=0) + 1e-3))


@EACH
def test_looking_changes_nothing_and_leaves_nothing(name):
    network, image = build(name), images(1, 3, 61, 90)
    state = {key: value.clone() for key, value in network.state_dict().items()}
    with torch.no_grad():
        before = network(image)
    record(network, image)
    with torch.no_grad():
        after = network(image)
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))
    assert network.state_dict().keys() == state.keys()
    assert all(torch.equal(value, state[key]) for key, value in network.state_dict().items())
    for module in network.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
    assert not network.training


def test_hooks_are_removed_when_the_forward_pass_fails(monkeypatch):
    network = build('PiT')
    monkeypatch.setattr(F, 'scaled_dot_product_attention', lambda *args, **kwargs: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        record(network, images(1, 3, 32, 32))
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())


@pytest.mark.parametrize('name', ['TransCNN', 'VVT', 'SuperViT'])
def test_weights_that_are_not_those_of_the_output_are_an_error(name):
    found = next(iter(record(shared(name), images(1, 3, 61, 90)).attentions.values()))[-1]
    found.weights([0, 3])
    for changed in (dict(output=found.output * 1.01), dict(k=found.k.roll(1, 2)), dict(v=found.v + 0.01)):
        with pytest.raises(NotItsOutput, match=found.layer):
            dataclasses.replace(found, **changed).weights(range(found.queries))


def test_vicinity_weights_are_the_papers_and_those_of_the_linear_form():
    torch.manual_seed(0)
    height, width = 3, 5
    q, k, v = (torch.rand(1, 2, height, width, 4, dtype=torch.float64) for _ in range(3))
    found = VicinityWeights('layer', q, k, v, VicinityAttention.attend(q, k, v))
    weights = torch.cat(found.parts(), 1)
    expected = torch.zeros_like(weights)
    for i in range(height * width):
        for j in range(height * width):
            (r, c), (r2, c2) = divmod(i, width), divmod(j, width)
            near = math.cos(math.pi / 2 * (r - r2) / height) + math.cos(math.pi / 2 * (c - c2) / width)
            expected[:, i, j] = (q[0, :, r, c] * k[0, :, r2, c2]).sum(1) * near
    expected /= expected.sum(2, keepdim=True)
    torch.testing.assert_close(weights, expected)
    linear = VicinityAttention.attend(q, k, v)[0].flatten(1, 2)
    torch.testing.assert_close(weights @ v[0].flatten(1, 2), linear, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(('factor', 'size'), [(1e-3, (2, 3)), (1e-2, (5, 4)), (40.0, (24, 31))])
def test_sums_that_the_authors_code_bounds_are_no_error(factor, size):
    """Small ones, of few pixels or values near zero, are raised to 1e-4; large ones are cut at 1e4."""
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(1, 2, *size, 8, generator=generator) for _ in range(3))
    q, k = F.relu(q), F.relu(k * factor)
    v = v + 3.0 if factor > 1 else v * factor
    found = VicinityWeights('layer', q, k, v, VicinityAttention.attend(q, k, v))
    _, made, output, values = found._rows(torch.arange(found.queries), 0)
    assert (made - output).abs().max() <= 1e-5 * values.abs().max()
    found.weights(range(found.queries))
    waves = torch.einsum('bhxyd,bhxye->bhde', k, v).abs()
    assert waves.min() < 1e-4 or waves.max() > 1e4


def test_a_query_that_no_key_answers_sees_nothing():
    q, k, v = torch.zeros(1, 1, 2, 2, 3), torch.rand(1, 1, 2, 2, 3), torch.rand(1, 1, 2, 2, 3)
    found = VicinityWeights('layer', q, k, v, VicinityAttention.attend(q, k, v))
    assert found.weights([0, 1]).abs().sum() == 0


def test_there_and_back_are_rows_and_columns_of_one_matrix():
    seen = record(shared('DualTokenViT'), images(1, 3, 61, 90))
    for found in seen.attentions.values():
        broadcast = found[-1]
        matrix = torch.cat(broadcast.parts(), 1)
        assert matrix.shape[2] == 49
        torch.testing.assert_close(broadcast.columns([0, 30]), matrix[:, :, [0, 30]])
        torch.testing.assert_close(broadcast.weights([5]), matrix[:, [5]])


@pytest.mark.parametrize(('height', 'width', 'side'), [(16, 16, 8), (9, 13, 8), (5, 20, 7), (3, 3, 8)])
def test_a_pixel_is_found_in_its_grid(height, width, side):
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing='ij')
    cells, _ = to_cells(torch.stack([rows, columns])[None].float(), side)
    for row in range(height):
        for column in range(width):
            item, pixel = in_cells(row, column, width, side)
            assert cells[item, pixel].tolist() == [row, column]


def test_pixels_over_the_edge_have_no_weight():
    seen = record(shared('TransCNN'), images(1, 3, 36, 36))  # 9 × 9 pixels in grids of 8
    found = seen.attentions['stages.0.blocks.0.attn'][0]
    weights = found.weights([0], item=3)[:, 0]  # the grid in the corner, of one pixel
    torch.testing.assert_close(weights[:, 0], torch.ones_like(weights[:, 0]))
    assert not weights[:, 1:].any()


def test_dials_are_as_before_also_after_an_error():
    network = build('SuperViT')
    with at_dials(network, (0.5, 0.7)):
        assert (network.scale, network.keep_rate) == (0.5, 0.7)
    with pytest.raises(ValueError, match='above 0'), at_dials(network, (0.5, 7)):
        network(images(1, 3, 32, 32))
    assert (network.scale, network.keep_rate) == (1, 1)
