"""How a model computes: in mixed precision, compiled, with folded batch norms.

`--amp` means the same in training, validation and test: the networks (backbone, neck, heads) compute under
autocast, and what is made of their outputs, losses, boxes and scores, is computed in float32. MMEngine's
loops put the whole prediction under autocast, in which bfloat16 misplaces the boxes of a large image by
several pixels.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from mmengine.hooks import EMAHook, Hook
from mmengine.logging import print_log
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from ..backbones.pyramid import Pyramid
from ..compat import COMPILES_RECOMPUTATION, raise_recompile_limit
from ..errors import UserError
from ..layers.recompute import Blocks
from .processes import unwrapped

# ---- mixed precision ---------------------------------------------------------------------------------------

PRECISIONS = {'bfloat16': torch.bfloat16, 'float16': torch.float16}


def check_precision(name: str) -> str:
    """The precision that `--amp` asks for: by itself bfloat16, or float16 on a GPU without bfloat16.

    Raises:
        UserError: float16 without a GPU, or a precision that there is not.
    """
    gpu = torch.cuda.is_available()
    if name == 'auto':
        return (
            'float16' if gpu and not torch.cuda.is_bf16_supported(including_emulation=False) else 'bfloat16'
        )
    if name not in PRECISIONS:
        raise UserError(f'--amp {name}: expected auto, {" or ".join(PRECISIONS)}')
    if name == 'float16' and not gpu:
        raise UserError('--amp float16: needs a GPU, and there is none; --amp bfloat16 runs on a CPU')
    return name


def autocast_networks(model: nn.Module, device: str, dtype: torch.dtype) -> None:
    """Make a model's networks compute under autocast and return float32.

    Their classes change, not their weights, hooks or names; a copy of the model computes like it.
    """
    for network in _networks(model):
        kind: Any = type(network)
        network.__class__ = _autocast_class(kind, device, dtype)


@contextmanager
def exact_networks(model: nn.Module) -> Iterator[None]:
    """A model whose networks compute under autocast (`autocast_networks`), for a while in its own dtype."""
    mixed: list[tuple[nn.Module, Any]] = [(network, type(network)) for network in _networks(model)]
    for network, kind in mixed:
        network.__class__ = kind.__bases__[0]
    try:
        yield
    finally:
        for network, kind in mixed:
            network.__class__ = kind


def _networks(model: nn.Module) -> Iterator[nn.Module]:
    """The parts of a detector or a segmentor that have parameters, each head by itself."""
    for name, part in model.named_children():
        if name == 'roi_head' or isinstance(part, nn.ModuleList):
            yield from _networks(part)
        elif any(True for _ in part.parameters()):
            yield part


@cache
def _autocast_class(kind: Any, device: str, dtype: torch.dtype) -> type[nn.Module]:
    def forward(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        with torch.autocast(device, dtype):
            outputs = kind.forward(self, *args, **kwargs)
        return tree_map(_to_float32, outputs)

    own = dict(
        forward=forward, __module__=kind.__module__, __qualname__=kind.__qualname__, __doc__=kind.__doc__
    )
    return type(kind.__name__, (kind,), own)


def _to_float32(value: Any) -> Any:
    return value.float() if isinstance(value, Tensor) and value.dtype in PRECISIONS.values() else value


@OPTIM_WRAPPERS.register_module()
class ScaledOptimWrapper(AmpOptimWrapper):
    """MMEngine's wrapper with a dynamic loss scale, for float16; autocast is the networks' own."""

    def __init__(self, **kwargs: Any):
        super().__init__(loss_scale='dynamic', **kwargs)

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        with OptimWrapper.optim_context(self, model):
            yield


# ---- compiled ----------------------------------------------------------------------------------------------

COMPILED_PARTS = ('backbone', 'neck')  # not the heads, whose lists of boxes would be compiled again and again
BACKEND = 'inductor'
GRAPHS = 64
NOISY_LOGGERS = ('torch.utils.cpp_extension', 'torch._inductor.utils')  # no GPU here, and where a cache is


def compile_parts(model: nn.Module) -> None:
    """Compile backbone and neck at their first batch; the names of their weights stay as they are.

    Raises:
        UserError: nothing can be compiled here.
    """
    for name in NOISY_LOGGERS:
        logging.getLogger(name).setLevel(logging.ERROR)
    device = next(model.parameters()).device
    try:  # a run should not find out late that there is no compiler
        torch.compile(lambda x: x + 1, backend=BACKEND)(torch.zeros(2, device=device))
    except RuntimeError as error:
        raise UserError(
            f'--compile: torch.compile does not work here: {str(error).splitlines()[0]}'
        ) from error
    recomputed = any(isinstance(part, Blocks) and part.with_cp for part in model.modules())
    if recomputed and not COMPILES_RECOMPUTATION:
        print_log(
            f'with_cp=True saves no memory in a compiled backbone: that needs torch 2.10, and this is '
            f'{torch.__version__}',
            'current',
            logging.WARNING,
        )
    # a graph for each setting of SuperViT's dials, at each kind of size; torch stops at eight
    raise_recompile_limit(GRAPHS)
    for name in COMPILED_PARTS:
        if isinstance(part := getattr(model, name, None), nn.Module):
            part.compile(backend=BACKEND)


def is_compiled(model: nn.Module) -> bool:
    return any(getattr(getattr(model, name, None), '_compiled_call_impl', None) for name in COMPILED_PARTS)


# ---- folded batch norms ------------------------------------------------------------------------------------


class FuseHook(Hook):
    """Folds the batch norms of a backbone of ours before a test, once its checkpoint is loaded.

    Not beside MMEngine's EMAHook, which exchanges the parameters of two models by their positions.
    """

    def before_test(self, runner: Runner) -> None:
        model = unwrapped(runner)
        averages = any(isinstance(hook, EMAHook) for hook in runner.hooks)
        if isinstance(model.backbone, Pyramid) and not averages:
            model.backbone.fuse()
