"""What a run draws at random depends on its seed and on where it is drawn, and on nothing else."""

import pickle
import random
from itertools import islice
from unittest.mock import patch

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmdet.datasets.samplers import AspectRatioBatchSampler, MultiDataAspectRatioBatchSampler
from mmengine.dataset import DefaultSampler, InfiniteSampler
from torch.utils.data import Dataset, RandomSampler, SequentialSampler

from vitdense.data.reproducible import (
    SampleId,
    SeededBatchSampler,
    seed_all,
    seed_loader,
    seeded,
    start_worker,
)


class Chances(Dataset):
    """A number of each generator for each sample."""

    metainfo = dict(classes=('chance',))

    def __len__(self):
        return 30

    def __getitem__(self, index):
        return int(index), random.random(), np.random.rand(), torch.rand(()).item()


def draw():
    return random.random(), np.random.rand(), torch.rand(()).item()


def loader(workers=0, batch=3, sampler=DefaultSampler, seed=7, **changes):
    config = dict(
        dataset=Chances(),
        batch_size=batch,
        sampler=dict(type=sampler, shuffle=True, seed=seed),
        num_workers=workers,
        persistent_workers=workers > 0,
        collate_fn=list,
    )
    return seed_loader(config | changes, seed)


def test_a_key_gives_its_numbers_and_another_key_gives_others():
    seed_all(1, 2)
    first = draw()
    draw()
    seed_all(1, 2)
    assert draw() == first
    for other in ((1, 3), (2, 2), (2, 1)):
        seed_all(*other)
        assert all(a != b for a, b in zip(draw(), first, strict=True))


def test_seeded_leaves_the_random_state_as_it_was():
    seed_all(0)
    expected = draw()
    seed_all(0)
    with seeded(5, 6):
        inside = draw()
    assert draw() == expected
    with seeded(5, 6):
        assert draw() == inside


def test_a_sample_id_is_an_index_and_can_be_sent_to_a_worker():
    there = pickle.loads(pickle.dumps(SampleId(4, epoch=2, number=9)))
    assert there == 4
    assert [10, 11, 12, 13, 14][there] == 14
    assert (there.epoch, there.number) == (2, 9)


def test_any_number_of_workers_gives_the_same_samples():
    assert list(loader(0)) == list(loader(1)) == list(loader(2))


def test_an_epoch_seen_in_part_resumes_where_it_was():
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


def test_an_epoch_draws_nothing_from_the_random_state_of_the_process():
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


class Drawn(RandomSampler):
    """Draws from the random numbers of the process, as MMDetection's GroupMultiSourceSampler does."""

    def __iter__(self):
        while True:
            yield int(np.random.randint(30))


def test_a_sampler_that_draws_from_the_process_gives_a_resumed_run_its_order():
    def batches(skip, number):
        made = SeededBatchSampler(Drawn(range(30)), 4, seed=3)
        made.skip = skip
        return [list(map(int, batch)) for batch in islice(made, number)]

    whole = batches(0, 6)
    assert batches(2, 4) == whole[2:]
    assert len({tuple(batch) for batch in whole}) == 6


def test_a_batch_sampler_of_several_batch_sizes_has_the_largest():
    sampler = SequentialSampler(range(30))
    kind = dict(type=MultiDataAspectRatioBatchSampler, batch_size=[2, 3], num_datasets=2)
    assert SeededBatchSampler(sampler, 1, kind).batch_size == 3


def test_a_seeded_dataset_is_otherwise_the_dataset():
    dataset = loader().dataset
    assert dataset.metainfo is Chances.metainfo
    assert len(dataset) == 30
    assert dataset[3][0] == 3
    assert dataset[3] != dataset[3]  # an index alone has no epoch
    with pytest.raises(AttributeError):
        _ = dataset.nothing
    assert len(pickle.loads(pickle.dumps(dataset))) == 30


# ---- a loader is what its config says ----------------------------------------------------------------------


def ids(loader):
    """Index, epoch and number of each sample of each batch."""
    return [[(int(i), i.epoch, i.number) for i in batch] for batch in loader.batch_sampler]


class Shapes(Chances):
    """Upright and lying images in turns."""

    def get_data_info(self, index):
        return dict(width=2 + index % 2, height=3 - index % 2)


@pytest.mark.parametrize(
    ('name', 'value'),
    [('pin_memory', True), ('timeout', 9), ('prefetch_factor', 5), ('persistent_workers', False)],
)
def test_an_argument_of_the_config_reaches_the_loader(name, value):
    assert getattr(loader(1, **{name: value}), name) == value != getattr(loader(1), name)


@pytest.mark.parametrize('drop_last', [False, True])
def test_the_last_smaller_batch_is_dropped_where_the_config_says_so(drop_last):
    made = loader(batch=4, drop_last=drop_last)
    assert made.batch_size is None  # of torch's own sampler; the batch sampler has it
    assert (made.batch_sampler.batch_size, made.batch_sampler.drop_last) == (4, drop_last)
    assert [len(batch) for batch in made] == [4] * 7 + [2] * (not drop_last)
    assert len(made) == 8 - drop_last


def test_a_batch_sampler_of_the_config_makes_the_batches():
    made = loader(dataset=Shapes(), batch=4, batch_sampler=dict(type=AspectRatioBatchSampler, drop_last=True))
    assert type(made.batch_sampler.batches) is AspectRatioBatchSampler
    assert (made.batch_sampler.batch_size, made.batch_sampler.drop_last) == (4, True)
    made.batch_sampler.sampler.set_epoch(5)
    batches = ids(made)
    assert all(len({index % 2 for index, _, _ in batch}) == 1 for batch in batches[:-1])
    seen = [sample for batch in batches for sample in batch]
    assert [(epoch, number) for _, epoch, number in seen] == [(5, number) for number in range(len(seen))]
    named = loader(dataset=Shapes(), batch=4, batch_sampler=dict(type='mmdet.AspectRatioBatchSampler'))
    assert type(named.batch_sampler.batches) is AspectRatioBatchSampler
    assert not named.batch_sampler.drop_last


def test_drop_last_beside_a_batch_sampler_is_refused():
    with pytest.raises(ValueError, match='drop_last'):
        loader(drop_last=True, batch_sampler=dict(type=AspectRatioBatchSampler))


def test_a_short_epoch_has_as_many_batches_as_the_config_says():
    made = loader(batch=4, num_batch_per_epoch=2)
    assert [len(batch) for batch in made] == [4, 4]
    assert {sample[0] for batch in made for sample in batch} == set(range(8))


def doubled(samples, times=2):
    return [sample for sample in samples for _ in range(times)]


@pytest.mark.parametrize(('changes', 'times'), [(dict(), 2), (dict(times=3), 3)])
def test_a_collate_function_of_the_config_gets_its_arguments(changes, times):
    made = loader(collate_fn=dict(type=doubled, **changes))
    assert [len(batch) for batch in made] == [3 * times] * 10


def started(worker, folder):
    (folder / str(worker)).touch()


def test_a_worker_starts_with_the_function_of_the_config_and_ignores_signals(tmp_path):
    made = loader(2, worker_init_fn=dict(type=started, folder=tmp_path))
    list(made)
    assert made.worker_init_fn.func is start_worker
    assert sorted(path.name for path in tmp_path.iterdir()) == ['0', '1']


def test_the_seed_is_mmengines_where_ranks_share_it_and_not_where_they_differ():
    def sampler(**options):
        config = dict(dataset=Chances(), batch_size=1, sampler=dict(type=DefaultSampler), num_workers=0)
        return seed_loader(config, 7, **options).batch_sampler.sampler

    assert sampler().seed == 7
    with patch('mmengine.dataset.sampler.sync_random_seed', return_value=3):
        assert sampler(diff_rank_seed=True).seed == 3
