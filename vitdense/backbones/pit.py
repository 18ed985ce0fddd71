"""PiT: a vision transformer that pools, as convolutional networks do.

Source: B. Heo, S. Yun, D. Han, S. Chun, J. Choe, S. J. Oh, "Rethinking Spatial Dimensions of Vision
Transformers", arXiv 2103.16302.

The authors' code: github.com/naver-ai/pit, Apache-2.0. Their weights: Google Drive, linked from its README,
and timm (`'timm:pit_s_224'`).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.registry import MODELS
from torch import Tensor, nn

from ..layers.drop_path import check_probability
from ..layers.init import init_linear, trunc_normal_
from ..layers.position import resample_table
from ..layers.recompute import Blocks
from ..layers.transformer import Block
from .pyramid import Pyramid

# Parameters as the authors count them, with the 1000-class classifier; of the distilled ones, with both.
# fmt: off
_16 = dict(image_size=224, patch_size=16, stride=8, depths=(2, 6, 4), mlp_ratio=4)
_14 = dict(image_size=224, patch_size=14, stride=7, depths=(3, 6, 4), mlp_ratio=4)
VARIANTS = {
    'ti': dict(head_dim=32, heads=(2, 4, 8),  **_16),  #  4.9 M, distilled  5.1 M
    'xs': dict(head_dim=48, heads=(2, 4, 8),  **_16),  # 10.6 M, distilled 11.0 M
    's':  dict(head_dim=48, heads=(3, 6, 12), **_16),  # 23.5 M, distilled 24.0 M
    'b':  dict(head_dim=64, heads=(4, 8, 16), **_14),  # 73.8 M, distilled 74.8 M
}
# fmt: on

State = tuple[Tensor, Tensor]
"""What a stage takes and returns: the map (B, C, H, W) and the class tokens (B, T, C)."""


class Stem(nn.Module):
    """Overlapping patches of the image, their learned positions, and the learned class tokens.

    Without padding, as in the paper, patch (i, j) of stride s begins at pixel (s·i, s·j), and a patch that
    would reach over the edge is left out: 224 pixels make 27 patches of 16. With padding there is one more
    patch at the top and left, half of it outside, and as many at the bottom and right as cover the image:
    ⌈H/s⌉ × ⌈W/s⌉. The first is then centred on pixel (0, 0), as detectors assume of their anchors. (All
    variants have patches of twice the stride.)

    The position table is the unpadded one in either case: padding repeats its first row and column, so that
    a patch keeps its position. For a grid of another size it is resampled.

    Args:
        in_channels: of the image; `dim`: C of the output.
        image_size, patch_size, stride: in pixels; the image's side is the one that the table was learned on.
        tokens: number T of class tokens.
        padded: whether the patches cover the image.
    """

    def __init__(
        self,
        in_channels: int,
        dim: int,
        image_size: int,
        patch_size: int,
        stride: int,
        tokens: int,
        padded: bool,
    ):
        super().__init__()
        side = (image_size - patch_size) // stride + 1
        self.stride = stride
        self.overlap = patch_size - stride
        self.padded = padded
        self.conv = nn.Conv2d(in_channels, dim, patch_size, stride)
        self.position = nn.Parameter(trunc_normal_(torch.empty(1, dim, side, side), std=0.02))
        self.tokens = nn.Parameter(trunc_normal_(torch.empty(1, tokens, dim), std=0.02))

    def forward(self, image: Tensor) -> State:
        """(B, 3, H, W) → (B, C, h, w) and (B, T, C)."""
        position: Tensor = self.position
        if self.padded:
            height, width = image.shape[-2:]
            bottom = (height + self.stride - 1) // self.stride * self.stride - height
            right = (width + self.stride - 1) // self.stride * self.stride - width
            image = F.pad(image, (self.overlap, right, self.overlap, bottom))
            more = self.overlap // self.stride
            position = F.pad(position, (more, 0, more, 0), mode='replicate')
        x = self.conv(image)
        x = x + resample_table(position, x.shape[-2:])
        return x, self.tokens.expand(image.shape[0], -1, -1)


class Pooling(nn.Module):
    """Half the size, twice the channels: a strided depthwise convolution; the tokens by a linear layer."""

    def __init__(self, dim: int, out_dim: int):
        super().__init__()
        self.conv = nn.Conv2d(dim, out_dim, 3, stride=2, padding=1, groups=dim)
        self.fc = nn.Linear(dim, out_dim)

    def forward(self, state: State) -> State:
        """(B, C, H, W), (B, T, C) → (B, C', ⌈H/2⌉, ⌈W/2⌉), (B, T, C')."""
        x, tokens = state
        return self.conv(x), self.fc(tokens)


class Stage(nn.Module):
    """Pooling, except in the first stage, then transformer blocks over the pixels and the class tokens."""

    def __init__(self, pool: Pooling | None, blocks: Blocks):
        super().__init__()
        self.pool = pool
        self.blocks = blocks

    def forward(self, state: State) -> State:
        """(B, C, H, W), (B, T, C) → (B, C', h, w), (B, T, C')."""
        x, tokens = self.pool(state) if self.pool is not None else state
        (batch, channels, height, width), count = x.shape, tokens.shape[1]
        sequence = self.blocks(torch.cat([tokens, x.flatten(2).transpose(1, 2)], dim=1))  # (B, T + hw, C)
        x = sequence[:, count:].reshape(batch, height, width, channels).permute(0, 3, 1, 2)
        return x.contiguous(memory_format=torch.channels_last), sequence[:, :count]


@MODELS.register_module(force=True)
class PiT(Pyramid):
    """PiT pyramid, strides 8, 16, 32 (PiT-B: 7, 14, 28).

    Plain transformer stages with a pooling layer before each but the first. A stage's map is what the next
    pooling takes; the class tokens and the pixels attend to each other in every block, as in the paper. See
    `Pyramid` for the other arguments.

    Args:
        arch: as in `Pyramid`. A name that ends in `'_distilled'` has a second class token, which learned
            from a teacher; a mapping has one class token.
        padded: whether the maps cover the image (see `Stem`); False is the paper's stem, whose maps are
            smaller than `Pyramid` promises, and which takes no image smaller than a patch.
        drop_path_rate: stochastic depth; block i of n drops at rate · i / n.
    """

    archs = VARIANTS | {f'{name}_distilled': fields for name, fields in VARIANTS.items()}
    released_names = (
        (r'^patch_embed\.', 'stem.'),
        (r'^pos_embed$', 'stem.position'),
        (r'^cls_token$', 'stem.tokens'),
        (r'^transformers\.', 'stages.'),  # timm's stages hold their pooling
        (r'^pools\.(\d)\.', lambda m: f'stages.{int(m[1]) + 1}.pool.'),  # the authors' do not
    )
    released_head = ('norm.', 'head.', 'head_dist.')  # the norm is of the class tokens
    released_tables = ('stem.position',)

    def __init__(
        self,
        arch: str | Mapping[str, Any] = 's',
        padded: bool = True,
        drop_path_rate: float = 0.0,
        out_indices: Sequence[int] = (0, 1, 2),
        frozen_stages: int = -1,
        norm_eval: bool = False,
        with_cp: bool = False,
        init_cfg: dict | list[dict] | None = None,
    ):
        check_probability(drop_path_rate)
        a = self.variant(arch)
        dims = [a.head_dim * heads for heads in a.heads]
        strides = [a.stride * 2**i for i in range(len(dims))]
        super().__init__(
            arch=a,
            channels=dims,
            strides=strides,
            out_indices=out_indices,
            frozen_stages=frozen_stages,
            norm_eval=norm_eval,
            with_cp=with_cp,
            init_cfg=init_cfg,
        )
        tokens = 2 if isinstance(arch, str) and arch.lower().endswith('_distilled') else 1
        self.stem = Stem(self.in_channels, dims[0], a.image_size, a.patch_size, a.stride, tokens, padded)
        for i in range(self.stages_needed):
            # unlike most, the authors' schedule ends one step before the rate
            first, total = sum(a.depths[:i]), sum(a.depths)
            rates = [drop_path_rate * (first + j) / total for j in range(a.depths[i])]
            blocks = [Block(dims[i], a.heads[i], a.mlp_ratio, rate) for rate in rates]
            self.stages.append(Stage(Pooling(dims[i - 1], dims[i]) if i > 0 else None, self.blocks(blocks)))
        for module in self.modules():
            if isinstance(module, nn.Linear):
                init_linear(module)
        self.freeze()

    def check(self, image: Tensor) -> None:
        super().check(image)
        if not self.stem.padded and min(image.shape[-2:]) < self.arch.patch_size:
            raise ValueError(
                f'PiT: the image, {tuple(image.shape)}, is smaller than a patch of {self.arch.patch_size} '
                f'pixels, which padded=False does not take'
            )

    def to_map(self, state: State, index: int) -> Tensor:
        return state[0]
