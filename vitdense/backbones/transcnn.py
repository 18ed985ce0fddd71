"""TransCNN: convolutions for what is near, hierarchical attention for what is far.

Source: Y. Liu, G. Sun, Y. Qiu, L. Zhang, A. Chhatkuli, L. Van Gool, "Transformer in Convolutional Neural
Networks", arXiv 2106.03180; the variants and their parameter counts are those of the 2021 release of its
weights (the second version of the paper). The paper became HAT-Net, which is `HATNet` here.

The authors' code: github.com/yun-liu/HAT-Net (formerly yun-liu/TransCNN), `TransCNN.py` of 2021; no licence
found. Their weights: release v1 of that repository, `TransCNN-Tiny.pth` to `TransCNN-Large.pth`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch.nn.functional as F
from mmengine.registry import MODELS
from torch import Tensor, nn

from ..layers.depthwise import DepthwiseConv2d
from ..layers.drop_path import drop_path_rates
from ..layers.fold import fold_after
from ..layers.hierarchical import HierarchicalAttention, HierarchicalBlock
from ..layers.init import init_linear
from .pyramid import Pyramid

# Parameters as the authors count them, with the 1000-class classifier.
# fmt: off
_V2 = dict(head_dim=64, grid_sizes=(8, 8, 8, 1), pool_ratios=(8, 4, 2, 1), kernel_sizes=(5, 3, 5, 3))
VARIANTS = {
    'tiny':   dict(dims=(64, 128, 256, 512), depths=(2, 2, 4, 2),  expansions=(4, 4, 4, 4), **_V2),  # 13.3 M
    'small':  dict(dims=(64, 128, 256, 512), depths=(3, 4, 8, 3),  expansions=(4, 4, 6, 6), **_V2),  # 26.5 M
    'medium': dict(dims=(64, 128, 320, 640), depths=(3, 4, 12, 3), expansions=(4, 4, 6, 6), **_V2),  # 48.3 M
    'large':  dict(dims=(64, 128, 384, 768), depths=(3, 4, 16, 3), expansions=(4, 4, 6, 6), **_V2),  # 80.0 M
}
# fmt: on


class InvertedResidual(nn.Sequential):
    """The block's second half: 1×1 expansion, k×k depthwise convolution, 1×1 projection.

    Each with a batch norm, SiLU after the first two. (B, C, H, W) → the same shape; the residual is the
    block's.
    """

    def __init__(self, dim: int, expansion: int, kernel_size: int):
        hidden = dim * expansion
        last_norm = nn.BatchNorm2d(dim)
        nn.init.zeros_(last_norm.weight)  # a block begins near the identity, as MMDetection's ResNets do
        super().__init__(
            nn.Conv2d(dim, hidden, 1, bias=False),
            nn.BatchNorm2d(hidden),
            nn.SiLU(inplace=True),
            DepthwiseConv2d(hidden, kernel_size, bias=False),
            nn.BatchNorm2d(hidden),
            nn.SiLU(inplace=True),
            nn.Conv2d(hidden, dim, 1, bias=False),
            last_norm,
        )


class TwoBranchDownsample(nn.Module):
    """Half the size: a strided convolution beside a max pool, each with a batch norm, added, SiLU.

    (B, C, H, W) → (B, C', ⌈H/2⌉, ⌈W/2⌉).
    """

    def __init__(self, dim: int, out_dim: int):
        super().__init__()
        self.conv = nn.Conv2d(dim, out_dim, 3, stride=2, padding=1)
        self.conv_norm: nn.Module = nn.BatchNorm2d(out_dim)
        # ceil_mode gives the last window of an odd side its real pixels only, and the convolution's size
        self.pool = nn.MaxPool2d(2, ceil_mode=True)
        self.pool_conv = nn.Conv2d(dim, out_dim, 1)
        self.pool_norm: nn.Module = nn.BatchNorm2d(out_dim)

    def forward(self, x: Tensor) -> Tensor:
        return F.silu(self.conv_norm(self.conv(x)) + self.pool_norm(self.pool_conv(self.pool(x))))

    def fold(self) -> None:
        fold_after(self.conv, self.conv_norm)
        fold_after(self.pool_conv, self.pool_norm)
        self.conv_norm = self.pool_norm = nn.Identity()


@MODELS.register_module(force=True)
class TransCNN(Pyramid):
    """TransCNN pyramid, strides 4, 8, 16, 32.

    A stem of two strided convolutions, then four stages of blocks, a two-branch downsampling before each
    but the first. See `Pyramid` for the other arguments.

    Args:
        drop_path_rate: stochastic depth of the last block; the rate grows linearly from 0 at the first.
    """

    archs = VARIANTS
    released_names = (
        (r'^patch_embed\.', 'stem.'),
        (r'^blocks\.(\d+)\.(\d+)\.', r'stages.\1.blocks.\2.'),
        (r'\.conv\.conv(\d)\.(\d)\.', lambda m: f'.conv.{3 * int(m[1]) - 3 + int(m[2])}.'),
        (r'\.attn\.ds_norm\.', '.attn.pool_norm.'),
        (r'^ds(\d)\.', lambda m: f'stages.{int(m[1]) - 1}.downsample.'),
        (r'\.downsample\.norm1\.', '.downsample.conv_norm.'),
        (r'\.downsample\.residual\.', '.downsample.pool_conv.'),
        (r'\.downsample\.norm2\.', '.downsample.pool_norm.'),
    )
    released_head = ('classifier.',)

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
        rates = drop_path_rates(drop_path_rate, a.depths)
        self.stem = nn.Sequential(  # (B, 3, H, W) → (B, dims[0], ⌈H/4⌉, ⌈W/4⌉)
            nn.Conv2d(self.in_channels, 16, 3, stride=2, padding=1),
            nn.BatchNorm2d(16),
            nn.SiLU(inplace=True),
            nn.Conv2d(16, a.dims[0], 3, stride=2, padding=1),
        )
        for i in range(self.stages_needed):
            self.add_stage(
                downsample=TwoBranchDownsample(a.dims[i - 1], a.dims[i]) if i > 0 else None,
                blocks=self.blocks([self._block(a, i, rate) for rate in rates[i]]),
            )
        for module in self.modules():
            if isinstance(module, HierarchicalAttention):
                init_linear(module.qkv)
                init_linear(module.proj)
        self.freeze()

    @staticmethod
    def _block(a: Any, i: int, drop_path: float) -> HierarchicalBlock:
        return HierarchicalBlock(
            HierarchicalAttention(a.dims[i], a.head_dim, a.grid_sizes[i], a.pool_ratios[i], nn.BatchNorm2d),
            InvertedResidual(a.dims[i], a.expansions[i], a.kernel_sizes[i]),
            drop_path,
        )
