"""Weights, gradients and moments shared out among the processes, for what does not fit one GPU.

    with read_base():
        from .mask_rcnn_transcnn import *
        from ._base_.shard import *

Or on the command line: `--cfg-options shard=True`. It needs several processes (`--launcher`).
"""

shard = True
