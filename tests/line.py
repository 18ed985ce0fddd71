"""A run small enough to look into: a line is fitted, four numbers at a time (`make_runner` in conftest)."""

import torch
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper, OptimWrapperDict
from torch import nn
from torch.utils.data import Dataset


class Line(BaseModel):
    """y = w·x + b, with a part called backbone, as a detector has."""

    def __init__(self):
        super().__init__()
        self.backbone = nn.Linear(2, 1)

    def forward(self, x, y, mode):
        answer = self.backbone(x)
        return dict(loss_line=((answer - y) ** 2).mean()) if mode == 'loss' else list(answer)


class TwoOptimizers:
    """One for weights, one for biases, as a GAN has them."""

    def __init__(self, optim_wrapper_cfg, paramwise_cfg=None):
        pass

    def __call__(self, model):
        kinds = dict(weight=torch.optim.SGD, bias=torch.optim.AdamW)
        named = model.backbone.named_parameters()
        return OptimWrapperDict(
            **{name: OptimWrapper(kinds[name]([parameter], lr=0.1)) for name, parameter in named}
        )


class LineOfTwo(Line):
    def train_step(self, data, optim_wrapper):
        loss = self(**data, mode='loss')['loss_line']
        for one in optim_wrapper.values():
            one.zero_grad()
        loss.backward()
        for one in optim_wrapper.values():
            one.step()
        return dict(loss=loss)


class Points(Dataset):
    """Eight points on a line."""

    metainfo = dict(classes=('point', 'line', 'plane', 'space', 'time', 'more'))
    data_root = 'points'

    def __len__(self):
        return 8

    def __getitem__(self, index):
        x = torch.tensor([index / 8, 1 - index / 8])
        return dict(x=x, y=x.sum()[None])


class Mean(BaseMetric):
    """The mean answer, and one each of what else a metric may say."""

    default_prefix = 'line'

    def process(self, data_batch, data_samples):
        self.results += [sample.item() for sample in data_samples]

    def compute_metrics(self, results):
        return dict(whole_mean=sum(results) / len(results), nothing=-1.0, count=len(results))


def loader(batch):
    sampler = dict(type='DefaultSampler', shuffle=False)
    collate = dict(type='default_collate')
    return dict(dataset=Points(), sampler=sampler, batch_size=batch, num_workers=0, collate_fn=collate)
