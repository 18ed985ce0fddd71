"""What every backbone promises, in one place, so that a backbone file is only its paper.

A backbone is a stem and a list of stages. The stem turns the image into the first state, each stage turns
one state into the next, and the states of the stages named by `out_indices` leave as maps:

    image (B, 3, H, W) → stem → stages[0] → … → stages[n]
                                   ↓               ↓
                     (B, C_0, ⌈H/s_0⌉, ⌈W/s_0⌉)  (B, C_n, ⌈H/s_n⌉, ⌈W/s_n⌉)
"""

from collections.abc import Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from types import SimpleNamespace
from typing import Any, ClassVar

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from ..layers.fold import fold_sequence

AUTOCAST = (torch.float32, torch.float16, torch.bfloat16)  # what autocast casts; float64 it leaves


class Pyramid(BaseModule):
    """Base of the backbones: pyramid features for images of any size.

    A subclass states its variants in `archs`, calls `super().__init__` with its channels and strides, builds
    `self.stem` and `self.stages` (as many as `self.stages_needed`), and ends with `self.freeze()`.

    Args:
        arch: name of a variant in `archs`, in any case, or a mapping of every field of one.
        out_indices: which stages leave as maps, ascending. Later stages are not built.
        frozen_stages: -1 trains everything; 0 freezes the stem; i > 0 also the first i stages.
        norm_eval: batch norms use and keep their stored statistics during training; without, a batch norm
            refuses to train on a map of one cell of one image.
        with_cp: blocks keep no activations and recompute them in the backward pass (less memory, more time).
        init_cfg: MMEngine's initialisation, for example `dict(type='Released', checkpoint=path_or_url)`.

    Attributes:
        channels, strides: lists of int, one entry a map, in the order of `out_indices`.
        arch: the variant's fields as a namespace.

    Raises:
        ValueError: unknown variant or fields, or fields that do not go together; `out_indices` or
            `frozen_stages` that name no stage; a `drop_path_rate` that is no probability.
    """

    archs: ClassVar[dict[str, dict[str, Any]]]
    """Variants by name, all with the same fields, as the paper's table prints them."""

    in_channels = 3

    released_names: ClassVar[tuple[tuple[str, str], ...]] = ()
    """(pattern, replacement) pairs for `re.sub` that turn the authors' parameter names into ours."""

    released_head: ClassVar[tuple[str, ...]] = ()
    """Prefixes of the authors' parameters that only classification uses."""

    released_tables: ClassVar[tuple[str, ...]] = ()
    """Prefixes of our position tables, which are resampled where the authors' grid is another."""

    unreleased: ClassVar[tuple[str, ...]] = ()
    """Prefixes of our parameters that classification has not: no released file holds them, and they keep the
    initialisation that they have."""

    def __init__(
        self,
        arch: SimpleNamespace,
        channels: Sequence[int],
        strides: Sequence[int],
        out_indices: Sequence[int],
        frozen_stages: int,
        norm_eval: bool,
        with_cp: bool,
        init_cfg: dict | list[dict] | None,
        stage_count: int | None = None,
    ):
        super().__init__(init_cfg)
        self.arch = arch
        count = len(channels)
        listed = isinstance(out_indices, Sequence) and not isinstance(out_indices, str)
        self.out_indices = tuple(out_indices) if listed else ()
        if not self.out_indices or any(
            isinstance(index, bool) or not isinstance(index, int) or index not in range(low, count)
            for low, index in zip((0, *[i + 1 for i in self.out_indices]), self.out_indices, strict=False)
        ):
            raise ValueError(
                f'out_indices={out_indices}: expected ascending stages of 0 to {count - 1}, '
                f'for example {tuple(range(count))}'
            )
        self.stage_count = stage_count or count  # of the variant, whether or not all are built
        if frozen_stages not in range(-1, self.stage_count + 1):
            raise ValueError(
                f'frozen_stages={frozen_stages}: expected -1 (none), 0 (stem) to {self.stage_count} (all)'
            )
        self.stages_needed = self.out_indices[-1] + 1
        self.channels = [channels[i] for i in self.out_indices]
        self.strides = [strides[i] for i in self.out_indices]
        self.frozen_stages = frozen_stages
        self.norm_eval = norm_eval
        self.with_cp = with_cp
        self.fused = False
        self.stem: nn.Module
        self.stages = nn.ModuleList()

    @classmethod
    def variant(cls, arch: str | Mapping[str, Any]) -> SimpleNamespace:
        """The fields of a variant by its name, or of a mapping that gives every one of them."""
        example = next(iter(cls.archs.values()))
        fields = example.keys()
        if isinstance(arch, str):
            if arch.lower() not in cls.archs:
                raise ValueError(f'{cls.__name__} has no arch {arch!r}; known: {", ".join(cls.archs)}')
            return SimpleNamespace(**cls.archs[arch.lower()])
        if not isinstance(arch, Mapping):
            raise ValueError(f'{cls.__name__}: arch is a name or a mapping, not {arch!r}')
        if arch.keys() != fields:
            raise ValueError(
                f'{cls.__name__}: an arch mapping has exactly the keys {", ".join(fields)}; '
                f'missing {sorted(fields - arch.keys())}, unknown {sorted(arch.keys() - fields)}'
            )
        stages = _length(example.get('depths'))
        staged = [field for field in fields if stages and _length(example[field]) == stages]
        lengths = {field: _length(arch[field]) for field in staged}
        if set(lengths.values()) - {stages}:
            raise ValueError(
                f'{cls.__name__}: has {stages} stages; expected a value for each, got {lengths} values'
            )
        for field in fields:
            if _length(example[field]) is None and _length(arch[field]) is not None:
                raise ValueError(f'{cls.__name__}: expected one value for {field}, got {arch[field]!r}')
        _check_heads(cls.__name__, arch)
        return SimpleNamespace(**arch)

    def blocks(self, blocks: Sequence[nn.Module]) -> 'Blocks':
        """The blocks of a stage, in a row, under this backbone's `with_cp`."""
        return Blocks(*blocks, with_cp=self.with_cp)

    def freeze(self) -> None:
        """Put the frozen part into eval mode, without gradients; the last line of a subclass's `__init__`."""
        if self.frozen_stages < 0:
            return
        for part in [self.stem, *self.stages[: self.frozen_stages]]:
            part.eval()
            part.requires_grad_(False)

    def fuse(self) -> 'Pyramid':
        """Fold the batch norms into the layers beside them, in place and for good, for a faster inference.

        The maps stay as they were, to rounding. A fused backbone is in eval mode and has no gradients; its
        state dict is no longer the one that checkpoints hold.
        """
        if self.fused:
            return self
        self.eval().requires_grad_(False)
        for module in list(self.modules()):
            if isinstance(module, nn.Sequential):
                fold_sequence(module)
            elif hasattr(module, 'fold'):
                module.fold()
        self.fused = True
        return self

    def train(self, mode: bool = True) -> 'Pyramid':
        if mode and self.fused:
            raise RuntimeError(
                f'{type(self).__name__}: is fused, for inference; build another one to train it'
            )
        super().train(mode)
        self.freeze()
        if mode and self.norm_eval:
            for module in self.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Pyramid of an image batch.

        Args:
            image: (B, 3, H, W), normalised floats, any H and W from 1.

        Returns:
            Maps (B, channels[i], ⌈H/strides[i]⌉, ⌈W/strides[i]⌉), finest first, in channels_last memory.

        Raises:
            ValueError: not such a tensor.
        """
        self.check(image)
        # channels_last throughout: a pixel's channels lie together, as 1×1 products and attention read them
        state = self.start(image.contiguous(memory_format=torch.channels_last))
        maps = []
        for index, stage in enumerate(self.stages):
            state = stage(state)
            if index in self.out_indices:
                maps.append(self.map_of(state, index))
        return tuple(maps)

    def start(self, image: Tensor) -> Any:
        """The first state; a backbone whose state is more than a map adds the rest here."""
        return self.stem(image)

    def map_of(self, state: Any, index: int) -> Tensor:
        """The map (B, C, h, w) that leaves after stage `index`."""
        return state

    def check(self, image: Tensor) -> None:
        """Say what is wrong with an input before a convolution says it less clearly."""
        name = type(self).__name__
        if not isinstance(image, Tensor):
            raise ValueError(f'{name}: expected a tensor (B, {self.in_channels}, H, W), got {type(image)}')
        shape = tuple(image.shape)
        if image.ndim != 4 or image.shape[1] != self.in_channels:
            raise ValueError(
                f'{name}: expected an image batch (B, {self.in_channels}, H, W), got {shape}; '
                f'image[None] adds a batch axis, image.expand(-1, 3, -1, -1) repeats a grayscale channel'
            )
        if 0 in shape:
            raise ValueError(f'{name}: got an empty image batch {shape}')
        weights = next(self.parameters()).dtype
        if image.dtype != weights and not (
            image.dtype in AUTOCAST and torch.is_autocast_enabled(image.device.type)
        ):
            raise ValueError(
                f'{name}: the image is {image.dtype} and the weights are {weights}; '
                f'convert one of them, or run under torch.autocast'
            )


def _length(value: Any) -> int | None:
    return len(value) if isinstance(value, Sequence) and not isinstance(value, str) else None


def _check_heads(name: str, arch: Mapping[str, Any]) -> None:
    """Channels are shared out among heads without a rest."""
    dims = arch.get('dims', [arch['dim']] if 'dim' in arch else [])
    heads = arch.get('heads')
    if 'head_dim' in arch and dims:
        key, odd = 'head_dim', any(dim % arch['head_dim'] for dim in dims)
    elif dims and heads is not None:
        per_stage = heads if _length(heads) is not None else [heads] * len(dims)
        key, odd = 'heads', any(dim % count for dim, count in zip(dims, per_stage, strict=True))
    else:
        return
    if odd:
        raise ValueError(f'{name}: {key}={arch[key]} does not divide the channels {list(dims)}')


class Blocks(nn.Sequential):
    """Blocks in a row; with `with_cp` each is recomputed in the backward pass instead of remembered."""

    def __init__(self, *blocks: nn.Module, with_cp: bool = False):
        super().__init__(*blocks)
        self.with_cp = with_cp

    def forward(self, state: Any) -> Any:
        if not (self.with_cp and torch.is_grad_enabled()):
            return super().forward(state)
        for block in self:
            # a compiled graph writes a buffer once by itself
            compiling = torch.compiler.is_compiling()
            options = {} if compiling else dict(context_fn=partial(_recompute_contexts, block))
            state = checkpoint(block, state, use_reentrant=False, **options)
        return state


def _recompute_contexts(block: nn.Module):
    return nullcontext(), _statistics_untouched(block)


@contextmanager
def _statistics_untouched(block: nn.Module):
    """A recomputed batch norm must not move its running statistics a second time: it moves copies of them."""
    kept = [
        (norm, name, buffer)
        for norm in block.modules()
        if isinstance(norm, _BatchNorm)
        for name, buffer in norm.named_buffers(recurse=False)
    ]
    for norm, name, buffer in kept:
        setattr(norm, name, buffer.clone())
    try:
        yield
    finally:
        for norm, name, buffer in kept:
            setattr(norm, name, buffer)
