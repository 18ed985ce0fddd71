"""MMDetection's RetinaNet on ResNet-18 from random weights: what the configs beside it add a part to.

AdamW with PVT's rates, as in `configs/`: for the learning rates of `overfit` and of `--sample`, MMDetection's
SGD is too slow.

`vitdense overfit examples/plugins/retinanet_r18.py`
"""

_base_ = 'mmdet::retinanet/retinanet_r18_fpn_1x_coco.py'
model = dict(backbone=dict(init_cfg=None, frozen_stages=-1, norm_eval=False))  # as random weights need it
optim_wrapper = dict(optimizer=dict(_delete_=True, type='AdamW', lr=1e-4, weight_decay=1e-4))
