"""How long the trained models take on this machine, in turns, and how that grows with the image."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch

from ..benchmark.timing import Load, Timing, load, time_in_turns
from ..engine.work_dir import trained_model
from ..other_work import OtherWork
from ..predict.load import load as load_model
from ..predict.predictor import Predictor, scope_of, tested_images
from ..predict.sources import Photo, find_sources

SCALES = (0.5, 1.0, 2.0)  # of the image's sides
ROUNDS = 7


class Latencies(NamedTuple):
    """Of one image, without reading and resizing it.

    timings: by the side as a share of the validation's, of each model by its name.
    sizes: H, W as the models see the image, by the same shares.
    """

    timings: dict[float, dict[str, Timing]]
    sizes: dict[float, tuple[int, int]]
    load: Load
    device: str
    threads: int


def measure_latencies(folders: Mapping[str, Path]) -> Latencies:
    """Time the best checkpoint of each run on the first image of its validation, all in turns.

    Args:
        folders: work dirs by the names of the models.
    """
    began, others = load(), OtherWork()
    models = {name: load_model(trained_model(folder)) for name, folder in folders.items()}
    first = next(iter(models.values()))
    photo = _photo(first)
    height, width = first.prepare(photo)['inputs'].shape[1:]
    sizes: dict[float, tuple[int, int]] = {}
    timings: dict[float, dict[str, Timing]] = {}
    for scale in SCALES:
        wanted = round(scale * width), round(scale * height)
        items = {name: model.prepare(photo, wanted) for name, model in models.items()}
        sizes[scale] = tuple(next(iter(items.values()))['inputs'].shape[1:])
        runs: dict[Any, Any] = {name: partial(_run, models[name], item) for name, item in items.items()}
        timings[scale] = {str(name): one for name, one in time_in_turns(runs, ROUNDS, first.device).items()}
    return Latencies(
        timings,
        sizes,
        Load(began, load(), others.cores()),
        _name_of(first.device),
        torch.get_num_threads(),
    )


def _photo(model: Predictor) -> Photo:
    (source,) = find_sources(tested_images(model.cfg).get_data_info(0)['img_path'])
    return next(iter(source.photos(None)))


def _run(model: Predictor, item: Mapping[str, Any]) -> None:
    data = dict(inputs=[item['inputs']], data_samples=[item['data_samples']])
    with scope_of(model.cfg), torch.no_grad():
        model.model.test_step(data)


def _name_of(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == 'cuda' else 'CPU'
