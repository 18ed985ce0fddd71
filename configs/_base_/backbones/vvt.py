"""VVT; `--arch small`, `medium` or `large` for the larger variants."""

from vitdense.backbones import VVT

backbone = dict(type=VVT, arch='tiny')
channels = [96, 160, 320, 512]
strides = [4, 8, 16, 32]
# norms take no weight decay, as in Swin's and DeiT's training
paramwise_cfg = dict(norm_decay_mult=0.0)
