"""Which patches SuperViT keeps: as many as its rule says, the best by the class token, each once."""

import math

import numpy as np
import pytest
import torch
from small_backbones import build, images

from vitdense.dials import DialSetting
from vitdense.explain.kept import at_dials, kept_tokens
from vitdense.explain.record import record
from vitdense.explain.view import View


@pytest.fixture(scope='module')
def network():
    return build('SuperViT')


def view_of(image):
    return View('image', image, np.zeros((*image.shape[2:], 3), np.uint8), (1.0, 1.0))


@pytest.mark.parametrize('keep_rate', [1, 0.9, 0.7, 0.5, 0.01])
@pytest.mark.parametrize('size', [(96, 80), (61, 90), (16, 16)])
def test_each_block_keeps_the_rate_of_what_the_one_before_kept(network, size, keep_rate):
    (kept,) = kept_tokens(network, view_of(images(1, 3, *size)), [DialSetting(1, keep_rate)])
    count = math.ceil(size[0] / 16) * math.ceil(size[1] / 16)
    before = np.ones(kept.masks[0].shape, bool)
    assert before.size == count
    assert list(kept.blocks) == [1, 3, 4]
    for mask in kept.masks:
        tokens = count + 1  # with the class token, which is kept beside them
        count = count if keep_rate == 1 else max(min(math.ceil(tokens * keep_rate - 1e-9), tokens - 1), 1)
        assert mask.sum() == count
        assert not (mask & ~before).any()
        before = mask


def test_those_that_the_class_token_attends_to_most_are_kept(network):
    setting = DialSetting(1, 0.5)
    with at_dials(network, setting):
        seen = record(network, images(1, 3, 96, 80))
    places = None
    for name in ('stages.1.0', 'stages.2.0', 'stages.3.0'):
        scores = seen.attentions[name][-1].weights([0]).mean(0)[0, 1:]
        now = torch.arange(len(scores)) if places is None else places
        places = seen.kept[name]
        best = now[scores.topk(len(places)).indices]
        assert set(best.tolist()) == set(places.tolist())


def test_a_smaller_scale_has_fewer_and_larger_patches(network):
    small, whole = kept_tokens(
        network, view_of(images(1, 3, 96, 96)), [DialSetting(0.5, 0.7), DialSetting(1, 0.7)]
    )
    assert (small.masks[0].shape, whole.masks[0].shape) == ((3, 3), (6, 6))
    assert (small.stride, whole.stride) == (32, 16)
    assert (network.scale, network.keep_rate) == (1, 1)
