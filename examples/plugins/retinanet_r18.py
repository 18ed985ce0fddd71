"""MMDetection's RetinaNet on ResNet-18 from random weights: what the configs beside it add a part to.

`vitdense overfit examples/plugins/retinanet_r18.py`
"""

_base_ = 'mmdet::retinanet/retinanet_r18_fpn_1x_coco.py'
model = dict(backbone=dict(init_cfg=None, frozen_stages=-1, norm_eval=False))  # as weights of its own need it
