"""Which signals end a data-loading worker, and which do not."""

import signal
import subprocess

import pytest
import torch
from mmengine.dataset import DefaultSampler
from torch.utils.data import Dataset

from vitdense.data.reproducible import seed_loader


class Numbers(Dataset):
    def __len__(self):
        return 400

    def __getitem__(self, index):
        return torch.tensor(index)


@pytest.fixture
def loading():
    config = dict(
        dataset=Numbers(), batch_size=2, num_workers=1, sampler=dict(type=DefaultSampler, shuffle=False)
    )
    iterator = iter(seed_loader(dict(config, collate_fn=torch.stack), seed=0))
    yield iterator
    del iterator


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_a_signal_from_another_process_does_not_end_a_worker(loading, number):
    (worker,) = loading._workers
    seen = [next(loading)]
    for _ in range(2):
        subprocess.run(['kill', f'-{number.value}', str(worker.pid)], check=True)
    seen += loading
    assert torch.cat(seen).tolist() == list(range(400))


def test_the_main_process_ends_a_worker(loading):
    (worker,) = loading._workers
    next(loading)
    worker.terminate()
    worker.join(10)
    assert worker.exitcode == 0
