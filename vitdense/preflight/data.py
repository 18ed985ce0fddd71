"""The data against the model: classes, what the first samples teach, and what is ignored."""

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from mmengine.dataset import InfiniteSampler
from mmengine.runner import Runner

from ..console import display_path, plural
from ..data.categories import nearest
from ..data.dataset import classes_of, leaf_datasets, spread_over
from ..data.lessons import NOTHING, ONE_CLASS, judge
from ..data.reproducible import SampleId
from ..engine.processes import unwrapped
from ..findings import Finding, Level, first_few
from ..mmengine_internals import chosen_indices
from ..trial import trial
from .label_maps import pixels_of_classes

SAMPLES = 32  # as the pipeline gives them, augmented and cropped
MOST = 5000  # images of which the annotations are looked through, spread over a dataset


def classes(runner: Runner) -> Iterator[Finding]:
    """The outputs of the heads, and the classes of the validation, against the classes of the training."""
    train = classes_of(runner.train_dataloader.dataset)
    loader = runner.val_dataloader
    val = classes_of(loader.dataset) if loader else train
    if train != val:
        text = f'the training data have the classes {first_few(train)}, the validation data {first_few(val)}'
        yield Finding('classes', text, Level.ERROR)
    for split, one in (('training', runner.train_dataloader), ('validation', loader)):
        lists = [classes_of(leaf) for leaf in leaf_datasets(one.dataset)] if one else []
        for number, names in enumerate(lists, 1):
            if names != lists[0]:
                first, other = first_few(lists[0]), first_few(names)
                text = f'part 1 of the {split} data has the classes {first}, part {number} {other}'
                yield Finding('classes', text, Level.ERROR)
    yield from head_outputs(runner, train)


def head_outputs(runner: Runner, names: Sequence[str]) -> Iterator[Finding]:
    """The outputs of the heads against the classes of some data."""
    model = unwrapped(runner)
    if hasattr(model, 'semantic_head'):  # panoptic, whose heads have things or stuff alone
        return
    for name, module in model.named_modules():
        # of boundaries, or of a map beside the objects, in place of the classes
        if type(module).__name__ == 'STDCHead' or name.endswith('semantic_head'):
            continue
        outputs = getattr(module, 'num_classes', None)
        head = re.search(r'(\w+_head)(?:\.\d+)?$', name)  # one of several has a number
        if not head or head[1] == 'rpn_head' or not isinstance(outputs, int):
            continue  # a region proposal network tells objects from background, whatever they are
        if outputs != len(names):
            what = f'model.{name}.num_classes is {outputs}'
            text = f'{what}, the data have {len(names)} classes ({first_few(names)})'
            yield Finding('classes', text, Level.ERROR)


def labels(runner: Runner) -> Iterator[Finding]:
    """The images' sizes, how often each class occurs, how much is ignored, and labels that are no class."""
    dataset = runner.train_dataloader.dataset
    names = classes_of(dataset)
    count = min(SAMPLES, len(dataset))
    seen, ignored, pixels, images = Counter[int](), 0, False, list[tuple[int, int]]()
    for number in range(count):
        index = number * len(dataset) // count
        with trial(f'the run cannot start: the pipeline of {_named(dataset, index)} fails'):
            data = dataset[SampleId(index, 0, number)]
        sample = data['data_samples']
        images += size_of(data)
        if 'gt_sem_seg' in sample:
            pixels = True
            if sample.gt_sem_seg.shape != data['inputs'].shape[-2:]:
                sizes = f'{tuple(sample.gt_sem_seg.shape)}, of its image {tuple(data["inputs"].shape[-2:])}'
                text = f'{display_path(sample.seg_map_path)}: the size (H, W) of the label map is {sizes}'
                yield Finding('labels', text, Level.ERROR)
                return
            values, counts = sample.gt_sem_seg.data.unique(return_counts=True)
            found = Counter(dict(zip(values.tolist(), counts.tolist(), strict=True)))
            ignored += found.pop(_ignore_index(dataset), 0)
        else:
            found = Counter(sample.gt_instances.labels.tolist())
            ignored += len(sample.ignored_instances) if 'ignored_instances' in sample else 0
        seen += found
    yield from image_sizes('train', images)
    what = 'pixels' if pixels else 'objects'
    if unknown := sorted(label for label in seen if not 0 <= label < len(names)):
        text = f'{count} samples hold the labels {first_few(unknown)}, the classes are 0 to {len(names) - 1}'
        yield Finding('labels', text, Level.ERROR)
        return
    verdict = judge(names, [seen[label] for label in range(len(names))], pixels)
    whole = count == len(dataset)  # a part shows less than there is
    if verdict and verdict[0] is ONE_CLASS:  # as a crop does
        maps = list(pixels_of_classes(dataset, len(names)))
        count, whole = len(maps), len(maps) == len(dataset)
        verdict = judge(names, np.sum(maps, 0).tolist(), True) if maps else None
    if seen:
        shares = ', '.join(
            f'{names[label]} {times / seen.total():.0%}' for label, times in seen.most_common(5)
        )
        more = f', {len(seen) - 5} more' if len(seen) > 5 else ''
        share = ignored / (seen.total() + ignored)
        yield Finding('labels', f'in {count} samples: {shares}{more}; {share:.1%} of {what} ignored')
    if verdict and (whole or verdict[0] in (NOTHING, ONE_CLASS)):
        kind, came = verdict
        note = f' ({kind.note})' if kind.note else ''
        text = f'{kind.name}: {count} samples hold {came}{note}; vitdense check_data looks at all of them'
        yield Finding('labels', text, kind.level if whole else Level.WARNING)


def size_of(sample: Any) -> list[tuple[int, int]]:
    """(H, W) of a sample, as its pipeline gives it; none of several images, as for test-time augmentation."""
    inputs: Any = sample.get('inputs') if isinstance(sample, dict) else None
    shape = getattr(inputs, 'shape', [])
    return [(shape[-2], shape[-1])] if len(shape) > 1 else []


def image_sizes(split: str, sizes: Sequence[tuple[int, int]]) -> Iterator[Finding]:
    """The least and the greatest image."""
    if sizes:
        least, greatest = min(sizes, key=math.prod), max(sizes, key=math.prod)
        text = ' to '.join(f'{high} × {wide}' for high, wide in dict.fromkeys((least, greatest)))
        yield Finding('images', f'{split} {text} (H × W after the pipeline, {plural(len(sizes), "sample")})')


def _named(dataset: Any, index: int) -> str:
    """A sample, by its file."""
    info = dataset.get_data_info(index) if hasattr(dataset, 'get_data_info') else {}
    return display_path(info['img_path']) if 'img_path' in info else f'sample {index}'


def masks(runner: Runner) -> Iterator[Finding]:
    """Objects without the outline that a pipeline loads, which would end the run when they come."""
    for split, loader in (('training', runner.train_dataloader), ('validation', runner.val_dataloader)):
        for leaf in leaf_datasets(loader.dataset) if loader else ():
            transforms = getattr(getattr(leaf, 'pipeline', None), 'transforms', ())
            if not any(getattr(transform, 'with_mask', False) for transform in transforms):
                continue
            infos = (leaf.get_data_info(index) for index in spread_over(leaf, MOST))
            lacking = [
                _name(info)
                for info in infos
                if any('mask' not in one and not one.get('ignore_flag') for one in info.get('instances', ()))
            ]
            if lacking:
                text = (
                    f'{len(lacking)} {split} images have objects without segmentation: {first_few(lacking)}'
                )
                yield Finding('masks', text, Level.ERROR)


def left_out(runner: Runner) -> Iterator[Finding]:
    """Images of a file that are not trained on: those that MMDetection's filter takes out in silence."""
    for leaf in leaf_datasets(runner.train_dataloader.dataset):
        whole = getattr(leaf, 'images_in_file', len(leaf))
        if len(leaf) < whole and chosen_indices(leaf) is None:
            words = ', '.join(f'{key}={value}' for key, value in (leaf.filter_cfg or {}).items())
            text = f'{whole - len(leaf)} of {whole} images are not trained on, by filter_cfg ({words})'
            level = Level.WARNING if 2 * len(leaf) < whole else Level.FACT
            yield Finding('filter', f'{display_path(leaf.ann_file)}: {text}', level)


def other_names(runner: Runner) -> Iterator[Finding]:
    """Objects of names that are no class, which MMDetection's VOC dataset leaves out; COCO's are an error."""
    for leaf in leaf_datasets(runner.train_dataloader.dataset):
        if not hasattr(leaf, 'cat2label'):
            continue
        classes = classes_of(leaf)
        files = (leaf.get_data_info(index).get('xml_path') for index in spread_over(leaf, MOST))
        names = Counter(
            one.text or ''
            for file in files
            if file
            for one in ElementTree.parse(file).iterfind('object/name')
        )
        other = [
            f'{count} {name!r}{_meant(name, classes)}' for name, count in names.items() if name not in classes
        ]
        if other:
            text = f'objects whose name is no class are background: {first_few(other)}'
            yield Finding('filter', text, Level.WARNING)


def _meant(name: str, classes: Sequence[str]) -> str:
    near = nearest(name, classes)
    return f' (is {near!r} meant?)' if near else ''


def epochs(runner: Runner) -> Iterator[Finding]:
    """A loader that gives no batch."""
    loader = runner.train_dataloader
    endless = isinstance(loader.batch_sampler.sampler, InfiniteSampler)
    if not endless and not len(loader.batch_sampler):
        size, images = loader.batch_sampler.batch_size, len(loader.dataset)
        what = f'{images} images make no batch of {size}, and drop_last drops the rest'
        text = f'an epoch has no iteration: {what}'
        yield Finding('epochs', text, Level.ERROR)


def _name(info: dict) -> str:
    return Path(info.get('img_path', '?')).name


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
