"""TransCNN; `--arch small`, `medium` or `large` for the larger variants.

Stochastic depth as in the detectors and segmentors of P2T, by three of the same people, with PVT's recipe:
0.1 for the two smaller and 0.3 for the two larger variants. PVT's classification, whose settings HAT-Net's
authors say that they follow, has the same (whai362/PVT@57e2dfa).
"""

from vitdense.backbones import TransCNN

# stochastic depth by variant, which `--arch` follows
drop_path_rates = dict(tiny=0.1, small=0.1, medium=0.3, large=0.3)
backbone = dict(type=TransCNN, arch='tiny', drop_path_rate=drop_path_rates['tiny'])
channels = [64, 128, 256, 512]
strides = [4, 8, 16, 32]
# norms take no weight decay, as in Swin's and DeiT's training
paramwise_cfg = dict(norm_decay_mult=0.0)
