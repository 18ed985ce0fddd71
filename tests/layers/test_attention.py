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


@pytest.mark.parametrize(
    ('batch', 'heads', 'queries', 'keys'), [(1, 1, 300, 70), (1, 3, 130, 40), (2, 5, 7, 9), (40, 1, 16, 16)]
)
def test_in_products_it_is_the_same_attention(monkeypatch, batch, heads, queries, keys):
    """In parts of the heads and of the queries, to bfloat16's rounding of scores, weights and results."""
    monkeypatch.setattr(attention, 'WEIGHTS', 64 * 2 * keys)
    torch.manual_seed(0)
    q, k, v = (
        torch.randn(batch, n, heads, 8, dtype=torch.bfloat16).transpose(1, 2) for n in (queries, keys, keys)
    )
    expected = F.softmax(q.double() @ k.double().transpose(2, 3) / 8**0.5, -1) @ v.double()
    out = attention._in_products(q, k, v)
    assert out.shape == (batch, queries, heads * 8)
    torch.testing.assert_close(out.double(), expected.transpose(1, 2).flatten(2), rtol=0.02, atol=0.02)


def test_products_are_for_inference_in_bfloat16_where_they_are_quick(monkeypatch):
    q = torch.randn(1, 1, 8, 8, dtype=torch.bfloat16)
    for quick in (True, False):
        monkeypatch.setattr(attention, 'has_bfloat16_products', lambda quick=quick: quick)
        assert attention._is_quick_in_products(q, q, q) == quick
        assert not attention._is_quick_in_products(q, q.clone().requires_grad_(), q)
        assert not attention._is_quick_in_products(q.float(), q.float(), q.float())


@torch.no_grad()
def test_where_it_is_quick_both_ways_agree(monkeypatch):
    q, k, v = (torch.randn(2, 3, n, 8).bfloat16() for n in (100, 30, 30))
    results = []
    for quick in (True, False):
        monkeypatch.setattr(attention, 'has_bfloat16_products', lambda quick=quick: quick)
        results.append(attend(q, k, v).float())
    torch.testing.assert_close(*results, rtol=0.02, atol=0.02)
