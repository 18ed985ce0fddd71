"""From names and settings to figures."""

from collections.abc import Sequence
from typing import Any

import torch

from .contestants import Setting, contestant
from .memory import peak_memory
from .report import results
from .stopwatch import matrix_product, race


def measure(
    names: Sequence[str], settings: Sequence[Setting], rounds: int, baseline: str
) -> list[dict[str, Any]]:
    """Run every model at every setting, all in turns; one `results` a setting.

    Args:
        names: of models, as `contestant` knows them.
        settings: on one device, in one dtype.
        rounds: that are counted.
        baseline: one of the names, that the ratios are to.

    Raises:
        UserError: there is no such model, or it does not take such images.
    """
    device, dtype = settings[0].device, settings[0].dtype
    # our backbones share the code of their forward pass, and torch stops compiling it at eight
    graphs = torch._dynamo.config.recompile_limit
    torch._dynamo.config.recompile_limit = max(graphs, 2 * len(names) * len(settings))
    entries = [[contestant(name, setting) for name in dict.fromkeys(names)] for setting in settings]
    runs = {(i, entry.name): entry.run for i, row in enumerate(entries) for entry in row}
    timings = race(runs | {'product': matrix_product(device, dtype)}, rounds, device)
    memory = {key: peak_memory(run, device) for key, run in runs.items()}
    return [
        results(
            setting,
            row,
            {entry.name: timings[i, entry.name] for entry in row},
            {entry.name: memory[i, entry.name] for entry in row},
            timings['product'],
            baseline,
        )
        for i, (setting, row) in enumerate(zip(settings, entries, strict=True))
    ]
