"""PSPNet (Zhao et al., CVPR 2017): the feature map and its means over 1×1, 2×2, 3×3 and 6×6 cells."""

from mmengine.config import read_base
from mmseg.models import PSPHead

with read_base():
    from .segmentor import *

model.decode_head.update(type=PSPHead, pool_scales=(1, 2, 3, 6))
