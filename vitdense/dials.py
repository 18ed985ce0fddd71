"""One checkpoint of SuperViT at several settings of its dials: what each costs and what it scores."""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import partial
from itertools import product
from typing import Any, NamedTuple

import torch
from mmengine.runner import Runner
from rich.table import Table

from .benchmark.timing import time_in_turns
from .complexity import cost
from .engine.processes import unwrapped
from .errors import UserError
from .show.scores import score_names

ROUNDS = 7  # of the timing


class DialSetting(NamedTuple):
    """Both dials."""

    scale: float
    keep_rate: float

    @classmethod
    def parse(cls, text: str) -> 'DialSetting':
        """`'1:0.7'` or `'4/7:0.5'`, the scale and the keep rate.

        Raises:
            UserError: not two numbers above 0 and at most 1.
        """
        try:
            scale, keep_rate = (float(Fraction(part)) for part in text.split(':'))
        except (OverflowError, ValueError, ZeroDivisionError):
            scale = keep_rate = 0
        if not (0 < scale <= 1 and 0 < keep_rate <= 1):
            raise UserError(
                f'--dials {text}: expected SCALE:KEEP_RATE, both above 0 and at most 1, as in 1:0.7 or 4/7:1'
            )
        return cls(scale, keep_rate)


class DialResult(NamedTuple):
    """A setting, what it costs and what it scores."""

    setting: DialSetting
    scores: Mapping[str, float]
    multiply_adds: int
    """Of the backbone, for the first image."""
    size: tuple[int, int]
    """H, W of the first image, as the backbone sees it."""
    seconds: float
    """Of a batch through the whole model: the median of rounds in which all settings take turns."""
    images: int
    """Of that batch."""


def sweep(runner: Runner, settings: Sequence[DialSetting]) -> list[DialResult]:
    """Test a runner's model at each setting; without any, at all that its training drew from.

    Raises:
        UserError: its backbone has no such dials.
    """
    model = unwrapped(runner)
    backbone = model.backbone
    if not (hasattr(backbone, 'scale') and hasattr(backbone, 'keep_rate')):
        raise UserError(f'--dials: {type(backbone).__name__} has none; SuperViT has')
    settings = settings or [DialSetting(*dials) for dials in product(backbone.scales, backbone.keep_rates)]
    scores = []
    for setting in settings:
        backbone.scale, backbone.keep_rate = setting
        scores.append(runner.test())
    batch = next(iter(runner.test_dataloader))

    @torch.no_grad()
    def predict(setting: DialSetting) -> None:
        backbone.scale, backbone.keep_rate = setting
        model.test_step(batch)

    image = model.data_preprocessor(batch, training=False)['inputs'][:1]
    runs: dict[Any, Any] = {setting: partial(predict, setting) for setting in settings}
    timings = time_in_turns(runs, ROUNDS, image.device)
    results = []
    for setting, found in zip(settings, scores, strict=True):
        backbone.scale, backbone.keep_rate = setting
        multiply_adds = cost(backbone, image)[0].multiply_adds
        height, width = image.shape[2:]
        seconds, images = timings[setting].median, len(batch['data_samples'])
        results.append(DialResult(setting, found, multiply_adds, (height, width), seconds, images))
    return results


def dials_table(results: Sequence[DialResult]) -> Table:
    """A row per setting: the cost, then every score that has a value."""
    names = [name for name, value in results[0].scores.items() if value != -1]
    height, width = results[0].size
    table = Table(title=f'dials (multiply-adds of the backbone at {height}×{width})', title_justify='left')
    for column in ('scale', 'keep rate', 'multiply-adds', 'time of an image', *score_names(names).values()):
        table.add_column(column, justify='right')
    for setting, scores, multiply_adds, _, seconds, images in results:
        cost = f'{multiply_adds / 1e9:#.3g} G', f'{1000 * seconds / images:.1f} ms'
        values = (f'{scores[name]:.3f}' if name in scores else '–' for name in names)
        table.add_row(f'{setting.scale:.3g}', f'{setting.keep_rate:.3g}', *cost, *values)
    return table
