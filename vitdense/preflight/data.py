"""The data against the model: classes, what the first samples teach, and what is ignored."""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from mmengine.runner import Runner

from ..data.dataset import classes_of, leaf_datasets
from ..data.reproducible import SampleId
from ..engine.processes import unwrapped
from ..findings import Finding, Level, first_few

SAMPLES = 32  # as the pipeline gives them, augmented and cropped


def classes(runner: Runner) -> Iterator[Finding]:
    """The outputs of the heads, and the classes of the validation, against the classes of the training."""
    train = classes_of(runner.train_dataloader.dataset)
    loader = runner.val_dataloader
    val = classes_of(loader.dataset) if loader else train
    if train != val:
        text = f'the training data have the classes {first_few(train)}, the validation data {first_few(val)}'
        yield Finding('classes', text, Level.ERROR)
    for name, module in unwrapped(runner).named_modules():
        outputs = getattr(module, 'num_classes', None)
        head = re.search(r'(\w+_head)(?:\.\d+)?$', name)  # one of several has a number
        if not head or head[1] == 'rpn_head' or not isinstance(outputs, int):
            continue  # a region proposal network tells objects from background, whatever they are
        if outputs != len(train):
            what = f'model.{name}.num_classes is {outputs}'
            text = f'{what}, the data have {len(train)} classes ({first_few(train)})'
            yield Finding('classes', text, Level.ERROR)


def labels(runner: Runner) -> Iterator[Finding]:
    """How often each class occurs, how much is ignored, and labels that are no class."""
    dataset = runner.train_dataloader.dataset
    names = classes_of(dataset)
    count = min(SAMPLES, len(dataset))
    seen, ignored, what = Counter[int](), 0, 'objects'
    for number in range(count):
        sample = dataset[SampleId(number * len(dataset) // count, 0, number)]['data_samples']
        if 'gt_sem_seg' in sample:
            what = 'pixels'
            values, counts = sample.gt_sem_seg.data.unique(return_counts=True)
            found = Counter(dict(zip(values.tolist(), counts.tolist(), strict=True)))
            ignored += found.pop(_ignore_index(dataset), 0)
        else:
            found = Counter(sample.gt_instances.labels.tolist())
            ignored += len(sample.ignored_instances) if 'ignored_instances' in sample else 0
        seen += found
    total = seen.total()
    if unknown := sorted(label for label in seen if not 0 <= label < len(names)):
        text = f'{count} samples hold the labels {first_few(unknown)}, the classes are 0 to {len(names) - 1}'
        yield Finding('labels', text, Level.ERROR)
    elif not total:
        text = f'{count} samples hold no {what} to learn from'
        yield Finding('labels', text, Level.ERROR if what == 'pixels' else Level.WARNING)
    else:
        shares = ', '.join(f'{names[label]} {times / total:.0%}' for label, times in seen.most_common(5))
        more = f', {len(seen) - 5} more' if len(seen) > 5 else ''
        share = ignored / (total + ignored)
        yield Finding('labels', f'in {count} samples: {shares}{more}; {share:.1%} of {what} ignored')


def ignore_index(runner: Runner) -> Iterator[Finding]:
    """The label that a segmentor's data, heads and padding take for ignored."""
    model = unwrapped(runner)
    data = _ignore_index(runner.train_dataloader.dataset)
    heads = {
        f'model.{name}.ignore_index': module.ignore_index
        for name, module in model.named_modules()
        if re.search(r'(decode|auxiliary)_head(?:\.\d+)?$', name) and hasattr(module, 'ignore_index')
    }
    for name, label in heads.items():
        if label != data:
            text = f'{name} is {label}, the data ignore {data}: each would learn from what the other ignores'
            yield Finding('ignored', text, Level.ERROR)
    padding = getattr(getattr(model, 'data_preprocessor', None), 'seg_pad_val', data)
    if heads and padding != data:
        text = f'model.data_preprocessor.seg_pad_val is {padding}, the data ignore {data}: padding is a class'
        yield Finding('ignored', text, Level.WARNING)


def _ignore_index(dataset: Any) -> int:
    return getattr(leaf_datasets(dataset)[0], 'ignore_index', 255)
