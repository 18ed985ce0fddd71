"""Exported files beside the models that they came from, run by their runtimes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..errors import UserError
from ..exported.certificate import read_certificate
from ..exported.runtimes import open_session
from .setting import RunSetting


def exported(name: str, setting: RunSetting) -> Callable[[], Any]:
    """What runs a file on a random image, with as many threads as torch has.

    A file without a certificate is run in float32, on a normalised image (B, 3, H, W) or, if it takes uint8,
    on (B, H, W, 3); one with a certificate in its precision.

    Raises:
        UserError: there is no such file, its runtime is not installed, or it does not run like this.
    """
    options = dict(train=setting.training, compile=setting.compiled, dtype=setting.dtype != torch.float32)
    if given := [f'--{option}' for option, is_given in options.items() if is_given]:
        raise UserError(f'{name}: an exported file runs as it is, without {", ".join(given)}')
    if setting.device.type != 'cpu':
        raise UserError(f'{name}: an exported file is timed on the CPU: --device cpu')
    session = open_session(name)
    if session.certificate is not None:
        session = open_session(name, read_certificate(Path(name), session.certificate).precision)
    shape = (setting.batch, 3, *setting.size)
    image = torch.randn(shape).numpy()
    if session.takes_pixels:
        shape = (setting.batch, *setting.size, 3)
        image = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    try:
        session.run(image)
    except Exception as error:  # of any class, as the runtime has it
        size = ' × '.join(map(str, shape))
        raise UserError(f'{name}: does not run on {size}: {" ".join(str(error).split())}') from error
    return lambda: session.run(image)
