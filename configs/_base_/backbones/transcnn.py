"""TransCNN; `--arch small`, `medium` or `large` for the larger variants."""

from vitdense.backbones import TransCNN

backbone = dict(type=TransCNN, arch='tiny')
channels = [64, 128, 256, 512]
strides = [4, 8, 16, 32]
# norms take no weight decay, as in Swin's and DeiT's training
paramwise_cfg = dict(norm_decay_mult=0.0)
