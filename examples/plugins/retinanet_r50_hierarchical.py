"""MMDetection's RetinaNet on ResNet-50 with hierarchical attention in every block of its last three stages.

Behind the 3 × 3 convolution, where a Bottleneck is a quarter as wide as at its end. A frozen stage, as the
first one is here, gets no part: it would stay what it is at first, the identity.

`vitdense train examples/plugins/retinanet_r50_hierarchical.py --data-root /datasets/coco`
"""

_base_ = 'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py'
custom_imports = dict(imports=['vitdense'])
model = dict(
    backbone=dict(
        plugins=[
            dict(
                cfg=dict(type='HierarchicalAttention'),
                stages=(False, True, True, True),
                position='after_conv2',
            )
        ]
    )
)
