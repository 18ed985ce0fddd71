"""DualToken-ViT: image tokens from convolutions, global tokens that keep their place, fused in every block.

Source: Z. Chu, J. Chen, C. Chen, C. Wang, Z. Wu, J. Huang, W. Qian, "DualToken-ViT: Position-aware Efficient
Vision Transformer with Dual Token Fusion", arXiv 2309.12424. Its stem, patch merging and bi-dimensional
attention are LightViT's.

This is a reconstruction from the article's text: there is no public code and there are no public weights, and
not every number of the variants is known. Parameters and multiply-adds come near the published ones, which
proves none of the choices made here. docs/dualtoken_vit.md lists these choices, and every published figure
beside ours.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from mmengine.registry import MODELS
from torch import Tensor, nn

from ..layers.attention import attend, split_heads
from ..layers.cells import from_cells, to_cells
from ..layers.depthwise import DepthwiseConv2d
from ..layers.drop_path import DropPath, drop_path_rates
from ..layers.gelu import GELU, gelu
from ..layers.init import init_linear
from ..layers.interpolation import interpolation, resample
from ..layers.lightvit import BiDimensionalAttention, PatchMerging, Stem
from ..layers.linear import PointwiseLinear
from ..layers.recompute import Blocks
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
    """What a block takes and returns."""

    x: Tensor
    """The map (B, C, H, W)."""

    g: Tensor | None
    """The global tokens (B, N, C), if there are any."""

    to_grid: tuple[Tensor, Tensor]
    """From the map at 1/32 to the token grid: weights (rows, ⌈H/32⌉) and (columns, ⌈W/32⌉) for `resample`."""


# ---- the local branch --------------------------------------------------------------------------------------


class ConvEncoder(nn.Module):
    """Equation (1), the block of ConvNeXt: X_local = X + PW₂(GELU(PW₁(LN(DW_k(X))))), four times as wide."""

    def __init__(self, dim: int, kernel_size: int):
        super().__init__()
        self.conv = DepthwiseConv2d(dim, kernel_size)
        self.norm = nn.LayerNorm(dim)
        self.expand = PointwiseLinear(dim, 4 * dim)
        self.reduce = PointwiseLinear(4 * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, C) → the same shape."""
        y = self.conv(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return x + self.reduce(gelu(self.expand(self.norm(y))))


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
        pixels = attend(*split_heads(self.qkv(pixels), 3, self.heads), mask=real)
        return from_cells(pixels, (x.shape[1], x.shape[2]), self.side).permute(0, 2, 3, 1)


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
        return self.proj(gelu(self.mix(g.transpose(1, 2)).transpose(1, 2)))


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
            mlp = [nn.Linear(dim, dim), GELU(), nn.Linear(dim, dim)]
            mlp = mlp if token_mlp == 'mlp' else [MixMLP(tokens, dim)]
            self.enrich = nn.Sequential(nn.LayerNorm(dim), *mlp)

    def forward(
        self, x: Tensor, local: Tensor, g: Tensor | None, to_grid: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, Tensor | None]:
        """X and X_local (B, H, W, C), G (B, N, C) → X_global (B, H, W, C), the next G (B, N, C)."""
        # to the grid before the attention and not after: its cost is then the same for every image
        small = resample(self.downsample(local), to_grid).flatten(1, 2)  # (B, N, C)
        new = attend(*split_heads(self.qkv(small), 3, self.heads))
        if g is not None:
            new = self.alpha * self.enrich(g) + (1 - self.alpha) * new
            g = g + new
        q = split_heads(self.q(x.flatten(1, 2)), 1, self.heads)
        out = attend(*q, *split_heads(self.kv(new), 2, self.heads))
        return out.unflatten(1, x.shape[1:3]), g


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
        self.proj = PointwiseLinear(dim, dim)
        self.norm2 = nn.LayerNorm(dim)
        hidden = int(dim * mlp_ratio)
        self.mlp = nn.Sequential(
            PointwiseLinear(dim, hidden), GELU(), PointwiseLinear(hidden, dim), BiDimensionalAttention(dim)
        )
        self.drop_path = DropPath(drop_path)

    def forward(self, state: State) -> State:
        x, g, to_grid = state
        y = x.permute(0, 2, 3, 1)  # channels last in name as they are in memory
        x = self.norm1(y)
        local = self.local(x)
        everywhere, g = self.tokens(x, local, g, to_grid)
        y = y + self.drop_path(self.proj(local + everywhere))
        y = y + self.drop_path(self.mlp(self.norm2(y)))
        return State(y.permute(0, 3, 1, 2), g, to_grid)


class Stage(nn.Module):
    """Patch merging, except in the first stage, then blocks."""

    def __init__(self, merge: PatchMerging | None, blocks: Blocks):
        super().__init__()
        self.merge = merge
        self.blocks = blocks

    def forward(self, state: State) -> State:
        if self.merge is not None:
            x, g = self.merge(state.x, state.g)
            state = state._replace(x=x, g=g)
        return self.blocks(state)


@MODELS.register_module(force=True)
class DualTokenViT(Pyramid):
    """DualToken-ViT pyramid, strides 8, 16, 32: a reconstruction, see docs/dualtoken_vit.md.

    LightViT's stem, then three stages of blocks, patch merging before each but the first; the global tokens
    pass through all of it. The first four arguments after `arch` are what the article varies. See `Pyramid`
    for the other arguments.

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
        super().__init__(
            arch=a,
            channels=a.dims,
            strides=(8, 16, 32),
            out_indices=out_indices,
            frozen_stages=frozen_stages,
            norm_eval=norm_eval,
            with_cp=with_cp,
            init_cfg=init_cfg,
        )
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
            merge = PatchMerging(a.dims[i - 1], a.dims[i], with_tokens=tokens > 0) if i > 0 else None
            self.stages.append(Stage(merge, self.blocks([block(i, rate) for rate in rates[i]])))
        for module in self.modules():
            if isinstance(module, nn.Linear):
                init_linear(module)
        self.freeze()

    def initial_state(self, image: Tensor) -> State:
        """The stem's map and global tokens, and the way from 1/32 of the image to the token grid."""
        x, g = self.stem(image)
        rows, columns = (
            interpolation(x, (length + 3) // 4, cells)
            for length, cells in zip(x.shape[2:], self.grid, strict=True)
        )
        return State(x, g, (rows, columns))

    def to_map(self, state: State, index: int) -> Tensor:
        """The map (B, C, h, w) of the state; the global tokens stay inside."""
        return state.x
