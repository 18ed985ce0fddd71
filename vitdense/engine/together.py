"""A model that is shared out among processes, put together for a while."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from torch.distributed.fsdp import FSDPModule


@contextmanager
def together(model: nn.Module) -> Iterator[None]:
    """Every process has all parameters for a while, so that parts of a model can be called alone.

    Of a model that is not shared out, every process has them anyway.
    """
    if not isinstance(model, FSDPModule):
        yield
        return
    model.unshard()
    try:
        yield
    finally:
        model.reshard()
