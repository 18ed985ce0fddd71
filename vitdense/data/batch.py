"""A batch of data as plain values, which can be saved and read without executing anything."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from mmengine.structures import BaseDataElement
from torch import Tensor


def plain(node: Any) -> Any:
    """A batch as dicts, lists, tensors, numbers and text, which `torch.load(weights_only=True)` reads."""
    if isinstance(node, BaseDataElement):
        return plain(dict(node.all_items()))
    if isinstance(node, Mapping):
        return {str(key): plain(value) for key, value in node.items()}
    if isinstance(node, (list, tuple)):
        return [plain(value) for value in node]
    if isinstance(node, Tensor):
        return node.detach().cpu()
    if hasattr(node, 'to_ndarray'):  # MMDetection's masks
        return torch.from_numpy(node.to_ndarray())
    if hasattr(node, 'tensor'):  # and boxes
        return node.tensor.detach().cpu()
    if isinstance(node, np.ndarray):
        return torch.from_numpy(node)
    if isinstance(node, np.generic):
        return node.item()
    return node if node is None or isinstance(node, (bool, int, float, str)) else repr(node)
