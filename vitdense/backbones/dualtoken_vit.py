"""DualToken-ViT: image tokens from convolutions, global tokens that keep their place, fused in every block.

Source: Z. Chu, J. Chen, C. Chen, C. Wang, Z. Wu, J. Huang, W. Qian, "DualToken-ViT: Position-aware Efficient
Vision Transformer with Dual Token Fusion", arXiv 2309.12424. Its stem, patch merging and bi-dimensional
attention are those of T. Huang, L. Huang, S. You, F. Wang, C. Qian, C. Xu, "LightViT: Towards Light-Weight
Convolution-Free Vision Transformers", arXiv 2207.05557, whose code pads and orders as is done here.

This is a reconstruction. There is no public code, there are no public weights, and the article's table of
variants was not at hand. The text gives the order of the parts, the kernels (5 and 7), one 3 × 3 convolution
in the first stage's downsampling, the 7 × 7 global tokens and α = 0.1. Chosen here, so that the figures below
come near: LightViT-T's widths, depths and MLP ratios (for T narrower and shallower) and its heads; where the
norms and the projection stand; that the MLP of the global tokens is as wide as they are; that patch merging
maps them as in LightViT; that α weighs them and 1 − α the aggregated map; and that window attention, where it
stands in for the Conv Encoder, has no residual. Other choices come as near, so nearness proves none of them.

    figure                      of         published    here      residual
    parameters                  S          11.9 M (?)   11.84 M   −0.06 M
                                S (mix)    11.4 M (?)   11.37 M   −0.03 M
                                T (mix)    5.8 M (?)    5.81 M    +0.01 M
    multiply-adds               S          1.1 G (?)    1.03 G    −0.07 G
                                S (mix)    1.0 G        1.01 G    +0.01 G
                                T (mix)    0.5 G        0.52 G    +0.02 G
    MLP, not MixMLP             S          slightly     0.47 M
                                           more         0.019 G
    49 global tokens, not 0     S          1.1 M        1.05 M    −0.05 M
                                           0.06 G       0.051 G   −0.009 G
    step-wise, not one-step     S (mix)    0.1 M        0.07 M    −0.03 M
                                           0.03 G       0.014 G   −0.016 G
    Conv Encoder, not windows   S (mix)    small cost   0.58 M
                                                        0.11 G
    Mask R-CNN, 1280 × 800      S          191 G        189.0 G   −2.0 G
    ImageNet-1K top-1           S          79.5         not trained
                                S (mix)    79.4
                                T (mix)    75.4

(?) recalled, not confirmed by a text that we could read. Parameters and multiply-adds, those at 224 × 224,
include LightViT's neck and classifier. The attention's products are counted, except in Mask R-CNN, where
convolutions and linear layers are, as in LightViT's published figures. The article's comparison with
LightViT's eight global tokens is not built.

Larger images are interpolated to the token grid before the MHSA and not after it. At 224 × 224 there is
nothing to interpolate. At 512² the other order would raise the backbone of S from 4.5 G to 5.1 G, at 2048²
from 69 G to 157 G, which is 31 times as much for 16 times the pixels, instead of 15.4 times; Mask R-CNN would
have 190.5 G.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from mmengine.registry import MODELS
from timm.layers import DropPath, trunc_normal_
from torch import Tensor, nn

from ..layers.cells import from_cells, to_cells
from ..layers.drop_path import drop_path_rates
from .pyramid import Pyramid

# fmt: off
_LIGHTVIT = dict(heads=(2, 4, 8), mlp_ratios=(8, 4, 4), kernel_sizes=(5, 7, 0), token_grid=(7, 7), alpha=0.1)
# Published parameters, with the 1000-class classifier. T is published with MixMLP only, S with either: plain
# it is "S", and `token_mlp='mix'` makes "S (mix)" of 11.4 M.
VARIANTS = {
    't': dict(dims=(48, 96, 192),  depths=(2, 6, 4), **_LIGHTVIT, token_mlp='mix'),  # 5.8 M
    's': dict(dims=(64, 128, 256), depths=(2, 6, 6), **_LIGHTVIT, token_mlp='mlp'),  # 11.9 M
}
# fmt: on


class State(NamedTuple):
    """What runs from block to block."""

    x: Tensor
    """The map (B, C, H, W)."""

    g: Tensor | None
    """The global tokens (B, N, C), if there are any."""

    to_grid: tuple[Tensor, Tensor]
    """From the map at 1/32 to the token grid: weights (rows, ⌈H/32⌉) and (columns, ⌈W/32⌉) for `resample`."""


# ---- from LightViT -----------------------------------------------------------------------------------------


class Stem(nn.Module):
    """The image at an eighth of its size, by three strided convolutions, and the learned global tokens.

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
                nn.GELU(),
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
        return x, None if self.tokens is None else self.tokens.repeat(len(image), 1, 1)


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

    def forward(self, state: State) -> State:
        """(B, C, H, W), (B, N, C) → (B, C', ⌈H/2⌉, ⌈W/2⌉), (B, N, C')."""
        x, g, to_grid = state
        bottom, right = x.shape[2] % 2, x.shape[3] % 2
        x = x.permute(0, 2, 3, 1)
        # an exported graph serves every size, so it always pads, if only by nothing
        if torch.compiler.is_exporting() or bottom or right:
            x = F.pad(x, (0, 0, 0, right, 0, bottom))
        x = x.unflatten(2, (-1, 2)).unflatten(1, (-1, 2))  # (B, h, 2, w, 2, C)
        x = x.permute(0, 1, 3, 4, 2, 5).flatten(3, 4)  # (B, h, w, 4, C), the left column of each 2 × 2 first
        x = self.reduction(self.norm(x.flatten(3))) + self.pool_proj(x.amax(3))
        return State(x.permute(0, 3, 1, 2), None if g is None else self.tokens(g), to_grid)


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
        g = F.gelu(self.global_reduce(tokens.mean((1, 2), keepdim=True)))  # (B, 1, 1, C/4)
        p = F.gelu(self.local_reduce(tokens))  # (B, H, W, C/4)
        # W_s [p, g] as a sum, so that g is not repeated for every pixel
        of_p, of_g = self.spatial_select.weight.chunk(2, dim=1)
        spatial = F.linear(p, of_p, self.spatial_select.bias) + F.linear(g, of_g)
        return x * self.channel_select(g).sigmoid() * spatial.sigmoid()


# ---- the local branch --------------------------------------------------------------------------------------


class ConvEncoder(nn.Module):
    """Equation (1), the block of ConvNeXt: X_local = X + PW₂(GELU(PW₁(LN(DW_k(X))))), four times as wide."""

    def __init__(self, dim: int, kernel_size: int):
        super().__init__()
        self.conv = nn.Conv2d(dim, dim, kernel_size, padding=kernel_size // 2, groups=dim)
        self.norm = nn.LayerNorm(dim)
        self.expand = nn.Linear(dim, 4 * dim)
        self.reduce = nn.Linear(4 * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, C) → the same shape."""
        y = self.conv(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return x + self.reduce(F.gelu(self.expand(self.norm(y))))


class WindowAttention(nn.Module):
    """What the article compares its Conv Encoder with: attention inside windows of 7 × 7 pixels.

    As in LightViT it has neither a residual nor a projection of its own: both follow the fusion. Windows
    over the edge are masked.
    """

    side = 7

    def __init__(self, dim: int, heads: int):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, C) → the same shape."""
        pixels, real = to_cells(x.permute(0, 3, 1, 2), self.side)  # (B·n, 49, C)
        pixels = _attend(*_heads(self.qkv(pixels), 3, self.heads), mask=real)
        return from_cells(pixels, x.shape[1:3], self.side).permute(0, 2, 3, 1)


# ---- the global branch -------------------------------------------------------------------------------------


class Downsampling(nn.Module):
    """Equation (2): the local features at 1/2^`halvings` of their size.

    Step-wise, a 2 × 2 average and then, until the size is reached, a 3 × 3 convolution and another average;
    in one step, one average. Windows over the edge average their real pixels.
    """

    def __init__(self, dim: int, halvings: int, stepwise: bool):
        super().__init__()

        def pool(side: int) -> nn.Module:
            return nn.AvgPool2d(side, ceil_mode=True, count_include_pad=False)

        if halvings == 0:
            steps = []
        elif stepwise:
            steps = [pool(2)]
            for _ in range(halvings - 1):
                steps += [nn.Conv2d(dim, dim, 3, padding=1), pool(2)]
        else:
            steps = [pool(2**halvings)]
        self.steps = nn.Sequential(*steps)

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, C) → (B, ⌈H/2^halvings⌉, ⌈W/2^halvings⌉, C)."""
        return self.steps(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


class MixMLP(nn.Module):
    """The smaller MLP of the global tokens: a layer across the tokens, GELU, a layer across the channels."""

    def __init__(self, tokens: int, dim: int):
        super().__init__()
        self.mix = nn.Linear(tokens, tokens)
        self.proj = nn.Linear(dim, dim)

    def forward(self, g: Tensor) -> Tensor:
        """(B, N, C) → the same shape."""
        return self.proj(F.gelu(self.mix(g.transpose(1, 2)).transpose(1, 2)))


class PositionAwareTokens(nn.Module):
    """The Position-aware Token Module: see the whole image through a small grid of tokens.

        X_ds     = the local features, downsampled to the token grid             (2)
        X_ga     = MHSA(X_ds)                                                    (3)
        G_new    = α MLP(LN(G)) + (1 − α) X_ga                                   (4)
        X_global = softmax(Q Kᵀ / √d) V,  Q from X, K and V from G_new           (5)

    The next block's G is G + G_new. Without global tokens, G_new is X_ga.

    Args:
        dim, heads: C and the heads of both attentions.
        tokens: number N of global tokens, 0 for none.
        token_mlp: 'mlp' or 'mix', how they are enriched.
        alpha: their share α.
        halvings, stepwise: as in `Downsampling`.
    """

    def __init__(
        self,
        dim: int,
        heads: int,
        tokens: int,
        token_mlp: str,
        alpha: float,
        halvings: int,
        stepwise: bool,
    ):
        super().__init__()
        self.heads = heads
        self.alpha = alpha
        self.downsample = Downsampling(dim, halvings, stepwise)
        self.qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.q = nn.Linear(dim, dim, bias=False)
        self.kv = nn.Linear(dim, 2 * dim, bias=False)
        if tokens:
            mlp = [nn.Linear(dim, dim), nn.GELU(), nn.Linear(dim, dim)]
            mlp = mlp if token_mlp == 'mlp' else [MixMLP(tokens, dim)]
            self.enrich = nn.Sequential(nn.LayerNorm(dim), *mlp)

    def forward(
        self, x: Tensor, local: Tensor, g: Tensor | None, to_grid: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, Tensor | None]:
        """X and X_local (B, H, W, C), G (B, N, C) → X_global (B, H, W, C), the next G (B, N, C)."""
        # to the grid before the attention and not after: its cost is then the same for every image
        small = resample(self.downsample(local), to_grid).flatten(1, 2)  # (B, N, C)
        new = _attend(*_heads(self.qkv(small), 3, self.heads))
        if g is not None:
            new = self.alpha * self.enrich(g) + (1 - self.alpha) * new
            g = g + new
        q = _heads(self.q(x.flatten(1, 2)), 1, self.heads)
        out = _attend(*q, *_heads(self.kv(new), 2, self.heads))
        return out.unflatten(1, x.shape[1:3]), g


def resample(x: Tensor, weights: tuple[Tensor, Tensor]) -> Tensor:
    """Interpolate a map (B, H, W, C) to (B, rows, columns, C) by the two axes' `interpolation`."""
    rows, columns = weights
    x = (rows @ x.flatten(2)).unflatten(2, (-1, x.shape[3]))  # (B, rows, W, C)
    return columns @ x


def interpolation(like: Tensor, length: int, cells: int) -> Tensor:
    """Weights (cells, length) of an axis' pixels: bilinear, with the antialiasing of image libraries.

    Where there are more pixels than cells every pixel counts, the less the further it is from the cell's
    centre, up to one cell away. The numbers are those of `F.interpolate(…, antialias=True)`, which lacks half
    precision on the CPU; products have it everywhere, and these weights serve all blocks of a forward pass.
    """
    pixels = torch.arange(length, device=like.device) + 0.5
    centres = (torch.arange(cells, device=like.device) + 0.5) * (length / cells)
    reach = torch.sym_max(length, cells) / cells  # in pixels, never less than one
    weights = (1 - (pixels - centres[:, None]).abs() / reach).clamp(min=0)
    return (weights / weights.sum(1, keepdim=True)).to(like.dtype)


def _heads(tokens: Tensor, parts: int, heads: int) -> tuple[Tensor, ...]:
    """(B, N, parts·C) → `parts` views (B, heads, N, C/heads)."""
    return tokens.unflatten(2, (parts, heads, -1)).permute(2, 0, 3, 1, 4).unbind()


def _attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    """Softmax attention of heads, joined again: (B, N, C)."""
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2).flatten(2)


# ---- the block and the backbone ----------------------------------------------------------------------------


class DualTokenBlock(nn.Module):
    """The two branches added and projected, then an MLP under bi-dimensional attention, each a residual.

        X      = LN(input)
        X_new  = X_local + X_global                                              (6)
        y      = input + Linear(X_new)
        output = y + BiDim(MLP(LN(y)))

    (B, C, H, W), (B, N, C) → the same shapes.
    """

    def __init__(
        self, dim: int, mlp_ratio: float, local: nn.Module, tokens: PositionAwareTokens, drop_path: float
    ):
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.local = local
        self.tokens = tokens
        self.proj = nn.Linear(dim, dim)
        self.norm2 = nn.LayerNorm(dim)
        hidden = int(dim * mlp_ratio)
        self.mlp = nn.Sequential(
            nn.Linear(dim, hidden), nn.GELU(), nn.Linear(hidden, dim), BiDimensionalAttention(dim)
        )
        self.drop_path = DropPath(drop_path) if drop_path else nn.Identity()

    def forward(self, state: State) -> State:
        x, g, to_grid = state
        y = x.permute(0, 2, 3, 1)  # channels last in name as they are in memory
        x = self.norm1(y)
        local = self.local(x)
        everywhere, g = self.tokens(x, local, g, to_grid)
        y = y + self.drop_path(self.proj(local + everywhere))
        y = y + self.drop_path(self.mlp(self.norm2(y)))
        return State(y.permute(0, 3, 1, 2), g, to_grid)


@MODELS.register_module(force=True)
class DualTokenViT(Pyramid):
    """DualToken-ViT pyramid, strides 8, 16, 32: a reconstruction, see the module.

    LightViT's stem, then three stages of blocks, patch merging before each but the first; the global tokens
    pass through all of it. Arguments, attributes and errors as in `Pyramid`; `forward` as there. The first
    four arguments after `arch` are what the article varies.

    Args:
        arch: 't' or 's', or a mapping. Its `kernel_sizes` are the Conv Encoders', 0 where a stage has none.
        token_mlp: 'mlp' or 'mix', the MLP of the global tokens; None for the variant's.
        token_grid: rows and columns of the global tokens, or one number for both; 0 for no global tokens (the
            map is then aggregated on 7 × 7 and broadcast alone); None for the variant's.
        downsampling: 'step' or 'one_step'.
        local: 'conv', or 'window' for window attention in place of every Conv Encoder.
        drop_path_rate: stochastic depth of the last block; the rate grows linearly from 0 at the first.
    """

    archs = VARIANTS

    def __init__(
        self,
        arch: str | Mapping[str, Any] = 's',
        token_mlp: str | None = None,
        token_grid: int | Sequence[int] | None = None,
        downsampling: str = 'step',
        local: str = 'conv',
        drop_path_rate: float = 0.0,
        out_indices: Sequence[int] = (0, 1, 2),
        frozen_stages: int = -1,
        norm_eval: bool = False,
        with_cp: bool = False,
        init_cfg: dict | list[dict] | None = None,
    ):
        a = self.variant(arch)
        a.token_mlp = a.token_mlp if token_mlp is None else token_mlp
        a.token_grid = a.token_grid if token_grid is None else token_grid
        super().__init__(a, a.dims, (8, 16, 32), out_indices, frozen_stages, norm_eval, with_cp, init_cfg)
        for name, value, known in (
            ('token_mlp', a.token_mlp, ('mlp', 'mix')),
            ('downsampling', downsampling, ('step', 'one_step')),
            ('local', local, ('conv', 'window')),
        ):
            if value not in known:
                raise ValueError(f'DualTokenViT: {name}={value!r}; known: {", ".join(known)}')
        grid = tuple(a.token_grid) if isinstance(a.token_grid, Sequence) else (a.token_grid,) * 2
        whole = all(isinstance(side, int) for side in grid)
        if grid != (0, 0) and (len(grid) != 2 or not whole or min(grid) < 1):
            raise ValueError(f'DualTokenViT: token_grid={a.token_grid!r}: expected rows and columns, or 0')
        rates = drop_path_rates(drop_path_rate, a.depths)
        tokens = grid[0] * grid[1]
        self.grid = grid if tokens else (7, 7)
        self.stem = Stem(self.in_channels, a.dims[0], tokens)

        def block(i: int, drop_path: float) -> DualTokenBlock:
            dim, heads = a.dims[i], a.heads[i]
            encoder: nn.Module = nn.Identity()
            if a.kernel_sizes[i]:
                conv = local == 'conv'
                encoder = ConvEncoder(dim, a.kernel_sizes[i]) if conv else WindowAttention(dim, heads)
            token_module = PositionAwareTokens(
                dim, heads, tokens, a.token_mlp, a.alpha, halvings=2 - i, stepwise=downsampling == 'step'
            )
            return DualTokenBlock(dim, a.mlp_ratios[i], encoder, token_module, drop_path)

        for i in range(self.stages_needed):
            stage = OrderedDict()
            if i > 0:
                stage['merge'] = PatchMerging(a.dims[i - 1], a.dims[i], with_tokens=tokens > 0)
            stage['blocks'] = self.blocks([block(i, rate) for rate in rates[i]])
            self.stages.append(nn.Sequential(stage))
        for module in self.modules():
            if isinstance(module, nn.Linear):
                trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        self.freeze()

    def start(self, image: Tensor) -> State:
        """The stem's map and global tokens, and the way from 1/32 of the image to the token grid."""
        x, g = self.stem(image)
        rows, columns = (
            interpolation(x, (length + 3) // 4, cells)
            for length, cells in zip(x.shape[2:], self.grid, strict=True)
        )
        return State(x, g, (rows, columns))

    def map_of(self, state: State, index: int) -> Tensor:
        """The map (B, C, h, w) of the state; the global tokens stay inside."""
        return state.x
