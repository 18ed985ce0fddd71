"""Weights, gradients and optimizer state sharded among processes, for a config of one's own on small GPUs.

    with read_base():
        from .mask_rcnn_transcnn import *
        from ._base_.shard import *

Or on the command line: `--cfg-options shard=True`. It needs several processes (`--launcher`).
"""

shard = True
