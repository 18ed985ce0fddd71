"""HAT-Net; `--arch small`, `medium` or `large` for the larger variants."""

from vitdense.backbones import HATNet

backbone = dict(type=HATNet, arch='tiny')
channels = [48, 96, 240, 384]
strides = [4, 8, 16, 32]
# norms take no weight decay, as in Swin's and DeiT's training
paramwise_cfg = dict(norm_decay_mult=0.0)
