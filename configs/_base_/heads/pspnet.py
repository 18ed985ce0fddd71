"""PSPNet (Zhao et al., CVPR 2017): the mean of the map over grids of 1, 2, 3 and 6 cells beside the map."""

from mmengine.config import read_base
from mmseg.models import PSPHead

with read_base():
    from .segmentor import *

model.decode_head.update(type=PSPHead, pool_scales=(1, 2, 3, 6))
