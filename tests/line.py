"""A run small enough to look into: a line is fitted, four numbers at a time."""

from itertools import count

import pytest
import torch
from mmengine.config import Config
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseModel
from torch import nn
from torch.utils.data import Dataset

from vitdense.engine.runner import VitdenseRunner


class Line(BaseModel):
    """y = w·x + b, with a part called backbone, as the report expects."""

    def __init__(self, width=2):
        super().__init__()
        self.backbone = nn.Linear(width, 1)

    def forward(self, x, y, mode):
        answer = self.backbone(x)
        return dict(loss_line=((answer - y) ** 2).mean()) if mode == 'loss' else list(answer)


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


@pytest.fixture
def make_runner(tmp_path):
    """Runners that write to a folder of the test; by default 4 iterations, validated every 2."""
    number = count()  # one log for each

    def make(work_dir=tmp_path / 'run', model=None, **changes):
        config = tmp_path / 'line.py'
        config.touch()
        settings = dict(
            model=model or Line(),
            train_dataloader=loader(1),  # MMEngine sleeps for two seconds after an epoch's last batch
            val_dataloader=loader(2),
            val_evaluator=dict(type=Mean),
            train_cfg=dict(by_epoch=False, max_iters=4, val_interval=2),
            val_cfg=dict(),
            optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
            default_hooks=dict(
                logger=dict(type='LoggerHook', interval=1),
                checkpoint=dict(type='CheckpointHook', interval=1, by_epoch=False),
            ),
            visualizer=dict(type='Visualizer', vis_backends=[dict(type='LocalVisBackend')]),
            log_processor=dict(by_epoch=False),
            cfg=Config(
                dict(model=dict(backbone=dict()), train_dataloader=dict(batch_size=1)), filename=str(config)
            ),
            experiment_name=f'{tmp_path.name}-{next(number)}',
            randomness=dict(seed=0),
        )
        return VitdenseRunner(work_dir=str(work_dir), **settings | changes)

    return make
