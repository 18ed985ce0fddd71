"""DualToken-ViT; `--arch s` for the larger variant."""

from vitdense.backbones import DualTokenViT

backbone = dict(type=DualTokenViT, arch='t')
channels = [48, 96, 192]
strides = [8, 16, 32]
# norms and tokens take no weight decay, as in Swin's and DeiT's training
paramwise_cfg = dict(norm_decay_mult=0.0, custom_keys={'stem.tokens': dict(decay_mult=0.0)})
