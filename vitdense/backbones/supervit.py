"""SuperViT: one vision transformer whose cost can be set from call to call.

One set of weights serves images of several sizes, and can drop a part of the tokens on the way: those that
the class token attends to least.

Source: M. Lin, M. Chen, Y. Zhang, C. Shen, R. Ji, L. Cao, "Super Vision Transformer", arXiv 2205.11397. The
dense maps are those of Y. Li, H. Mao, R. Girshick, K. He, "Exploring Plain Vision Transformer Backbones for
Object Detection", arXiv 2203.16527, section 3.

The authors' code: github.com/lmbxmu/SuperViT; no licence found. Their weights: Google Drive, linked from its
README. Those of DeiT-S (github.com/facebookresearch/deit, Apache-2.0) load too, with one image size.
"""

import random
import re
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import partial
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from mmengine.registry import MODELS
from torch import Tensor, nn

from ..compat import sym_max, sym_min
from ..layers.drop_path import drop_path_rates
from ..layers.gelu import GELU
from ..layers.init import init_linear, trunc_normal_
from ..layers.norm import LayerNorm2d
from ..layers.position import resample_table
from ..layers.transformer import Block
from .pyramid import Pyramid

# Parameters without the classifier, and without the levels of the pyramid, which are not the paper's.
# fmt: off
VARIANTS = {
    'deit_s': dict(image_sizes=(128, 160, 192, 224), patch_size=16, dim=384, depth=12, heads=6, mlp_ratio=4,
                   pruned_blocks=(3, 6, 9)),  # 21.8 M
}
# fmt: on


# ---- the tokens: which are kept, and which wait ------------------------------------------------------------


class Tokens(NamedTuple):
    """What a block takes and returns."""

    active: Tensor
    """(B, 1 + n, C), the class token and the patches that still take part."""

    keep_rate: float
    """Fraction of the tokens that a pruning keeps, 0 < keep_rate ≤ 1."""

    places: Tensor | None = None
    """(B, n), indices of the active patches in the image; None before the first pruning: all are active."""

    waiting: Tensor | None = None
    """(B, N, C), all patches with the features that they last had as active ones; None as above."""

    def patches(self) -> Tensor:
        """All patches of the image in their places: (B, N, C)."""
        patches = self.active[:, 1:]
        if self.places is None or self.waiting is None:
            return patches
        return self.waiting.scatter(1, self.places[..., None].expand_as(patches), patches)

    def prune(self, scores: Tensor) -> 'Tokens':
        """Keep the class token and the patches of the highest scores (B, n); the others wait."""
        count = self.active.shape[1]
        # the class token is counted among the tokens, and kept beside this number of patches
        kept = sym_max(sym_min(_times(count, self.keep_rate, up=True), count - 1), 1)
        best = scores.topk(kept, dim=1).indices  # (B, kept)
        index = best[..., None].expand(-1, -1, self.active.shape[2])
        return self._replace(
            active=torch.cat([self.active[:, :1], self.active[:, 1:].gather(1, index)], dim=1),
            places=best if self.places is None else self.places.gather(1, best),
            waiting=self.patches(),
        )


class SuperBlock(Block):
    """A transformer block; one that `prunes` drops tokens between its attention and its MLP.

    A patch's score is the attention that the class token pays to it, the mean over the heads.
    """

    def __init__(self, dim: int, heads: int, mlp_ratio: float, drop_path: float, prunes: bool):
        super().__init__(dim, heads, mlp_ratio, drop_path)
        self.prunes = prunes

    def forward(self, tokens: Tokens) -> Tokens:  # type: ignore[override]  # a block of another state
        x = tokens.active
        q, k, v = self.attn.split(self.norm1(x))
        tokens = tokens._replace(active=x + self.drop_path(self.attn.attend(q, k, v)))
        if self.prunes and tokens.keep_rate != 1:
            tokens = tokens.prune(_class_attention(q, k))
        x = tokens.active
        return tokens._replace(active=x + self.drop_path(self.mlp(self.norm2(x))))


@torch.no_grad()
def _class_attention(q: Tensor, k: Tensor) -> Tensor:
    """Attention of the class token to the patches (B, n), of heads (B, heads, 1 + n, d): one row of it."""
    row = q[:, :, :1] @ k.transpose(2, 3) * q.shape[3] ** -0.5
    return row.softmax(dim=3, dtype=torch.float32).mean(dim=1)[:, 0, 1:]


def _times(count: int, rate: float, up: bool = False) -> int:
    """`count` · `rate`, rounded to the nearest or up; in integers, as `count` is symbolic in an export."""
    fraction = Fraction(rate).limit_denominator(10**6)
    n, d = fraction.numerator, fraction.denominator
    return (count * n + d - 1) // d if up else (2 * count * n + d) // (2 * d)


# ---- before and after the blocks ---------------------------------------------------------------------------


class Stem(nn.Module):
    """Patches of the image with learned positions, and the learned class token before them.

    There is a position table for every image size of the paper. An image of another size, square or not,
    takes the table nearest to its number of patches, resampled to its grid.
    """

    counts: Tensor

    def __init__(self, in_channels: int, dim: int, patch_size: int, image_sizes: Sequence[int]):
        super().__init__()
        self.proj = nn.Conv2d(in_channels, dim, patch_size, patch_size)
        self.class_token = nn.Parameter(trunc_normal_(torch.empty(1, 1, dim), std=0.02))
        self.sides = [size // patch_size for size in image_sizes]
        counts = [side * side for side in self.sides]
        self.positions = nn.ParameterList(trunc_normal_(torch.empty(1, 1 + n, dim), std=0.02) for n in counts)
        self.register_buffer('counts', torch.tensor(counts), persistent=False)

    def forward(self, image: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """(B, 3, H, W) → (B, 1 + hw, C) and (h, w) = (⌈H/p⌉, ⌈W/p⌉) for patches of p pixels."""
        side, (height, width) = self.proj.stride[0], image.shape[-2:]
        size = (height + side - 1) // side, (width + side - 1) // side
        x = self.proj(F.pad(image, (0, size[1] * side - width, 0, size[0] * side - height)))
        x = torch.cat([self.class_token.expand(x.shape[0], -1, -1), x.flatten(2).transpose(1, 2)], dim=1)
        return x + self.position(size), size

    def position(self, size: tuple[int, int]) -> Tensor:
        """Positions (1, 1 + hw, C) for a grid of `size` = (h, w)."""
        # All tables are resampled and one is taken by its index: so the choice can depend on a size that is
        # symbolic in an export, and in training the tables not taken get a gradient, of zero, as DDP expects.
        fitted = []
        for table, side in zip(self.positions, self.sides, strict=True):
            grid = table[:, 1:].unflatten(1, (side, side)).permute(0, 3, 1, 2)
            grid = resample_table(grid, size).flatten(2).transpose(1, 2)
            fitted.append(torch.cat([table[:, :1], grid], dim=1))
        # squared: OpenVINO leaves out the absolute value of what it computes from the image's size
        nearest = (self.counts - size[0] * size[1]).float().square().argmin()
        return torch.cat(fitted).index_select(0, nearest[None])


class PyramidLevel(nn.Sequential):
    """One level of the ViTDet pyramid, from the map of stride p: strides p/4, p/2, p and 2p.

    Finer levels by transposed convolutions that double the size and halve the channels, the coarser by a
    max pool. (B, C, h, w) → (B, C/4, 4h, 4w), (B, C/2, 2h, 2w), (B, C, h, w), (B, C, ⌈h/2⌉, ⌈w/2⌉).
    """

    def __init__(self, dim: int, index: int):
        layers: list[nn.Module] = []
        if index < 2:
            layers += [nn.ConvTranspose2d(dim, dim // 2, 2, stride=2)]
        if index == 0:
            layers += [LayerNorm2d(dim // 2), GELU(), nn.ConvTranspose2d(dim // 2, dim // 4, 2, stride=2)]
        if index == 3:
            layers += [nn.MaxPool2d(2, ceil_mode=True)]
        super().__init__(*layers)


# ---- the backbone ------------------------------------------------------------------------------------------


@MODELS.register_module(force=True)
class SuperViT(Pyramid):
    """SuperViT pyramid, strides 4, 8, 16, 32, of C/4, C/2, C and C channels.

    A plain transformer at stride 16, a final norm, and the ViTDet pyramid. Two numbers set the cost from call
    to call; the sizes of the maps do not depend on them:

    - `scale`: the image is resized to this fraction of its sides, and the features back;
    - `keep_rate`: each of the `pruned_blocks` keeps this fraction of the tokens. The others wait with the
      features they had when they were dropped, and return to their places before the final norm.

    Evaluation reads the attributes `scale` and `keep_rate`, which may be set at any time; each forward pass
    in training draws both from `scales` and `keep_rates` with Python's `random`. (The paper trains its
    classifier otherwise: four settings in each step, of which the largest teaches the others.) At 1 and 1
    this is a plain vision transformer. See `Pyramid` for the other arguments.

    Args:
        scale, keep_rate: initial values of the attributes, each above 0 and at most 1.
        scales, keep_rates: what training draws from; by default those values alone.
        drop_path_rate: stochastic depth of the last block; the rate grows linearly from 0 at the first.
        out_indices: which levels are returned; all of them need the whole transformer.
        frozen_stages: stage i is the blocks from one pruning (or the first block) to before the next; the
            last includes the final norm. The levels are never frozen.
    """

    archs = VARIANTS
    released_head = ('head.',)
    released_tables = ('stem.positions.',)
    unreleased = ('levels.',)

    def __init__(
        self,
        arch: str | Mapping[str, Any] = 'deit_s',
        scale: float = 1,
        keep_rate: float = 1,
        scales: Sequence[float] | None = None,
        keep_rates: Sequence[float] | None = None,
        drop_path_rate: float = 0.0,
        out_indices: Sequence[int] = (0, 1, 2, 3),
        frozen_stages: int = -1,
        norm_eval: bool = False,
        with_cp: bool = False,
        init_cfg: dict | list[dict] | None = None,
    ):
        a = self.variant(arch)
        for name in ('image_sizes', 'pruned_blocks'):
            if not isinstance(getattr(a, name), Sequence):
                raise ValueError(f'SuperViT: {name}={getattr(a, name)!r}: expected a list')
        pruned = list(a.pruned_blocks)
        if pruned != sorted(set(pruned)) or not all(0 < block < a.depth for block in pruned):
            raise ValueError(f'SuperViT: pruned_blocks={pruned}: expected ascending, of 1 to {a.depth - 1}')
        if a.patch_size % 4:
            raise ValueError(f'SuperViT: patch_size={a.patch_size}: expected a multiple of 4, for stride p/4')
        channels = (a.dim // 4, a.dim // 2, a.dim, a.dim)
        strides = (a.patch_size // 4, a.patch_size // 2, a.patch_size, a.patch_size * 2)
        super().__init__(
            arch=a,
            channels=channels,
            strides=strides,
            out_indices=out_indices,
            frozen_stages=frozen_stages,
            norm_eval=norm_eval,
            with_cp=with_cp,
            init_cfg=init_cfg,
            stage_count=len(pruned) + 1,
        )
        self.released_names = (
            (r'^blocks\.(\d+)\.', partial(_our_block, [0, *pruned])),
            (r'^patch_embed\.', 'stem.'),
            (r'^cls_token$', 'stem.class_token'),
            (r'^pos_embed_list\.', 'stem.positions.'),
            (r'^pos_embed$', 'stem.positions.0'),  # DeiT's own weights, for an arch of one image size
        )
        self.scale, self.keep_rate = scale, keep_rate
        for name, dials in dict(scales=scales, keep_rates=keep_rates).items():
            if dials is not None and (isinstance(dials, str) or not isinstance(dials, Sequence) or not dials):
                raise ValueError(f'SuperViT: {name}={dials!r}: expected a list of one or more numbers')
        self.scales, self.keep_rates = list(scales or [scale]), list(keep_rates or [keep_rate])
        for dial in [scale, keep_rate, *self.scales, *self.keep_rates]:
            self._check_dial(dial)

        self.stem = Stem(self.in_channels, a.dim, a.patch_size, a.image_sizes)
        (rates,) = drop_path_rates(drop_path_rate, (a.depth,))
        blocks = [
            SuperBlock(a.dim, a.heads, a.mlp_ratio, rate, prunes=i in a.pruned_blocks)
            for i, rate in enumerate(rates)
        ]
        for start, end in zip([0, *a.pruned_blocks], [*a.pruned_blocks, a.depth], strict=True):
            self.stages.append(self.blocks(blocks[start:end]))
        self.norm = nn.LayerNorm(a.dim, eps=1e-6)
        self.levels = nn.ModuleDict({str(i): PyramidLevel(a.dim, i) for i in self.out_indices})

        for module in self.modules():
            if isinstance(module, nn.Linear):
                init_linear(module)
        self.freeze()

    def freeze(self) -> None:
        super().freeze()
        if self.frozen_stages == self.stage_count:
            self.norm.requires_grad_(False)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        self.check(image)
        scale, keep_rate = self.scale, self.keep_rate
        if self.training:
            scale, keep_rate = random.choice(self.scales), random.choice(self.keep_rates)
        self._check_dial(scale)
        self._check_dial(keep_rate)

        height, width = image.shape[-2:]
        # channels_last throughout: a pixel's channels lie together, as 1×1 products and attention read them
        image = image.contiguous(memory_format=torch.channels_last)
        if scale != 1:
            image = _resize(image, [sym_max(_times(side, scale), 1) for side in (height, width)])
        tokens, (h, w) = self.encode(image, keep_rate)
        x = self.norm(tokens.patches()).reshape(image.shape[0], h, w, -1).permute(0, 3, 1, 2)
        x = x.contiguous(memory_format=torch.channels_last)
        if scale != 1:
            size = [(side + self.arch.patch_size - 1) // self.arch.patch_size for side in (height, width)]
            x = F.interpolate(x, size, mode='bilinear', align_corners=False)

        maps = []
        for level, stride in zip(self.levels.values(), self.strides, strict=True):
            x_level = level(x)
            # a patch reaches over the image's edge, and a finer map of it by more than one pixel: a crop
            bottom = (height + stride - 1) // stride - x_level.shape[2]
            right = (width + stride - 1) // stride - x_level.shape[3]
            x_level = F.pad(x_level, (0, right, 0, bottom))
            maps.append(x_level.contiguous(memory_format=torch.channels_last))
        return tuple(maps)

    def encode(self, image: Tensor, keep_rate: float) -> tuple[Tokens, tuple[int, int]]:
        """All blocks over an image batch: its tokens before the final norm, and their grid (h, w)."""
        x, size = self.stem(image)
        tokens = Tokens(x, keep_rate)
        for stage in self.stages:
            tokens = stage(tokens)
        return tokens, size

    def class_token(self, image: Tensor, size: int, keep_rate: float) -> Tensor:
        """The paper's classification features: the normed class token (B, C).

        Args:
            image: (B, 3, H, W).
            size: the side of the square that the image is resized to, one of the variant's `image_sizes`.
            keep_rate: above 0 and at most 1.
        """
        self.check(image)
        self._check_dial(keep_rate)
        tokens, _ = self.encode(_resize(image, (size, size)), keep_rate)
        return self.norm(tokens.active[:, 0])

    @staticmethod
    def _check_dial(value: float) -> None:
        number = isinstance(value, (int, float, torch.SymFloat)) and not isinstance(value, bool)
        if not number or not 0 < value <= 1:
            raise ValueError(f'SuperViT: scale and keep_rate are above 0 and at most 1, got {value}')


def _our_block(first_blocks: list[int], block: re.Match) -> str:
    """The name of a block in our stages, which begin with `first_blocks`; the authors have no stages."""
    stage = bisect_right(first_blocks, int(block[1])) - 1
    return f'stages.{stage}.{int(block[1]) - first_blocks[stage]}.'


def _resize(image: Tensor, size: Sequence[Any]) -> Tensor:
    """Bilinear with aligned corners, as in the authors' training; `size` is symbolic in an export."""
    return F.interpolate(image, size, mode='bilinear', align_corners=True)
