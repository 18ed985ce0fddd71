"""PiT; `--arch xs`, `s` or `b` for the larger variants, and `ti_distilled`, … for the distilled ones."""

from vitdense.backbones import PiT

backbone = dict(type=PiT, arch='ti')
channels = [64, 128, 256]
strides = [8, 16, 32]
# norms, position tables and tokens take no weight decay, as in DeiT's training
paramwise_cfg = dict(
    norm_decay_mult=0.0,
    custom_keys={'stem.position': dict(decay_mult=0.0), 'stem.tokens': dict(decay_mult=0.0)},
)
