"""Stochastic depth as it was published: a config's `drop_path_rates`, by the names of the variants.

What follows the table is a rate out of it. A rate that somebody else set stays.
"""

from typing import Any

from mmengine.config import Config

RATE = 'drop_path_rate'  # of a backbone


def follow_variant(cfg: Config, arch: str) -> None:
    """Set the rate that the table has for this variant, in place, if the rate was one of the table."""
    if has_published_rate(cfg):
        cfg.model.backbone[RATE] = _rates(cfg).get(arch, cfg.model.backbone[RATE])


def has_published_rate(cfg: Config) -> bool:
    """Whether the backbone's rate is one of the config's table."""
    return cfg.model.get('backbone', {}).get(RATE) in _rates(cfg).values()


def keep_every_path(cfg: Config) -> bool:
    """Train without stochastic depth, in place, if the rate was one of the table.

    The published rates are for trainings of hundreds of epochs, or of a dozen from pretrained weights. From
    random weights, in the minutes of a short schedule, a network has too little time as it is.

    Returns:
        whether that changed the rate.
    """
    if published := has_published_rate(cfg):
        cfg.model.backbone[RATE] = 0.0
    return published


def _rates(cfg: Config) -> dict[str, Any]:
    return cfg.get('drop_path_rates') or {}
