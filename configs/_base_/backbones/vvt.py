"""VVT; `--arch small`, `medium` or `large` for the larger variants.

Stochastic depth as in the authors' own classification configs: 0.1 for the smallest variant, 0.3 for the
others. That of their segmentors is not published.
"""

from vitdense.backbones import VVT

# stochastic depth by variant, which `--arch` follows
drop_path_rates = dict(tiny=0.1, small=0.3, medium=0.3, large=0.3)
backbone = dict(type=VVT, arch='tiny', drop_path_rate=drop_path_rates['tiny'])
channels = [96, 160, 320, 512]
strides = [4, 8, 16, 32]
# norms take no weight decay, as in Swin's and DeiT's training
paramwise_cfg = dict(norm_decay_mult=0.0)
