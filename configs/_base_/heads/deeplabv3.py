"""DeepLabv3 (Chen et al., 2017): convolutions of the feature map at four dilations, and its mean."""

from mmengine.config import read_base
from mmseg.models import ASPPHead

with read_base():
    from .segmentor import *

model.decode_head.update(type=ASPPHead, dilations=(1, 12, 24, 36))
