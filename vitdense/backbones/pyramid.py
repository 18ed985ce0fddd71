"""What every backbone promises, in one place, so that a backbone file is only its paper.

A backbone is a stem and a list of stages. The stem turns the image into the initial state, each stage turns
one state into the next, and the states of the stages named by `out_indices` become the output maps:

    image (B, 3, H, W) → stem → stages[0] → … → stages[n]
                                   ↓               ↓
                     (B, C_0, ⌈H/s_0⌉, ⌈W/s_0⌉)  (B, C_n, ⌈H/s_n⌉, ⌈W/s_n⌉)
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any, ClassVar

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..layers.fold import fold_sequence
from ..layers.recompute import Blocks
from ..records import allow
from .checks import check_image, check_out_indices
from .variants import parse_variant

allow()  # here, where torch is imported; MMEngine builds the backbone before it resumes


class Pyramid(BaseModule):
    """Base of the backbones: pyramid features for images of any size.

    A subclass lists its variants in `archs`, calls `super().__init__` with its channels and strides, builds
    `self.stem` and `self.stages_needed` stages, and ends its `__init__` with `self.freeze()`.

    Args:
        arch: name of a variant in `archs`, in any case, or a mapping of every field of one.
        out_indices: stages whose maps are returned, ascending. Later stages are not built.
        frozen_stages: -1 trains everything; 0 freezes the stem; i > 0 also the first i stages.
        norm_eval: batch norms use and keep their stored statistics during training; without it, a batch norm
            raises an error in training on a map of one pixel of one image.
        with_cp: activation checkpointing of every block (less memory, more time).
        init_cfg: MMEngine's initialisation, for example `dict(type='Released', checkpoint=path_or_url)`.

    Attributes:
        channels, strides: lists of int, one entry per map, in the order of `out_indices`.
        arch: the variant's fields as a namespace.

    Raises:
        ValueError: unknown variant or fields, or fields that do not go together; `out_indices` or
            `frozen_stages` that are no stages; a `drop_path_rate` that is no probability.
    """

    archs: ClassVar[dict[str, dict[str, Any]]]
    """Variants by name, all with the same fields, as the paper's table prints them."""

    in_channels = 3

    released_names: tuple[tuple[str, Any], ...] = ()
    """(pattern, replacement) pairs for `re.sub` that turn the authors' parameter names into ours."""

    released_head: tuple[str, ...] = ()
    """Prefixes of the authors' parameters that only classification uses."""

    released_tables: ClassVar[tuple[str, ...]] = ()
    """Prefixes of our position tables, which are resampled where the authors' grid has another size."""

    unreleased: ClassVar[tuple[str, ...]] = ()
    """Prefixes of our parameters that no released file has; loading one leaves them as they are."""

    def __init__(
        self,
        *,
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
        self.out_indices = check_out_indices(out_indices, len(channels))
        self.stage_count = stage_count or len(channels)  # of the variant, whether or not all are built
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
        return parse_variant(cls.__name__, cls.archs, arch)

    def blocks(self, blocks: Sequence[nn.Module]) -> Blocks:
        """The blocks of a stage, in a row, with this backbone's `with_cp`."""
        return Blocks(*blocks, with_cp=self.with_cp)

    def add_stage(self, **layers: nn.Module | None) -> None:
        """Append a stage: the layers in a row, under their keywords as names; None is left out."""
        built = OrderedDict((name, layer) for name, layer in layers.items() if layer is not None)
        self.stages.append(nn.Sequential(built))

    def freeze(self) -> None:
        """Put the frozen part into eval mode, without gradients; the last line of a subclass's `__init__`."""
        frozen = [self.stem, *self.stages[: self.frozen_stages]] if self.frozen_stages >= 0 else []
        for part in frozen:
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
            raise RuntimeError(f'{type(self).__name__}: is fused for inference; build a new one to train it')
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
            ValueError: another shape, or a dtype that is not the weights'.
        """
        self.check(image)
        # channels_last throughout: a pixel's channels lie together, as 1×1 products and attention read them
        state = self.initial_state(image.contiguous(memory_format=torch.channels_last))
        maps = []
        for index, stage in enumerate(self.stages):
            state = stage(state)
            if index in self.out_indices:
                maps.append(self.to_map(state, index))
        return tuple(maps)

    def initial_state(self, image: Tensor) -> Any:
        """What the first stage takes; a backbone whose state is more than a map adds the rest here."""
        return self.stem(image)

    def to_map(self, state: Any, index: int) -> Tensor:
        """The output map (B, C, h, w) of stage `index`, from the state after it."""
        return state

    def check(self, image: Tensor) -> None:
        """Raise a ValueError for what `forward` does not take."""
        check_image(type(self).__name__, image, self.in_channels, next(self.parameters()).dtype)
