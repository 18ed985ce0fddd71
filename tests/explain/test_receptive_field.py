"""The effective receptive field of convolutions is what their kernels say."""

import numpy as np
import pytest
import torch
from small_backbones import build, images
from torch import nn

from vitdense.explain.receptive_field import ReceptiveField, first_pixels, receptive_fields


class Convolutions(nn.Module):
    """Maps after each of several 3 × 3 convolutions; the last one strided, if asked for."""

    def __init__(self, count, stride=1, norm=False):
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Conv2d(1 if i else 3, 1, 3, stride if i == count - 1 else 1, padding=1, bias=False)
            for i in range(count)
        )
        for layer in self.layers:
            nn.init.uniform_(layer.weight, 0.1, 1)

    def forward(self, x):
        maps = []
        for layer in self.layers:
            x = layer(x)
            maps.append(x)
        return tuple(maps)


def kernel(layers):
    """What several convolutions in a row are together, of the colours' sum."""
    whole = torch.ones(1, 1, 1, 1)
    for number, layer in enumerate(layers):
        one = layer.weight.detach().sum(1, keepdim=True) if number == 0 else layer.weight.detach()
        whole = torch.conv_transpose2d(whole, one)
    return whole[0, 0].numpy()


@pytest.mark.parametrize('sizes', [[(20, 31)], [(20, 31), (40, 17), (25, 25)]])
def test_of_convolutions_in_a_row_it_is_their_kernels_together(sizes):
    torch.manual_seed(0)
    network = Convolutions(3)
    pictures = [images(1, 3, *size, seed=i) for i, size in enumerate(sizes)]
    fields = receptive_fields(network, [1, 1, 1], [0, 0, 0], pictures)
    for count, one in enumerate(fields, 1):
        expected = kernel(network.layers[:count])
        found, edge = one.gradient, (len(one.gradient) - len(expected)) // 2
        assert found.sum() == pytest.approx(1)
        middle = found[edge : edge + len(expected), edge : edge + len(expected)]
        np.testing.assert_allclose(middle, expected / expected.sum(), rtol=1e-5)
        assert not (found.sum() - middle.sum()) > 1e-6


def test_a_strided_map_is_seen_from_the_pixel_under_its_centre():
    torch.manual_seed(0)
    network = Convolutions(1, stride=2)
    (one,) = receptive_fields(network, [2], [0], [images(1, 3, 22, 22)])
    expected = kernel(network.layers)
    middle = len(one.gradient) // 2
    np.testing.assert_allclose(
        one.gradient[middle - 1 : middle + 2, middle - 1 : middle + 2], expected / expected.sum(), rtol=1e-5
    )


def test_behind_a_norm_of_the_channels_it_does_not_vanish():
    torch.manual_seed(0)

    class Normed(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 64, 3, padding=1)

        def forward(self, x):
            return (nn.functional.layer_norm(self.conv(x).permute(0, 2, 3, 1), [64]).permute(0, 3, 1, 2),)

    image = images(1, 3, 16, 16).requires_grad_()
    network = Normed()
    (plain,) = torch.autograd.grad(network(image)[0][0, :, 8, 8].sum(), image)
    assert plain.abs().max() < 1e-6  # the channels cancel each other out
    (one,) = receptive_fields(network, [1], [0], [image])
    middle = len(one.gradient) // 2
    window = one.gradient[middle - 1 : middle + 2, middle - 1 : middle + 2]
    assert window.sum() == pytest.approx(1)
    assert window.min() > 0.02


def test_shares_are_within_squares():
    gradient = np.zeros((9, 9))
    gradient[4, 4], gradient[4, 6], gradient[0, 0] = 0.5, 0.4, 0.1
    one = ReceptiveField(gradient)
    assert [one.radius(share) for share in (0.5, 0.6, 0.9, 0.95, 1)] == [0, 2, 2, 4, 4]


@pytest.mark.parametrize('name', ['TransCNN', 'VVT', 'PiT', 'DualTokenViT', 'SuperViT'])
def test_the_first_pixel_is_under_the_first_map_of_the_stem(name):
    network = build(name)
    image = images(1, 3, 96, 96).requires_grad_()
    x = network.stem.proj(image) if name == 'SuperViT' else network.stem(image)
    x = x[0] if isinstance(x, tuple) else x
    stride = 96 // x.shape[2]
    index = network.strides.index(stride)
    (gradient,) = torch.autograd.grad(x[0, :, 3, 3] @ torch.linspace(-1, 1, x.shape[1]), image)
    seen = gradient[0].abs().sum(0).nonzero()
    middle = (seen.min(0).values + seen.max(0).values + 1) // 2
    assert middle.tolist() == [3 * stride + first_pixels(network)[index]] * 2


def test_nothing_of_the_network_changes():
    network = build('DualTokenViT').requires_grad_(False)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    receptive_fields(network, network.strides, first_pixels(network), [images(1, 3, 61, 90)])
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())
