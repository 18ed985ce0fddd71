"""Random numbers that depend on a run's seed and on where they are drawn, not on what was drawn before.

The augmentation of a sample depends on the epoch and on the sample's number in it, dropout on the iteration
and the process. So a run that was killed resumes to the same weights, with any number of data-loading
workers, and no random state has to be saved.
"""

import os
import random
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import count
from typing import Any

import numpy as np
import torch
from mmengine.dist import get_dist_info
from mmengine.registry import DATA_SAMPLERS
from mmengine.runner import Runner
from torch.utils.data import BatchSampler, DataLoader, Sampler

from .dataset_wrapper import DatasetWrapper


def seed_all(*key: int) -> None:
    """Seed Python, NumPy and torch on all devices with a tuple of numbers."""
    torch.manual_seed(_seed_host(key))


@contextmanager
def seeded(*key: int) -> Iterator[None]:
    """`seed_all` for a while; afterwards the random states are what they were.

    Of the CPU alone: data loading draws nothing on a GPU.
    """
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    torch.default_generator.manual_seed(_seed_host(key))
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])


def _seed_host(key: tuple[int, ...]) -> int:
    """Seed Python and NumPy; the seed."""
    (seed,) = np.random.SeedSequence(key).generate_state(1).tolist()
    random.seed(seed)
    np.random.seed(seed)
    return seed


class SampleId(int):
    """The index of a sample in its dataset, with its epoch and its number among the samples of the epoch."""

    epoch: int
    number: int

    def __new__(cls, index: int, epoch: int, number: int) -> 'SampleId':
        sample_id = super().__new__(cls, index)
        sample_id.epoch, sample_id.number = epoch, number
        return sample_id

    def __getnewargs__(self) -> Any:
        return int(self), self.epoch, self.number


class SeededBatchSampler(Sampler):
    """The batches of a config's own batch sampler, with sample ids in place of indices.

    The samples of several processes are numbered in turns, as MMEngine's samplers deal them out: they have
    the same numbers in one process with a larger batch.

    Args:
        sampler: of indices.
        batch_size: of a process.
        batch_sampler: config of a batch sampler; None for torch's.
        drop_last: leave out an epoch's last batch where it is smaller; for torch's.
        seed: of the run, for samplers that draw from the process's random numbers.

    Attributes:
        skip: batches to leave out the next time, of an epoch that a run has seen in part.

    Raises:
        ValueError: `drop_last` beside a batch sampler, which has an argument of its own for it.
    """

    def __init__(
        self,
        sampler: Sampler,
        batch_size: int,
        batch_sampler: dict | None = None,
        drop_last: bool = False,
        seed: int = 0,
    ):
        self.batches: Any = BatchSampler(sampler, batch_size, drop_last)
        if batch_sampler is not None:
            if drop_last:
                raise ValueError('drop_last=True beside a batch_sampler; give it to the batch_sampler')
            inside = dict(sampler=sampler, batch_size=batch_size)
            self.batches = DATA_SAMPLERS.build(batch_sampler, default_args=inside)
        self.skip, self.seed = 0, seed

    @property
    def sampler(self) -> Any:
        """To which MMEngine reports the epoch."""
        return self.batches.sampler

    @property
    def batch_size(self) -> int:
        size = self.batches.batch_size
        return max(size) if isinstance(size, (list, tuple)) else size  # of a sampler with one for each source

    @property
    def drop_last(self) -> bool:
        return getattr(self.batches, 'drop_last', False)

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[SampleId]]:
        rank, processes = get_dist_info()
        epoch = getattr(self.sampler, 'epoch', 0)
        skip, self.skip = self.skip, 0
        seen = 0
        batches = iter(self.batches)
        for number in count():
            with seeded(self.seed, epoch, number, 1):  # MMDetection's GroupMultiSourceSampler draws here
                batch = next(batches, None)
            if batch is None:
                return
            if number >= skip:
                yield [SampleId(index, epoch, (seen + i) * processes + rank) for i, index in enumerate(batch)]
            seen += len(batch)


class SeededDataset(DatasetWrapper):
    """A dataset whose samples are augmented by the run's seed and their ids."""

    OWN = DatasetWrapper.OWN | {'seed'}

    def __init__(self, dataset: Any, seed: int):
        super().__init__(dataset)
        self.seed = seed

    def __getitem__(self, index: int) -> Any:
        if not isinstance(index, SampleId):
            return self.dataset[index]
        with seeded(self.seed, index.epoch, index.number):
            return self.dataset[int(index)]


def seed_loader(config: dict, seed: int | None, diff_rank_seed: bool = False) -> DataLoader:
    """Build a loader over sample ids by MMEngine's builder.

    To begin an epoch draws nothing from the process's random numbers, and signals do not end its workers.

    Args:
        config: of the loader, with a dataset that is built.
        seed: of the run.
        diff_rank_seed: as MMEngine's builder takes it.
    """
    config = dict(config, dataset=SeededDataset(config['dataset'], seed or 0))
    own = dict(
        batch_sampler=config.get('batch_sampler'), drop_last=config.pop('drop_last', False), seed=seed or 0
    )
    config['batch_sampler'] = dict(type=SeededBatchSampler, **own)
    loader = Runner.build_dataloader(config, seed, diff_rank_seed)
    loader.worker_init_fn = partial(start_worker, loader.worker_init_fn)
    loader.generator = torch.Generator().manual_seed(seed or 0)
    return loader


def start_worker(then: Callable | None, worker: int) -> None:
    """The start of a data-loading worker: only the main process ends it.

    Ctrl-C and a cluster's SIGTERM reach every process of a run, and the main process still needs its data to
    finish the iteration. A worker whose parent has died ends by itself.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, 'sigwaitinfo'):  # not on macOS
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_wait_for_parent, args=(os.getppid(),), daemon=True).start()
    if then is not None:
        then(worker)


def _wait_for_parent(parent: int) -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent:
        pass
    os._exit(0)
