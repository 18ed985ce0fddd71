"""HAT-Net: TransCNN's hierarchical attention, without batch statistics.

Source: Y. Liu, Y.-H. Wu, G. Sun, L. Zhang, A. Chhatkuli, L. Van Gool, "Vision Transformers with Hierarchical
Attention", Machine Intelligence Research 21, 2024 (arXiv 2106.03180, fourth version), section 3 and table 1.

The authors' code: github.com/yun-liu/HAT-Net, `HAT_Net.py`; no licence found. Their weights: linked from its
README, GitHub releases and Google Drive.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.registry import MODELS
from torch import Tensor, nn

from ..layers.depthwise import DepthwiseConv2d
from ..layers.drop_path import drop_path_rates
from ..layers.hierarchical import HierarchicalAttention, HierarchicalBlock
from ..layers.init import init_linear
from .pyramid import Pyramid

# Parameters and multiply-adds at 224×224 as the authors count them, with the 1000-class classifier.
# fmt: off
_GRIDS = dict(expansions=(8, 8, 4, 4), grid_sizes=(8, 7, 7, 1), pool_ratios=(8, 4, 2, 1))
VARIANTS = {
    'tiny':   dict(dims=(48, 96, 240, 384), head_dim=48, depths=(2, 2, 6, 3),
                   kernel_sizes=(3, 3, 3, 3), **_GRIDS),  # 12.7 M, 2.0 G
    'small':  dict(dims=(64, 128, 320, 512), head_dim=64, depths=(2, 3, 8, 3),
                   kernel_sizes=(3, 3, 3, 3), **_GRIDS),  # 25.7 M, 4.3 G
    'medium': dict(dims=(64, 128, 320, 512), head_dim=64, depths=(3, 6, 18, 3),
                   kernel_sizes=(5, 3, 5, 3), **_GRIDS),  # 42.9 M, 8.3 G
    'large':  dict(dims=(64, 128, 320, 640), head_dim=64, depths=(3, 8, 27, 3),
                   kernel_sizes=(3, 3, 3, 3), **_GRIDS),  # 63.1 M, 11.5 G
}
# fmt: on


class ImageNorm(nn.GroupNorm):
    """Norm over all channels and pixels of an image, where TransCNN's is over one channel of the batch."""

    def __init__(self, dim: int):
        super().__init__(1, dim, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        # torch's CUDA kernel may answer in NCHW memory
        return super().forward(x).contiguous(memory_format=torch.channels_last)


class InvertedResidual(nn.Sequential):
    """The block's second half: norm, 1×1 expansion, k×k depthwise convolution, 1×1 projection, norm.

    SiLU after the first two convolutions. (B, C, H, W) → the same shape; the residual is the block's.
    """

    def __init__(self, dim: int, expansion: int, kernel_size: int):
        hidden = dim * expansion
        super().__init__(
            ImageNorm(dim),
            nn.Conv2d(dim, hidden, 1, bias=False),
            nn.SiLU(inplace=True),
            DepthwiseConv2d(hidden, kernel_size, bias=False),
            nn.SiLU(inplace=True),
            nn.Conv2d(hidden, dim, 1, bias=False),
            ImageNorm(dim),
        )


@MODELS.register_module(force=True)
class HATNet(Pyramid):
    """HAT-Net pyramid, strides 4, 8, 16, 32.

    A stem of two strided convolutions, then four stages of blocks, a strided convolution with a norm before
    each but the first. See `Pyramid` for the other arguments.

    Args:
        drop_path_rate: stochastic depth of the last block; the rate grows linearly from 0 at the first.
    """

    archs = VARIANTS
    released_names = (
        (r'^patch_embed\.', 'stem.'),
        (r'^blocks\.(\d+)\.(\d+)\.', r'stages.\1.blocks.\2.'),
        (r'\.conv\.conv1\.(\d)\.', r'.conv.\1.'),
        (r'\.conv\.conv2\.0\.', '.conv.3.'),
        (r'\.conv\.conv3\.(\d)\.', lambda m: f'.conv.{5 + int(m[1])}.'),
        (r'\.attn\.ds_norm\.', '.attn.pool_norm.'),
        (r'^ds(\d)\.', lambda m: f'stages.{int(m[1]) - 1}.downsample.'),
    )

    def __init__(
        self,
        arch: str | Mapping[str, Any] = 'small',
        drop_path_rate: float = 0.0,
        out_indices: Sequence[int] = (0, 1, 2, 3),
        frozen_stages: int = -1,
        norm_eval: bool = False,
        with_cp: bool = False,
        init_cfg: dict | list[dict] | None = None,
    ):
        a = self.variant(arch)
        super().__init__(
            arch=a,
            channels=a.dims,
            strides=(4, 8, 16, 32),
            out_indices=out_indices,
            frozen_stages=frozen_stages,
            norm_eval=norm_eval,
            with_cp=with_cp,
            init_cfg=init_cfg,
        )
        # The authors' attention has a last norm that their forward pass never calls. It could not get a
        # gradient, so it is not built; released weights hold it and load without it.
        self.released_head = (
            'classifier.',
            *(f'blocks.{i}.{j}.attn.proj_norm.' for i, depth in enumerate(a.depths) for j in range(depth)),
        )
        rates = drop_path_rates(drop_path_rate, a.depths)
        self.stem = nn.Sequential(  # (B, 3, H, W) → (B, dims[0], ⌈H/4⌉, ⌈W/4⌉)
            nn.Conv2d(self.in_channels, 16, 3, stride=2, padding=1),
            ImageNorm(16),
            nn.SiLU(inplace=True),
            nn.Conv2d(16, a.dims[0], 3, stride=2, padding=1),
        )
        for i in range(self.stages_needed):
            self.add_stage(
                downsample=self._downsample(a.dims[i - 1], a.dims[i]) if i > 0 else None,
                blocks=self.blocks([self._block(a, i, rate) for rate in rates[i]]),
            )
        for module in self.modules():
            if isinstance(module, nn.Linear):
                init_linear(module)
        self.freeze()

    @staticmethod
    def _downsample(dim: int, out_dim: int) -> nn.Sequential:
        """(B, C, H, W) → (B, C', ⌈H/2⌉, ⌈W/2⌉)."""
        conv = nn.Conv2d(dim, out_dim, 3, stride=2, padding=1)
        return nn.Sequential(OrderedDict(conv=conv, norm=ImageNorm(out_dim)))

    @staticmethod
    def _block(a: Any, i: int, drop_path: float) -> HierarchicalBlock:
        return HierarchicalBlock(
            HierarchicalAttention(a.dims[i], a.head_dim, a.grid_sizes[i], a.pool_ratios[i], ImageNorm),
            InvertedResidual(a.dims[i], a.expansions[i], a.kernel_sizes[i]),
            drop_path,
        )
