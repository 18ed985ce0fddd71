"""A run whose chances do not depend on how it got where it is.

What a run draws at random is a function of its seed and of the place where it is drawn: the augmentation of a
sample of the epoch and the sample's number in it, dropout of the iteration and the process. So a run that was
killed goes on as if it had not been, with any number of workers, and nothing but its seed and its iteration
need be kept.
"""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from mmengine.dataset import InfiniteSampler
from mmengine.dist import get_dist_info
from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop, Runner
from torch.utils.data import DataLoader, Sampler

from .dataset_wrapper import Around
from .workers import begin_worker


def seed_all(*place: int) -> None:
    """Python's, NumPy's and torch's random numbers from here on are those of a place."""
    torch.manual_seed(_seed_host(place))


@contextmanager
def seeded(*place: int) -> Iterator[None]:
    """`seed_all` for a while; the process's own random numbers go on afterwards where they were.

    Of the CPU's alone: what loads data draws nothing on a GPU.
    """
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    torch.default_generator.manual_seed(_seed_host(place))
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])


def _seed_host(place: tuple[int, ...]) -> int:
    """Seed Python and NumPy by a place; the seed."""
    (seed,) = np.random.SeedSequence(place).generate_state(1).tolist()
    random.seed(seed)
    np.random.seed(seed)
    return seed


class Place(int):
    """The index of a sample in its dataset, with its epoch and its number among the samples of the epoch."""

    epoch: int
    number: int

    def __new__(cls, index: int, epoch: int, number: int) -> 'Place':
        place = super().__new__(cls, index)
        place.epoch, place.number = epoch, number
        return place

    def __getnewargs__(self) -> tuple[int, int, int]:
        return int(self), self.epoch, self.number


class PlacedBatches(Sampler):
    """A batch sampler's batches, whose indices know their places.

    The processes' samples are numbered in turns, as MMEngine's samplers deal them out: the same samples have
    the same numbers in one process with a larger batch.

    Attributes:
        skip: batches to leave out the next time, of an epoch that a run has seen in part.
    """

    def __init__(self, batches: Any):
        self.batches = batches
        self.skip = 0

    @property
    def sampler(self) -> Any:
        """What MMEngine tells the epoch."""
        return self.batches.sampler

    @property
    def batch_size(self) -> int:
        return self.batches.batch_size

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[Place]]:
        rank, processes = get_dist_info()
        epoch = getattr(self.sampler, 'epoch', 0)
        skip, self.skip = self.skip, 0
        seen = 0
        for number, batch in enumerate(self.batches):
            if number >= skip:
                yield [Place(index, epoch, (seen + i) * processes + rank) for i, index in enumerate(batch)]
            seen += len(batch)


class Placed(Around):
    """A dataset whose samples are augmented by their places."""

    def __init__(self, dataset: Any, seed: int):
        super().__init__(dataset)
        self.seed = seed

    def __getitem__(self, index: int) -> Any:
        if not isinstance(index, Place):
            return self.dataset[index]
        with seeded(self.seed, index.epoch, index.number):
            return self.dataset[int(index)]


def place(loader: DataLoader, seed: int) -> DataLoader:
    """The same loader over places; starting it draws nothing from the process's random numbers."""
    words = dict(num_workers=loader.num_workers, pin_memory=loader.pin_memory, timeout=loader.timeout)
    if loader.num_workers:
        words.update(persistent_workers=loader.persistent_workers, prefetch_factor=loader.prefetch_factor)
        words.update(multiprocessing_context=loader.multiprocessing_context)
    return DataLoader(
        Placed(loader.dataset, seed),
        batch_sampler=PlacedBatches(loader.batch_sampler),
        collate_fn=loader.collate_fn,
        worker_init_fn=partial(begin_worker, loader.worker_init_fn),
        generator=torch.Generator().manual_seed(seed),
        **words,
    )


class PlaceHook(Hook):
    """Keeps a run's place, gives each iteration the random numbers of its own, and finds the place again.

    A checkpoint holds the number of samples that have been drawn of the epoch, by all processes together, in
    `meta['samples']`.
    """

    priority = 'VERY_HIGH'

    def __init__(self) -> None:
        self.samples = 0

    def before_train(self, runner: Runner) -> None:
        loop, batches = runner.train_loop, runner.train_loop.dataloader.batch_sampler
        if self.samples == 0:
            return
        batches.skip = self.samples // (batches.batch_size * get_dist_info()[1])
        if isinstance(loop, EpochBasedTrainLoop):
            return
        loop.fast_forward_on_resume = True  # here, and not by loading what is then thrown away
        if not isinstance(batches.sampler, InfiniteSampler):
            epoch, batches.skip = divmod(batches.skip, len(batches))
            loop.dataloader_iterator._epoch = epoch
            batches.sampler.set_epoch(epoch)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Dropout, stochastic depth, sampled regions."""
        seed_all(runner.seed, runner.iter, get_dist_info()[0])

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        self.samples += runner.train_loop.dataloader.batch_sampler.batch_size * get_dist_info()[1]

    def after_train_epoch(self, runner: Runner) -> None:
        if isinstance(runner.train_loop, EpochBasedTrainLoop):
            self.samples = 0

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        checkpoint['meta']['samples'] = self.samples

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        if runner._resume:
            self.samples = checkpoint.get('meta', {}).get('samples', 0)
