"""Attention whose queries are split over threads is the same attention, and has the same gradients."""

import pytest
import torch
import torch.nn.functional as F

from vitdense.layers import attention
from vitdense.layers.attention import attend


@pytest.fixture(autouse=True)
def four_threads(monkeypatch):
    monkeypatch.setattr(torch, 'get_num_threads', lambda: 4)


@pytest.mark.parametrize(('batch', 'heads', 'parts'), [(1, 1, 4), (1, 2, 2), (2, 1, 2), (1, 3, 1), (4, 1, 1)])
def test_parts_change_nothing(batch, heads, parts):
    torch.manual_seed(0)
    q, k, v = (torch.randn(batch, heads, n, 8, dtype=torch.float64, requires_grad=True) for n in (24, 10, 10))
    assert attention._parts(q) == parts
    out = attend(q, k, v)
    expected = F.softmax(q @ k.transpose(2, 3) / 8**0.5, -1) @ v
    torch.testing.assert_close(out, expected.transpose(1, 2).flatten(2))
    weights = torch.randn_like(out)
    grads = torch.autograd.grad((out * weights).sum(), (q, k, v))
    there = torch.autograd.grad((expected.transpose(1, 2).flatten(2) * weights).sum(), (q, k, v))
    for one, other in zip(grads, there, strict=True):
        torch.testing.assert_close(one, other)


def test_only_what_trains_is_cut():
    q = torch.randn(1, 1, 24, 8)
    assert attention._parts(q) == 1
    q.requires_grad_()
    assert attention._parts(q) == 4
    assert attention._parts(q[:, :, 1:]) == 1  # 23 queries
    with torch.no_grad():
        assert attention._parts(q) == 1
