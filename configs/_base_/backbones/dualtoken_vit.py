"""DualToken-ViT; `--arch s` for the larger variant."""

from vitdense.backbones import DualTokenViT

backbone = dict(type=DualTokenViT, arch='t')
channels = [48, 96, 192]
strides = [8, 16, 32]
paramwise_cfg = dict(norm_decay_mult=0.0, custom_keys={'stem.tokens': dict(decay_mult=0.0)})
