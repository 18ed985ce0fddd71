"""What the first samples teach."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from mmengine.runner import Runner

from ..data.reproducible import Place
from .finding import Finding, Level, named

SAMPLES = 32  # as the pipeline gives them, augmented and cropped


def labels(runner: Runner) -> Iterator[Finding]:
    """How often each class, how much is ignored, and labels that are no class."""
    dataset = runner.train_dataloader.dataset
    names = list(dataset.metainfo.get('classes') or ())
    count = min(SAMPLES, len(dataset))
    seen, ignored, what = Counter(), 0, 'objects'
    for number in range(count):
        sample = dataset[Place(number * len(dataset) // count, 0, number)]['data_samples']
        if 'gt_sem_seg' in sample:
            what = 'pixels'
            values, counts = sample.gt_sem_seg.data.unique(return_counts=True)
            found = Counter(dict(zip(values.tolist(), counts.tolist(), strict=True)))
            ignored += found.pop(_ignored(dataset), 0)
        else:
            found = Counter(sample.gt_instances.labels.tolist())
            ignored += len(sample.ignored_instances) if 'ignored_instances' in sample else 0
        seen += found
    total = seen.total()
    if strange := sorted(label for label in seen if not 0 <= label < len(names)):
        text = f'{count} samples hold the labels {named(list(map(str, strange)))}, the classes are '
        yield Finding('labels', f'{text}0 to {len(names) - 1}', Level.FAULT)
    elif not total:
        text = f'{count} samples hold no {what} to learn from'
        yield Finding('labels', text, Level.FAULT if what == 'pixels' else Level.DOUBT)
    else:
        shares = ', '.join(f'{names[label]} {times / total:.0%}' for label, times in seen.most_common(5))
        more = f', {len(seen) - 5} more' if len(seen) > 5 else ''
        share = ignored / (total + ignored)
        yield Finding('labels', f'in {count} samples: {shares}{more}; {share:.1%} of {what} ignored')


def _ignored(dataset: Any) -> int:
    return getattr(dataset, 'ignore_index', 255)
