"""Models by their names, and how to run them; out come their times and their memory."""

from collections.abc import Sequence
from typing import Any

from ..compat import raise_recompile_limit
from ..memory import peak_memory
from ..other_work import OtherWork
from .models import timed_model
from .results import results
from .setting import RunSetting
from .timing import Load, load, matrix_product, time_in_turns


def measure(
    names: Sequence[str], settings: Sequence[RunSetting], rounds: int, baseline: str
) -> list[dict[str, Any]]:
    """Run every model at every setting, all in turns; one `results` per setting.

    Args:
        names: of models, as `timed_model` knows them.
        settings: on one device, in one dtype.
        rounds: how many are counted.
        baseline: the name of the model whose ratio is 1.

    Raises:
        UserError: there is no such model, or it does not take such images.
    """
    start, others = load(), OtherWork()
    device, dtype = settings[0].device, settings[0].dtype
    # our backbones share the code of their forward pass, and torch stops compiling it at eight
    raise_recompile_limit(2 * len(names) * len(settings))
    entries = [[timed_model(name, setting) for name in dict.fromkeys(names)] for setting in settings]
    runs = {(i, entry.name): entry.run for i, row in enumerate(entries) for entry in row}
    timings = time_in_turns(runs | {'product': matrix_product(device, dtype)}, rounds, device)
    loads = Load(start, load(), others.cores())
    memory = {key: peak_memory(run, device) for key, run in runs.items()}
    return [
        results(
            setting,
            row,
            {entry.name: timings[i, entry.name] for entry in row},
            {entry.name: memory[i, entry.name] for entry in row},
            timings['product'],
            loads,
            baseline,
        )
        for i, (setting, row) in enumerate(zip(settings, entries, strict=True))
    ]
