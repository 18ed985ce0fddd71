"""PiT; `--arch xs`, `s` or `b` for the larger variants, and `ti_distilled`, … for the distilled ones.

Stochastic depth is DeiT's 0.1, with whose recipe PiT's weights were trained; the authors' code has 0 as its
default (naver-ai/pit@9d97a62), and their detector's rate is not published.
"""

from vitdense.backbones import PiT

# stochastic depth by variant, which `--arch` follows
drop_path_rates = dict.fromkeys(['ti', 'xs', 's', 'b'], 0.1)
drop_path_rates.update(dict.fromkeys(['ti_distilled', 'xs_distilled', 's_distilled', 'b_distilled'], 0.1))
backbone = dict(type=PiT, arch='ti', drop_path_rate=drop_path_rates['ti'])
channels = [64, 128, 256]
strides = [8, 16, 32]
# norms, position tables and tokens take no weight decay, as in DeiT's training
paramwise_cfg = dict(
    norm_decay_mult=0.0,
    custom_keys={'stem.position': dict(decay_mult=0.0), 'stem.tokens': dict(decay_mult=0.0)},
)
