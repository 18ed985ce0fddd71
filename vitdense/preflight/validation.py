"""The first validation, tried before the training: its model, its evaluator, and who waits for its scores."""

import copy
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from mmengine.evaluator import Evaluator
from mmengine.hooks import CheckpointHook, EarlyStoppingHook
from mmengine.optim import ReduceOnPlateauParamScheduler
from mmengine.runner import EpochBasedTrainLoop, Runner

from ..data.reproducible import SampleId
from ..data.unreadable import UnreadableFile
from ..engine.processes import unwrapped
from ..findings import Finding, Level, first_few
from ..mmengine_internals import optim_context, param_schedulers
from ..model_state import in_mode
from ..trial import trial
from .data import image_sizes, size_of

BATCH = 4  # images of the validation that are tried together
CANDIDATES = 16  # of which they are taken, so that their sizes differ if they do


def validation_batch(runner: Runner) -> Iterator[Finding]:
    """One batch of the validation through model and evaluator, which would else fail after hours.

    And the sizes of the images that are loaded for it, and who waits for a score that there is not.
    """
    loader = runner.val_dataloader
    if not loader:
        return
    model, dataset = unwrapped(runner), loader.dataset
    count = min(BATCH, loader.batch_sampler.batch_size, len(dataset))
    sizes: list[tuple[int, int]] = []
    failing = trial('the run cannot start: the first validation fails')
    try:
        with in_mode(model, training=False), failing, torch.no_grad():
            loaded = _some(dataset, count)
            sizes += [size for one in loaded for size in size_of(one)]
            data = loader.collate_fn(_unlike(loaded, count))
            with optim_context(runner.optim_wrapper, model):
                samples = model.val_step(data)
            scores = _evaluate(runner.val_loop.evaluator, data, samples)
    except UnreadableFile as error:
        text = f'{error}: the validation needs it, --skip-unreadable is for training'
        yield Finding('val', text, Level.ERROR)
        return
    yield from image_sizes('val', sizes)
    for name, monitored in _monitored(runner):
        if scores and monitored not in scores:
            text = f'{name} is {monitored!r}, a validation has {first_few(sorted(scores), 8)}'
            yield Finding('val', text, Level.ERROR)


def _monitored(runner: Runner) -> Iterator[tuple[str, str]]:
    """What waits for a score, and its name."""
    for hook in runner.hooks:
        if isinstance(hook, CheckpointHook) and hook.save_best:
            yield from (('save_best of CheckpointHook', key) for key in hook.key_indicators if key != 'auto')
        elif isinstance(hook, EarlyStoppingHook) and hook.monitor != 'auto':
            yield 'monitor of EarlyStoppingHook', hook.monitor
    for one in param_schedulers(runner):
        if isinstance(one, ReduceOnPlateauParamScheduler):
            yield f'monitor of {type(one).__name__}', one.monitor


def saved(runner: Runner) -> Iterator[Finding]:
    """A checkpoint hook that counts epochs where the run counts iterations: it has one epoch, at its end."""
    if isinstance(runner.train_loop, EpochBasedTrainLoop):
        return
    for hook in runner.hooks:
        if isinstance(hook, CheckpointHook) and hook.by_epoch:
            text = (
                f'no checkpoint before the end: CheckpointHook counts epochs, the run {runner.max_iters} '
                f'iterations; default_hooks.checkpoint.by_epoch=False with an interval in iterations'
            )
            yield Finding('saved', text, Level.WARNING)


def _some(dataset: Any, count: int) -> list[Any]:
    """Samples of a dataset, of which so many are tried: its first, and others spread over it."""
    total, some = len(dataset), CANDIDATES // 2 if count > 1 else 1
    places = sorted({*range(min(some, total)), *(i * total // some for i in range(some))})  # and not in step
    return [dataset[SampleId(place, 0, place)] for place in places]


def _unlike(samples: Sequence[Any], count: int) -> list[Any]:
    """So many of some samples, of different sizes if there are: a model may refuse them in one batch."""
    by_size = {str(getattr(one.get('inputs'), 'shape', '')): one for one in samples if isinstance(one, dict)}
    rest = [one for one in samples if all(one is not other for other in by_size.values())]
    return [*by_size.values(), *rest][:count]


def _evaluate(evaluator: Any, data: Any, samples: Sequence[Any]) -> set[str]:
    """Score a batch with copies of the metrics that write nothing; the scores' names, if all are known."""
    own = copy.copy(evaluator)
    metrics = getattr(evaluator, 'metrics', [])
    own.metrics = [copy.copy(metric) for metric in metrics if not _writes(metric)]
    for metric in own.metrics:
        metric.results = []
    own.process(data_samples=samples, data_batch=data)
    scores: set[str] = set()
    known = type(evaluator) is Evaluator and len(own.metrics) == len(metrics)
    for metric in own.metrics:
        if hasattr(metric, 'img_ids'):  # of COCO's metric, which else scores all images
            metric.img_ids = [sample.img_id for sample in samples]
        elif hasattr(metric, 'ann_file'):  # which CrowdHuman's pairs with all images, in its order
            known = False
            continue
        found = metric.compute_metrics(metric.results)
        scores |= {f'{metric.prefix}/{name}' if metric.prefix else name for name in found}
    return scores if known else set()


def _writes(metric: Any) -> bool:
    places = ('outfile_prefix', 'output_dir', 'out_file_path', 'out_dir', 'output_path')
    return any(getattr(metric, place, None) for place in places)
