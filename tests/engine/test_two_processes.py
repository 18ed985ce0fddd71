"""What processes have to do together, or not at all, in two processes that talk over gloo."""

import math
import os
from types import SimpleNamespace

import pytest
import torch
from mmengine.optim import OptimWrapper
from torch import distributed, nn
from torch.distributed.device_mesh import init_device_mesh

from vitdense.compat import SHARDING, has_torch
from vitdense.engine.finite import FiniteHook
from vitdense.engine.processes import average_statistics, on_main_process
from vitdense.errors import UserError


def _join(rank, folder):
    distributed.init_process_group('gloo', f'file://{folder}/store', rank=rank, world_size=2)
    torch.save({work.__name__: work(rank, folder) for work in WORK}, folder / f'{rank}.pth')
    distributed.barrier()
    os._exit(0)  # at an orderly end, gloo's threads now and then abort a process whose work is done


@pytest.fixture(scope='module')
def both(tmp_path_factory):
    """What the functions of WORK gave in each of two processes, by name; they run once for all tests."""
    folder = tmp_path_factory.mktemp('both')
    torch.multiprocessing.spawn(_join, (folder,), nprocs=2)
    results = [torch.load(folder / f'{rank}.pth') for rank in range(2)]
    return folder, {name: [result[name] for result in results] for name in results[0]}


def _norms(rank, folder):
    model = nn.Sequential(nn.BatchNorm1d(3), nn.BatchNorm1d(3), nn.BatchNorm1d(3, track_running_stats=False))
    model[1].eval()  # a frozen one
    torch.manual_seed(rank)
    for _ in range(4):
        model(torch.randn(5, 3))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    average_statistics(model)
    return before, model.state_dict()


def test_batch_norms_have_the_mean_of_the_processes_statistics(both):
    (one, here), (other, there) = both[1]['_norms']
    for name in one:
        assert torch.equal(here[name], there[name]), name
        if 'running' in name:
            torch.testing.assert_close(here[name], (one[name] + other[name]) / 2)
    assert not torch.equal(one['0.running_mean'], other['0.running_mean'])


def _sharded(rank, folder):
    """Three steps of a sharded model, the second with a bad loss in the second process."""
    torch.manual_seed(0)
    model = nn.Linear(2, 1)
    model.parse_losses = lambda losses: (sum(losses.values()), losses)
    from torch.distributed.fsdp import fully_shard

    model = fully_shard(model, mesh=init_device_mesh('cpu', (2,)))
    optimizer = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1))
    runner = SimpleNamespace(
        model=model,
        optim_wrapper=optimizer,
        work_dir=str(folder / 'run'),
        rank=rank,
        logger=SimpleNamespace(warning=print),
    )
    hook = FiniteHook(skips=1)
    hook.before_train(runner)
    weights = []
    for runner.iter in range(3):
        hook.before_train_iter(runner, 0)
        loss = model(torch.tensor([[1.0, 2.0 + rank]])).square().mean()
        if (runner.iter, rank) == (1, 1):
            loss = loss * math.nan
        total, _ = model.parse_losses(dict(loss=loss))
        optimizer.update_params(total)
        weights.append(model.state_dict()['weight'].full_tensor().clone())
    return weights


@pytest.mark.skipif(not has_torch(SHARDING), reason='shards: torch 2.6')
def test_a_nan_loss_in_one_process_is_a_step_that_none_takes(both):
    folder, results = both
    first, second = results['_sharded']
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert torch.equal(first[0], first[1])
    assert not torch.equal(first[1], first[2])
    record = torch.load(folder / 'run/not_finite/iter_2_rank_1.pth', weights_only=True)
    assert math.isnan(record['losses']['loss'])


def _choices(rank, folder):
    """Of each process another answer, and another error."""

    def fail():
        raise UserError(f'no checkpoint on {rank}')

    answer = on_main_process(lambda: f'iter_{10 - rank}.pth')
    try:
        on_main_process(fail)
    except UserError as error:
        return answer, str(error)


def test_all_processes_get_the_choice_or_the_error_of_the_main_one(both):
    assert both[1]['_choices'] == [('iter_10.pth', 'no checkpoint on 0')] * 2


WORK = (_norms, _sharded, _choices) if has_torch(SHARDING) else (_norms, _choices)
