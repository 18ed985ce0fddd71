"""The data side: how many images a second a config's pipeline gives, and whether that keeps a model busy."""

import time
from pathlib import Path
from typing import NamedTuple

from mmengine.config import Config
from mmengine.registry import DATASETS, init_default_scope

from ..config.read import check_data

IMAGES = 200


class Loading(NamedTuple):
    """What one process gives.

    config: its name.
    rate: images a second.
    images: how many were timed.
    """

    config: str
    rate: float
    images: int


def loading(cfg: Config) -> Loading:
    """Time the training pipeline of a config: decode, resize, augment, pack.

    Raises:
        UserError: its data are not there.
    """
    check_data(cfg, ('train_dataloader',))
    init_default_scope(cfg.default_scope)
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    count = min(IMAGES, len(dataset))
    indices = [i * len(dataset) // count for i in range(count)]
    dataset[indices[0]]  # what is only once
    start = time.perf_counter()
    for index in indices:
        dataset[index]
    seconds = time.perf_counter() - start
    return Loading(Path(cfg.filename).stem, count / seconds, count)
