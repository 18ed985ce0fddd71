"""What a run draws at random depends on its seed and on the place where it is drawn, and on nothing else."""

import pickle
import random
from unittest.mock import patch

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmengine.dataset import DefaultSampler, InfiniteSampler
from torch.utils.data import Dataset

from vitdense.data.reproducible import SampleId, SeededBatchSampler, seed_all, seed_loader, seeded


class Chances(Dataset):
    """A number of each generator for each sample."""

    metainfo = dict(classes=('chance',))

    def __len__(self):
        return 30

    def __getitem__(self, index):
        return int(index), random.random(), np.random.rand(), torch.rand(()).item()


def draw():
    return random.random(), np.random.rand(), torch.rand(()).item()


def loader(workers=0, batch=3, sampler=DefaultSampler, seed=7):
    dataset = Chances()
    config = dict(
        dataset=dataset,
        batch_size=batch,
        sampler=dict(type=sampler, shuffle=True, seed=seed),
        num_workers=workers,
        persistent_workers=workers > 0,
        collate_fn=list,
    )
    return seed_loader(config, seed)


def test_places_give_numbers_and_different_places_different_ones():
    seed_all(1, 2)
    first = draw()
    draw()
    seed_all(1, 2)
    assert draw() == first
    for other in ((1, 3), (2, 2), (2, 1)):
        seed_all(*other)
        assert all(a != b for a, b in zip(draw(), first, strict=True))


def test_what_goes_on_in_between_leaves_no_trace():
    seed_all(0)
    expected = draw()
    seed_all(0)
    with seeded(5, 6):
        inside = draw()
    assert draw() == expected
    with seeded(5, 6):
        assert draw() == inside


def test_a_place_is_an_index_and_travels_to_a_worker():
    there = pickle.loads(pickle.dumps(SampleId(4, epoch=2, number=9)))
    assert there == 4
    assert [10, 11, 12, 13, 14][there] == 14
    assert (there.epoch, there.number) == (2, 9)


def test_any_number_of_workers_gives_the_same_samples():
    assert list(loader(0)) == list(loader(1)) == list(loader(2))


def test_an_epoch_seen_in_part_goes_on_where_it_was():
    whole = loader()
    whole.batch_sampler.sampler.set_epoch(3)
    rest = loader(workers=2)
    rest.batch_sampler.sampler.set_epoch(3)
    rest.batch_sampler.skip = 4
    assert list(rest) == list(whole)[4:]
    assert len(list(rest)) == len(whole)  # the next time it is whole again


def test_epochs_differ():
    made = loader()
    first = list(made)
    made.batch_sampler.sampler.set_epoch(1)
    second = list(made)
    assert {sample[0] for batch in first for sample in batch} == set(range(30))
    assert not {sample[1] for batch in first for sample in batch} & {s[1] for batch in second for s in batch}


def test_beginning_an_epoch_draws_nothing_from_the_processs_numbers():
    made = loader()
    seed_all(0)
    expected = draw()
    seed_all(0)
    for _ in range(3):
        list(made)
    assert draw() == expected


@given(batch=st.integers(1, 5), processes=st.integers(1, 4), seed=st.integers(0, 9))
def test_the_samples_of_several_processes_are_those_of_one_with_the_same_batch(batch, processes, seed):
    def batches(size, rank, world):
        with patch('mmengine.dataset.sampler.get_dist_info', return_value=(rank, world)):
            sampler = InfiniteSampler(Chances(), shuffle=True, seed=seed)
        with patch('vitdense.data.reproducible.get_dist_info', return_value=(rank, world)):
            made = iter(SeededBatchSampler(sampler, size))
            return [[(int(i), i.epoch, i.number) for i in next(made)] for _ in range(4)]

    alone = batches(batch * processes, 0, 1)
    shared = [batches(batch, rank, processes) for rank in range(processes)]
    for number, expected in enumerate(alone):
        assert sorted(sample for own in shared for sample in own[number]) == sorted(expected)


def test_otherwise_it_is_the_dataset():
    dataset = loader().dataset
    assert dataset.metainfo is Chances.metainfo
    assert len(dataset) == 30
    assert dataset[3][0] == 3
    assert dataset[3] != dataset[3]  # an index alone is no place
    with pytest.raises(AttributeError):
        _ = dataset.nothing
    assert len(pickle.loads(pickle.dumps(dataset))) == 30
