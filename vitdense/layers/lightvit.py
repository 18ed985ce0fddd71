"""Parts of LightViT that DualToken-ViT takes over: stem, patch merging, bi-dimensional attention.

Source: T. Huang, L. Huang, S. You, F. Wang, C. Qian, C. Xu, "LightViT: Towards Light-Weight Convolution-Free
Vision Transformers", arXiv 2207.05557. The authors' code, which pads and orders as is done here:
github.com/hunto/LightViT, Apache-2.0.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..compat import is_exporting
from .gelu import GELU, gelu
from .init import trunc_normal_


class Stem(nn.Module):
    """The image at an eighth of its size, by strided convolutions, and the learned global tokens.

    Args:
        in_channels: of the image; `dim`: C of the output.
        tokens: number N of global tokens, 0 for none.
    """

    def __init__(self, in_channels: int, dim: int, tokens: int):
        super().__init__()
        half = dim // 2

        def conv(channels: int, stride: int, groups: int) -> list[nn.Module]:
            return [
                nn.Conv2d(channels, half, 3, stride, padding=1, groups=groups, bias=False),
                nn.BatchNorm2d(half),
                GELU(),
            ]

        self.convs = nn.Sequential(
            *conv(in_channels, 2, 1), *conv(half, 1, half), *conv(half, 1, half), *conv(half, 2, half)
        )
        self.proj = nn.Conv2d(half, dim, 3, stride=2, padding=1)
        self.norm = nn.LayerNorm(dim)
        self.tokens = nn.Parameter(trunc_normal_(torch.empty(tokens, dim), std=0.02)) if tokens else None

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor | None]:
        """(B, 3, H, W) → (B, C, ⌈H/8⌉, ⌈W/8⌉) and (B, N, C)."""
        x = self.norm(self.proj(self.convs(image)).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return x, None if self.tokens is None else self.tokens.repeat(image.shape[0], 1, 1)


class PatchMerging(nn.Module):
    """Half the size: 2 × 2 neighbours side by side and projected, beside their projected maximum.

    Odd sides are padded with zeros at the right and bottom, as LightViT pads them. The global tokens change
    their channels only.
    """

    def __init__(self, dim: int, out_dim: int, with_tokens: bool):
        super().__init__()
        self.norm = nn.LayerNorm(4 * dim)
        self.reduction = nn.Linear(4 * dim, out_dim, bias=False)
        self.pool_proj = nn.Linear(dim, out_dim, bias=False)
        self.tokens = (
            nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, out_dim, bias=False)) if with_tokens else None
        )

    def forward(self, x: Tensor, g: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """(B, C, H, W), (B, N, C) → (B, C', ⌈H/2⌉, ⌈W/2⌉), (B, N, C')."""
        bottom, right = x.shape[2] % 2, x.shape[3] % 2
        x = x.permute(0, 2, 3, 1)
        # an exported graph serves every size, so it always pads, if only by nothing
        if is_exporting() or bottom or right:
            x = F.pad(x, (0, 0, 0, right, 0, bottom))
        x = x.unflatten(2, (-1, 2)).unflatten(1, (-1, 2))  # (B, h, 2, w, 2, C)
        x = x.permute(0, 1, 3, 4, 2, 5).flatten(3, 4)  # (B, h, w, 4, C), the left column of each 2 × 2 first
        x = self.reduction(self.norm(x.flatten(3))) + self.pool_proj(x.amax(3))
        return x.permute(0, 3, 1, 2), g if self.tokens is None else self.tokens(g)


class BiDimensionalAttention(nn.Module):
    """Which channels matter in this image, and which pixels: two gates between 0 and 1.

    A quarter of the channels describes the image (`g`, from the mean over its pixels) and as many describe
    each pixel (`p`):

        output = input · sigmoid(W_c g) · sigmoid(W_s [p, g])
    """

    def __init__(self, dim: int):
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.global_reduce = nn.Linear(dim, dim // 4)
        self.local_reduce = nn.Linear(dim, dim // 4)
        self.channel_select = nn.Linear(dim // 4, dim)
        self.spatial_select = nn.Linear(dim // 4 * 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, C) → the same shape."""
        tokens = self.norm(x)
        g = gelu(self.global_reduce(tokens.mean((1, 2), keepdim=True)))  # (B, 1, 1, C/4)
        p = gelu(self.local_reduce(tokens))  # (B, H, W, C/4)
        spatial = self.spatial_select(torch.cat([p, g.expand_as(p)], dim=3))  # (B, H, W, 1)
        return x * self.channel_select(g).sigmoid() * spatial.sigmoid()
