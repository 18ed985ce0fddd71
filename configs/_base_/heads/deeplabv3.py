"""DeepLabv3 (Chen et al., 2017): convolutions of the feature map at four dilations, and its mean.

MMSegmentation's ResNet trades strides for dilation and ends at stride 8. Here the published strides stay: the
head reads the feature maps at strides 8, 16 and 32, resized to the first and concatenated.
"""

from mmengine.config import read_base
from mmseg.models import ASPPHead

with read_base():
    from .segmentor_with_auxiliary import *

model.decode_head.update(
    type=ASPPHead, in_index=[-3, -2, -1], input_transform='resize_concat', dilations=(1, 12, 24, 36)
)
