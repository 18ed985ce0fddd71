"""DualToken-ViT; `--arch s` for the larger variant.

Stochastic depth is the 0.1 of LightViT's Mask R-CNN and classification, whose stem and blocks these are; that
of DualToken-ViT is not published.
"""

from vitdense.backbones import DualTokenViT

# stochastic depth by variant, which `--arch` follows
drop_path_rates = dict(t=0.1, s=0.1)
backbone = dict(type=DualTokenViT, arch='t', drop_path_rate=drop_path_rates['t'])
channels = [48, 96, 192]
strides = [8, 16, 32]
# norms and tokens take no weight decay, as in Swin's and DeiT's training
paramwise_cfg = dict(norm_decay_mult=0.0, custom_keys={'stem.tokens': dict(decay_mult=0.0)})
