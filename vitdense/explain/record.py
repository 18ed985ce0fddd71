"""A forward pass of a backbone, and what attended in it: caught as it runs, without a line in the layers."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ..backbones.dualtoken_vit import PositionAwareTokens, WindowAttention
from ..backbones.pyramid import Pyramid
from ..backbones.supervit import SuperBlock, SuperViT
from ..layers.hierarchical import HierarchicalAttention
from ..layers.transformer import SelfAttention
from ..layers.vicinity import VicinityAttention
from .weights import Attention, SoftmaxAttention, VicinityWeights

LAYERS = (HierarchicalAttention, SelfAttention, SuperBlock, PositionAwareTokens, WindowAttention)


@dataclass
class Record:
    """One forward pass of one image.

    size: (H, W) of the image that the backbone got.
    attentions: of each layer that attends, by its name, in the order in which they were computed.
    strides: of each stage, in pixels; of SuperViT's patches alone, which its stages have between them.
    sizes: (h, w) of those maps.
    kept: of SuperViT, by the name of a block that dropped tokens, the places (n,) of those that go on.
    """

    size: tuple[int, int]
    strides: list[float]
    attentions: dict[str, list[Any]] = field(default_factory=dict)
    sizes: list[tuple[int, int]] = field(default_factory=list)
    kept: dict[str, Tensor] = field(default_factory=dict)

    def add(self, attention: Attention) -> None:
        self.attentions.setdefault(attention.layer, []).append(attention)


class _Listener(TorchFunctionMode):
    """Notes every softmax attention that torch computes: torch hands its calls to an active mode."""

    def __init__(self, record: Record):
        super().__init__()
        self.record, self.layers = record, ['']

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = func(*args, **(kwargs or {}))
        if func is F.scaled_dot_product_attention:
            mask = (kwargs or {}).get('attn_mask')
            q, k, v, out = (t.detach().cpu() for t in (*args[:3], output))
            mask = None if mask is None else mask.detach().cpu()
            self.record.add(SoftmaxAttention(self.layers[-1], q, k, v, out, mask))
        return output


def record(backbone: Pyramid, image: Tensor) -> Record:
    """Run a backbone in evaluation on one image (1, 3, H, W), in float32; nothing of it is changed.

    Everything that is noted lies on the CPU.
    """
    assert image.shape[0] == 1
    found = Record((image.shape[2], image.shape[3]), _strides(backbone))
    listener = _Listener(found)
    with _hooks(backbone, listener), torch.no_grad(), listener:
        backbone(image)
    return found


def last_block(backbone: Any, index: int) -> str:
    """The name of a stage's last block; not of SuperViT, whose stages are blocks themselves."""
    return f'stages.{index}.blocks.{len(backbone.stages[index].blocks) - 1}'


def _strides(backbone: Pyramid) -> list[float]:
    if isinstance(backbone, SuperViT):
        return [backbone.arch.patch_size / backbone.scale]
    first = backbone.strides[0] / 2 ** backbone.out_indices[0]  # each stage halves its map
    return [first * 2**index for index in range(len(backbone.stages))]


@contextmanager
def _hooks(backbone: Pyramid, listener: _Listener) -> Iterator[None]:
    """While the backbone runs: which layer is computing, and what the layers say that attend otherwise."""
    found, handles = listener.record, []

    def listen(name: str, module: nn.Module) -> None:
        def enter(module: nn.Module, args: Any) -> None:
            listener.layers.append(name)

        def leave(module: nn.Module, args: Any, output: Any) -> None:
            listener.layers.pop()
            if isinstance(module, SuperBlock) and module.prunes and output.places is not None:
                found.kept[name] = output.places[0].cpu()

        handles.append(module.register_forward_pre_hook(enter))
        handles.append(module.register_forward_hook(leave))

    def factored(name: str, module: VicinityAttention) -> None:
        def leave(module: Any, args: Any, output: Any) -> None:
            q, k, v = module.split(args[0])
            found.add(VicinityWeights(name, *(t.cpu() for t in (q, k, v, module.attend(q, k, v)))))

        handles.append(module.register_forward_hook(leave))

    def measure(index: int, stage: nn.Module) -> None:
        def leave(module: nn.Module, args: Any, output: Any) -> None:
            height, width = backbone.to_map(output, index).shape[-2:]
            found.sizes.append((height, width))

        handles.append(stage.register_forward_hook(leave))

    def measure_patches(module: nn.Module, args: Any, output: Any) -> None:
        found.sizes.append(output[1])

    try:
        for name, module in backbone.named_modules():
            if isinstance(module, LAYERS):
                listen(name, module)
            elif isinstance(module, VicinityAttention):
                factored(name, module)
        if isinstance(backbone, SuperViT):  # whose stages have one map between them
            handles.append(backbone.stem.register_forward_hook(measure_patches))
        else:
            for index, stage in enumerate(backbone.stages):
                measure(index, stage)
        yield
    finally:
        for handle in handles:
            handle.remove()
