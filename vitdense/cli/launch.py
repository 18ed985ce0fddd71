"""Several processes that were started together, and how they find each other."""

import os
from typing import TYPE_CHECKING

from ..errors import UserError

if TYPE_CHECKING:
    from mmengine.config import Config

# What starts several processes, by launcher, and what it sets in their environments.
LAUNCHERS = {
    'pytorch': ('torchrun', 'RANK'),
    'slurm': ('srun', 'SLURM_PROCID'),
    'mpi': ('mpirun', 'OMPI_COMM_WORLD_RANK'),
}


def join(cfg: 'Config', local_rank: int) -> None:
    """Start the processes' communication, on gloo where there is no GPU.

    Raises:
        UserError: the launcher did not start this process, or needs a GPU.
    """
    import torch
    from mmengine.dist import init_dist, is_distributed

    if cfg.launcher == 'none' or is_distributed():
        return
    starter, variable = LAUNCHERS[cfg.launcher]
    if variable not in os.environ:
        raise UserError(f'--launcher {cfg.launcher}: ${variable} is not set; start the tool with {starter}')
    os.environ.setdefault('LOCAL_RANK', str(local_rank))
    if torch.cuda.is_available():
        init_dist(cfg.launcher, **cfg.env_cfg.dist_cfg)
        return
    # MMEngine's `init_dist` chooses a GPU before it starts anything, and so does its model wrapper
    if cfg.launcher != 'pytorch':
        raise UserError(f'--launcher {cfg.launcher} needs GPUs; without: torchrun and --launcher pytorch')
    cfg.env_cfg.dist_cfg.backend = 'gloo'
    cfg.pop('sync_bn', None)  # torch's synchronised batch norm is for GPUs
    torch.distributed.init_process_group('gloo')
    cfg.model_wrapper_cfg = dict(
        type='MMDistributedDataParallel',
        device_ids=None,
        broadcast_buffers=False,
        find_unused_parameters=cfg.get('find_unused_parameters', False),
    )
