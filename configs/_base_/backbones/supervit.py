"""SuperViT on DeiT-S; each training step draws a scale and a keep rate, from the paper's sizes and rates.

Stochastic depth is the 0.1 of the authors' DeiT-S; they published no detector and no segmentor.
"""

from vitdense.backbones import SuperViT

# stochastic depth by variant, which `--arch` follows
drop_path_rates = dict(deit_s=0.1)
backbone = dict(
    type=SuperViT,
    arch='deit_s',
    scales=[4 / 7, 5 / 7, 6 / 7, 1],
    keep_rates=[0.5, 0.7, 1],
    drop_path_rate=drop_path_rates['deit_s'],
)
channels = [96, 192, 384, 384]
strides = [4, 8, 16, 32]
# norms, position tables and tokens take no weight decay, as in DeiT's training
paramwise_cfg = dict(
    norm_decay_mult=0.0,
    custom_keys={'stem.positions': dict(decay_mult=0.0), 'stem.class_token': dict(decay_mult=0.0)},
)
