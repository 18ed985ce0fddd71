"""UPerNet (Xiao et al., ECCV 2018): PSPNet's means of the coarsest map, and a pyramid down to the finest.

The settings are Swin's. The pyramid has a level for each feature map of the backbone. A backbone of three
stages has three, down to stride 8: the fourth would need another pyramid in front of this one.
"""

from mmengine.config import read_base
from mmseg.models import UPerHead

with read_base():
    from .segmentor_with_auxiliary import *

model.decode_head.update(type=UPerHead, in_index=[0, 1, 2, 3], pool_scales=(1, 2, 3, 6))

optim_wrapper.optimizer.update(lr=6e-5, weight_decay=0.01)  # Swin's UPerNet
