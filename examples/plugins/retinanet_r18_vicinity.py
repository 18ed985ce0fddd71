"""RetinaNet on ResNet-18 with vicinity attention behind the stages of strides 8, 16 and 32.

Basic blocks take no plug-ins, so the part stands behind a stage: `PluggedBackbone` in place of `ResNet`.

`vitdense overfit examples/plugins/retinanet_r18_vicinity.py`
"""

_base_ = './retinanet_r18.py'
custom_imports = dict(imports=['vitdense'])
model = dict(
    backbone=dict(
        type='PluggedBackbone',
        network='ResNet',
        plugins=[dict(cfg=dict(type='VicinityAttention'), stages=(False, True, True, True))],
    )
)
