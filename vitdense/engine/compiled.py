"""`--compile`: backbone and neck through `torch.compile`.

Not the heads, whose lists of boxes and images would have them compiled again and again.
"""

import logging

import torch
from torch import nn

from ..errors import UserError

PARTS = ('backbone', 'neck')
BACKEND = 'inductor'
GRAPHS = 64
CHATTY = ('torch.utils.cpp_extension', 'torch._inductor.utils')  # that there is no GPU, and where a cache is


def compile_parts(model: nn.Module) -> None:
    """Have them compiled at their first batch; the names of their weights stay as they are.

    Raises:
        UserError: nothing can be compiled here.
    """
    for name in CHATTY:
        logging.getLogger(name).setLevel(logging.ERROR)
    device = next(model.parameters()).device
    try:  # a run should not begin, and then find no compiler
        torch.compile(lambda x: x + 1, backend=BACKEND)(torch.zeros(2, device=device))
    except RuntimeError as error:
        raise UserError(
            f'--compile: torch.compile does not work here: {str(error).splitlines()[0]}'
        ) from error
    # a graph for each setting of SuperViT's dials, at each kind of size; torch stops at eight
    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, GRAPHS)
    for name in PARTS:
        if isinstance(part := getattr(model, name, None), nn.Module):
            part.compile(backend=BACKEND)


def is_compiled(model: nn.Module) -> bool:
    return any(getattr(getattr(model, name, None), '_compiled_call_impl', None) for name in PARTS)
