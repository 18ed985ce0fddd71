"""The dicts of a config that no class is built from, and what MMEngine reads from each."""

import inspect
from collections.abc import Iterator
from typing import Any

from mmengine.config import Config
from mmengine.runner import Runner
from torch.nn.utils import clip_grad_norm_, clip_grad_value_
from torch.utils.data import DataLoader

from ..mmengine_internals import config_dict

LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')

# Top-level keys of a config, besides the arguments of the runner's constructor.
RUNNER_KEYS = {
    'activation_checkpointing',
    'amp',
    'compile',
    'efficient_conv_bn_eval',
    'find_unused_parameters',
    'model_wrapper_cfg',
    'shard',
    'skip_not_finite',
    'skip_unreadable',
    'sync_bn',
}


def _names(*functions: Any) -> set[str]:
    return {name for function in functions for name in inspect.signature(function).parameters} - {'self'}


LOADER_KEYS = _names(DataLoader) | {
    *('batch_sampler', 'collate_fn', 'num_batch_per_epoch', 'worker_init_fn'),
    'disable_subprocess_warning',
}

SETTINGS = {
    'randomness': _names(Runner.set_randomness),
    'auto_scale_lr': {'base_batch_size', 'enable'},
    'env_cfg': {'cudnn_benchmark', 'dist_cfg', 'mp_cfg', 'resource_limit'},
    'optim_wrapper.clip_grad': {'type'} | _names(clip_grad_norm_, clip_grad_value_) - {'parameters'},
    'optim_wrapper.paramwise_cfg': {
        *('bias_lr_mult', 'bias_decay_mult', 'norm_decay_mult', 'dwconv_decay_mult', 'flat_decay_mult'),
        *('bypass_duplicate', 'custom_keys', 'dcn_offset_lr_mult'),
    },
    **dict.fromkeys(LOADERS, LOADER_KEYS),
}


def settings(cfg: Config) -> Iterator[tuple[str, dict, set[str]]]:
    """Each such dict of a config: where it is, the dict, and the names of what is read from it."""
    for place, read in SETTINGS.items():
        node: Any = config_dict(cfg)
        for part in place.split('.'):
            if place.endswith('paramwise_cfg') and isinstance(node, dict) and node.get('constructor'):
                node = None  # which reads what it likes
            node = node.get(part) if isinstance(node, dict) else None
        if isinstance(node, dict):
            yield place, node, read
