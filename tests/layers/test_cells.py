"""A map cut into cells holds every pixel once, where it belongs, and says which pixels are real."""

import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from vitdense.layers.cells import from_cells, to_cells

settings = hypothesis_settings(max_examples=60, deadline=None)
SIZES = dict(
    batch=st.integers(1, 3), height=st.integers(1, 25), width=st.integers(1, 25), side=st.integers(1, 9)
)


def numbered(batch: int, height: int, width: int) -> torch.Tensor:
    """A map of two channels whose every element is another number, and none is zero."""
    return torch.arange(1.0, batch * 2 * height * width + 1).reshape(batch, 2, height, width)


@settings
@given(**SIZES, memory_format=st.sampled_from([torch.contiguous_format, torch.channels_last]))
def test_the_way_to_cells_and_back_loses_nothing(batch, height, width, side, memory_format):
    x = numbered(batch, height, width).contiguous(memory_format=memory_format)
    cells, _ = to_cells(x, side)
    assert torch.equal(from_cells(cells, (height, width), side), x)


@settings
@given(**SIZES)
def test_every_pixel_lands_in_its_cell_and_padding_is_zero_and_masked(batch, height, width, side):
    x = numbered(batch, height, width)
    cells, real = to_cells(x, side)

    rows, columns = -(-height // side), -(-width // side)
    expected = torch.zeros(batch, rows * columns, side * side, 2)
    expected_real = torch.zeros(batch, rows * columns, side * side, dtype=torch.bool)
    for r in range(height):
        for c in range(width):
            cell = r // side * columns + c // side
            pixel = r % side * side + c % side
            expected[:, cell, pixel] = x[:, :, r, c]
            expected_real[:, cell, pixel] = True
    assert torch.equal(cells, expected.reshape(batch * rows * columns, side * side, 2))
    if real is None:
        assert expected_real.all()
    else:
        assert torch.equal(real, expected_real.reshape(batch * rows * columns, 1, 1, side * side))
        assert real.sum() == batch * height * width


@pytest.mark.parametrize(('size', 'masked'), [((16, 24), False), ((15, 24), True), ((16, 17), True)])
def test_there_is_a_mask_only_where_there_is_padding(size, masked):
    """So that attention can take the kernels that have no mask."""
    _, real = to_cells(numbered(2, *size), 8)
    assert (real is not None) == masked


@settings
@given(**SIZES)
def test_a_gradient_comes_back_once_for_every_pixel(batch, height, width, side):
    x = numbered(batch, height, width).requires_grad_()
    cells, _ = to_cells(x, side)
    weights = torch.randn_like(cells)
    (cells * weights).sum().backward()
    assert torch.equal(x.grad, from_cells(weights, (height, width), side))
