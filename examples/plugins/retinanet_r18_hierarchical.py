"""RetinaNet on ResNet-18 with hierarchical attention behind the stages of strides 8, 16 and 32.

Basic blocks take no plug-ins, so the part stands behind a stage: `PluggedBackbone` in place of `ResNet`.

`vitdense overfit examples/plugins/retinanet_r18_hierarchical.py`
"""

_base_ = './retinanet_r18.py'
custom_imports = dict(imports=['vitdense'])
part = dict(type='HierarchicalAttention')
model = dict(
    backbone=dict(
        type='PluggedBackbone',
        network='ResNet',
        plugins=[
            dict(cfg=dict(part, pool_ratio=4), stages=(False, True, False, False)),
            dict(cfg=dict(part, pool_ratio=2), stages=(False, False, True, True)),
        ],
    )
)
