"""PSPNet (Zhao et al., CVPR 2017): the feature map and its means over 1×1, 2×2, 3×3 and 6×6 cells.

MMSegmentation's ResNet trades strides for dilation and ends at stride 8. Here the published strides stay: the
head reads the feature maps at strides 8, 16 and 32, resized to the first and concatenated.
"""

from mmengine.config import read_base
from mmseg.models import PSPHead

with read_base():
    from .segmentor_with_auxiliary import *

model.decode_head.update(
    type=PSPHead, in_index=[-3, -2, -1], input_transform='resize_concat', pool_scales=(1, 2, 3, 6)
)
