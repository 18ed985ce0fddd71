"""What a preflight check shows a model and the transforms of its data, they forget."""

from types import SimpleNamespace

import torch
from mmcv.transforms import BaseTransform
from mmengine.dataset import Compose
from torch import nn

from vitdense.preflight.untouched import untouched


class Caching(BaseTransform):
    """Keeps what it sees, as MMDetection's CachedMosaic does."""

    def __init__(self):
        self.cache, self.seen = [], 0

    def transform(self, results):
        self.cache.append(results)
        self.seen += 1
        return results


class Counting(nn.Module):
    """Counts what it learned from, as Dynamic R-CNN's head does."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.history, self.size = [0.5], None

    def forward(self):
        self.history.append(1.0)
        self.size = (64, 64)


def test_lists_and_counters_of_models_and_transforms_are_what_they_were():
    model, transform = nn.Sequential(Counting()), Caching()
    leaf = SimpleNamespace(pipeline=Compose([transform]))
    dataset = SimpleNamespace(dataset=SimpleNamespace(datasets=[leaf], pipeline=[]))
    with untouched(model, dataset):
        model[0]()
        leaf.pipeline(dict(number=1))
        assert (model[0].history, model[0].size) == ([0.5, 1.0], (64, 64))
        assert transform.seen == 1
    assert (model[0].history, model[0].size) == ([0.5], None)
    assert (transform.cache, transform.seen) == ([], 0)
    assert [name for name, _ in model.named_parameters()] == ['0.weight']
