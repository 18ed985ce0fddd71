"""`--data`: a config on a folder of images and annotations instead of its own data.

Classes, heads, files, image sizes, batch size and schedule follow from what the folder holds (`formats/`);
what was decided is said, a line each. The model, its heads and the transforms of the pipelines stay.
"""

import colorsys
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config

from ..config.settings import LOADERS
from ..config.tree import dicts, in_pixels, innermost, name_of, set_annotations
from ..console import plural
from ..errors import UserError
from ..findings import Finding, Kind, Level, first_few
from .augment import augment
from .formats.files import DEEP
from .formats.find import read_folders
from .formats.mend import mend
from .formats.records import Annotations, Record
from .formats.split import split
from .formats.write import write_coco, write_label_maps
from .photo import depth
from .rare import even_out
from .scratch import GRADIENT_NORM, initialize_heads, rate_for, set_optimizer
from .scratch import WARM_UP as SCRATCH_WARM_UP

ITERATIONS = 2000  # that a training of few images takes at least, if that is not more than MOST_EPOCHS
EPOCHS = (12, 300)  # at least, and at most
VALIDATIONS = 10
WARM_UP = 100  # iterations, from pretrained weights
PARTS = ('train', 'val', 'test')
LIGHTNESS = (0.45, 0.6, 0.7)  # of colours, in turn
SATURATION = 0.75


@dataclass
class Wanted:
    """What the command line asks of a training; None for what follows from the data.

    pretrained: whether the run starts from weights.
    augment: 'light', 'strong', or the config's own transforms.
    """

    epochs: int | None = None
    batch: int | None = None
    pretrained: bool = False
    augment: str | None = None


@dataclass
class OwnData:
    """A folder's annotations, and what was decided from them.

    root: the folder that the images are named from.
    lines: what to say.
    """

    found: Annotations
    root: Path
    lines: list[Finding] = field(default_factory=list)


def read_own_data(folders: list[Path], classes: list[str] | None) -> OwnData:
    """Read folders, mend what can be mended, and split them.

    Raises:
        UserError: there is nothing to train on, or a class that is wanted is not there.
    """
    found = mend(read_folders(folders))
    if classes:
        _keep_classes(found, classes)
    split(found)
    root = folders[0].absolute() if len(folders) == 1 else Path('/')
    data = OwnData(found, root, list(described(found, folders)))
    if not found.splits.get('train'):
        raise UserError(f'--data {folders[0]}: no image to train on')
    if not found.splits.get('val'):
        raise UserError(f'--data {folders[0]}: expected two images or more, one of which validates')
    return data


def _keep_classes(found: Annotations, wanted: list[str]) -> None:
    if unknown := [name for name in wanted if name not in found.classes]:
        raise UserError(f'--classes {",".join(unknown)}: the classes are {", ".join(found.classes)}')
    labels = {found.classes.index(name): label for label, name in enumerate(wanted)}
    if found.is_label_maps:
        raise UserError('--classes: of label maps every pixel needs a class; expected objects')
    for record in found.records:
        record.instances = [
            replace(one, label=labels[one.label]) for one in record.instances if one.label in labels
        ]
    left_out = [name for name in found.classes if name not in wanted]
    found.notes.append(f'background now: {", ".join(left_out)}' if left_out else 'all classes are wanted')
    found.classes = list(wanted)


def described(found: Annotations, folders: list[Path]) -> Iterator[Finding]:
    """What was found, a line each: format and images, classes, what was decided, what is wrong."""
    parts = ', '.join(f'{len(records)} {name}' for name, records in found.splits.items())
    what = 'label maps' if found.is_label_maps else 'outlines' if found.has_outlines else 'boxes'
    yield Finding('data', f'{found.format} in {", ".join(map(str, folders))}: {parts} images, {what}')
    names = [f'{name} {amount}' for name, amount in _amounts(found)]
    yield Finding('classes', f'{len(names)}: {first_few(names, 12)}')
    for note in found.notes:
        yield Finding('data', note)
    kinds: dict[Kind, list[str]] = {}
    for problem in found.problems:
        kinds.setdefault(problem.kind, []).append(f'{problem.where} ({problem.came})')
    for kind, cases in kinds.items():
        note = kind.note or 'left out'
        text = f'{len(cases)} {kind.name} ({note}): {first_few(cases, 3)}'
        yield Finding('data', text, Level.WARNING)


def _amounts(found: Annotations) -> Iterator[tuple[str, str]]:
    """How much there is of each class: objects, or the share of the labelled pixels."""
    if not found.is_label_maps:
        counts = found.counts()
        yield from ((name, str(counts[name])) for name in found.classes)
        return
    pixels = found.pixel_counts()
    total = max(1, pixels.total())
    yield from ((name, f'{pixels[name] / total:.1%}') for name in found.classes)


def use_own_data(cfg: Config, data: OwnData, size: int | None, wanted: Wanted | None) -> None:
    """Put the data in place of the config's, in place; `write_own_data` writes their files.

    Args:
        cfg: the config.
        data: of `read_own_data`, whose lines are continued.
        size: pixels of the shorter side of the images; None for what follows from them.
        wanted: of a training; None where there is none, whose schedule would follow.

    Raises:
        UserError: the config needs another kind of annotations.
    """
    found = data.found
    segments = 'decode_head' in cfg.model
    name = Path(cfg.filename).stem
    if segments and not found.is_label_maps:
        raise UserError(
            f'{name} trains on label maps; the data has objects, for which retinanet_… or mask_rcnn_… is'
        )
    if not segments and found.is_label_maps:
        raise UserError(
            f'{name} trains on objects; the data has label maps, for which pspnet_… or deeplabv3_… is'
        )
    masks = any(one.get('with_mask') for one in dicts(cfg.train_dataloader))
    if masks and not found.has_outlines:
        raise UserError(f'{name} trains on outlines; the data has boxes, for which retinanet_… is')
    for part in dicts(cfg.model):
        if 'num_classes' in part:
            part['num_classes'] = len(found.classes)
    metainfo = dict(classes=tuple(found.classes), palette=colours(len(found.classes)))
    for loader in LOADERS:
        leaf = innermost(cfg[loader])[1]
        kept = {key: leaf[key] for key in ('pipeline', 'test_mode', 'backend_args') if key in leaf}
        leaf.clear()
        leaf.update(kept, data_root=f'{data.root}/', metainfo=metainfo)
        if segments:
            leaf.update(type='vitdense.data.listed.ListedSegDataset')
            for step in dicts(leaf['pipeline']):  # of ADE20K, whose value 0 is no class
                step.pop('reduce_zero_label', None)
        else:
            leaf.update(type='mmdet.datasets.CocoDataset', data_prefix=dict(img=''))
            if loader == 'train_dataloader':
                leaf.update(filter_cfg=dict(filter_empty_gt=False))
    cfg.data_root = f'{data.root}/'
    data.lines += _read_as_seen(cfg, found)
    for text in _sizes(cfg, found.splits['train'], size):
        data.lines.append(Finding('images', text))
    if wanted is not None:
        if wanted.augment:
            heights, widths = np.array([record.size for record in found.splits['train']]).T
            said = augment(cfg, wanted.augment, portrait=(heights > widths).mean() > 0.5)
            data.lines.append(Finding('augment', said))
        text, images = even_out(cfg, found)
        if text:
            data.lines.append(Finding('classes', text, Level.WARNING))
        data.lines += _schedule(cfg, found, wanted, images)


def _read_as_seen(cfg: Config, found: Annotations) -> Iterator[Finding]:
    """Where OpenCV shows some images otherwise than a person sees them, read all by `LoadPhoto`, in place."""
    odd = Counter(record.odd for record in found.records if record.odd)
    if not odd:
        return
    bits = depth(record.image for record in found.records if record.odd == DEEP)
    for loader in LOADERS:
        for step in dicts(innermost(cfg[loader])[1]['pipeline']):
            if name_of(step) == 'LoadImageFromFile':
                step.update(type='vitdense.data.photo.LoadPhoto', bits=bits)
    said = ', '.join(f'{count} {what}' for what, count in odd.items())
    deep = f', {bits} bits of them used' if DEEP in odd else ''
    yield Finding('images', f'{said}{deep}: all are read as a person sees them (LoadPhoto)')


def write_own_data(data: OwnData, folder: Path) -> dict[str, Path]:
    """The annotations as files in a folder, for each split; a run that is resumed finds its own there.

    Raises:
        UserError: there are others: the data are not those that the run began with.
    """
    write = write_label_maps if data.found.is_label_maps else write_coco
    return write(data.found, folder.absolute(), data.root)


def name_files(cfg: Config, files: dict[str, Path]) -> None:
    """The annotation file of each loader; without a test split, the validation's tests."""
    for part, loader in zip(PARTS, LOADERS, strict=True):
        file = str(files.get(part) or files['val'])
        innermost(cfg[loader])[1]['ann_file'] = file
        if part != 'train':
            set_annotations(cfg[f'{part}_evaluator'], file)


def colours(count: int) -> list[tuple[int, int, int]]:
    """So many colours that differ in hue (by the golden ratio) and, from one to the next, in lightness."""
    hues = ((i * 0.618034) % 1 for i in range(count))
    shades = (colorsys.hls_to_rgb(hue, LIGHTNESS[i % 3], SATURATION) for i, hue in enumerate(hues))
    return [(round(255 * red), round(255 * green), round(255 * blue)) for red, green, blue in shades]


def _sizes(cfg: Config, records: list[Record], size: int | None) -> Iterator[str]:
    """The config's image sizes, made smaller where nearly all images are smaller, or to the wanted one."""
    sides = np.array([sorted(record.size) for record in records])
    shorter, longer = np.percentile(sides, 90, axis=0)
    scales = [part['scale'] for part in dicts(cfg.val_dataloader) if 'scale' in part]
    if not scales:
        return
    most = max(scales[0]), min(scales[0])
    factor = size / most[1] if size else min(1.0, max(longer / most[0], shorter / most[1]))
    crops = any('crop_size' in part for part in dicts(cfg.train_dataloader))
    if crops and not size:
        factor = min(1.0, shorter / most[1])
    if abs(factor - 1) > 1e-9:
        scaled_sizes(cfg, factor)
    long, short = (max(32, round(side * factor)) for side in most)
    medians = ' × '.join(f'{np.median(side):.0f}' for side in sides.T[::-1])
    yield f'{medians} in the median; at most {long} × {short} here' + (' (--size)' if size else '')


def scaled_sizes(cfg: Config, factor: float) -> None:
    """All sizes in pixels of the pipelines and of the model's preprocessing, in place."""
    parts = [cfg[loader].dataset for loader in LOADERS]
    parts += [cfg.model.data_preprocessor, cfg.get('tta_pipeline') or {}]
    parts += [hook.get('switch_pipeline') for hook in cfg.get('custom_hooks') or ()]
    for part in dicts(parts):
        for key in ('scale', 'img_scale', 'scales', 'random_size_range', 'crop_size', 'size'):
            if key in part and in_pixels(part[key]):
                part[key] = _times(part[key], factor, 32 if key in ('crop_size', 'size') else 1)
        if min(border := np.ravel(part.get('border', 0))) < 0:  # of a mosaic, which is twice as large
            part['border'] = tuple(round(side * factor) for side in border.tolist())
    for part in dicts(cfg.model):
        if part.get('mode') == 'slide':
            for key in ('crop_size', 'stride'):
                part[key] = _times(part[key], factor, 32 if key == 'crop_size' else 1)


def _times(size: Any, factor: float, step: int) -> Any:
    if isinstance(size, (list, tuple)):
        return type(size)(_times(one, factor, step) for one in size)
    return max(step, round(size * factor / step) * step)


def _schedule(cfg: Config, found: Annotations, wanted: Wanted, images: int) -> Iterator[Finding]:
    """Epochs from the number of images; the learning rate from the batch size, warm-up and a cosine.

    `images` are those of an epoch: more than there are, where some come several times.
    """
    batch = min(wanted.batch or cfg.train_dataloader.batch_size, images)
    least, most = EPOCHS
    epochs = wanted.epochs or min(most, max(least, math.ceil(ITERATIONS * batch / images)))
    per_epoch = math.ceil(images / batch)
    every = max(1, epochs // VALIDATIONS)
    text = f'{epochs} epochs of {images} images, batch size {batch}: {epochs * per_epoch} iterations; '
    yield Finding('schedule', text + f'a validation every {plural(every, "epoch")}')
    cfg.train_dataloader.update(batch_size=batch)
    cfg.train_dataloader.sampler = dict(type='mmengine.dataset.DefaultSampler', shuffle=True)
    if found.is_label_maps:
        cfg.train_dataloader.pop('batch_sampler', None)
        # a batch norm behind a pooling to one pixel needs two images
        cfg.train_dataloader.drop_last = images > batch > 1 == images % batch
    cfg.train_cfg = dict(type='mmengine.runner.EpochBasedTrainLoop', max_epochs=epochs, val_interval=every)
    text, warm_up = _rates(cfg, batch, wanted.pretrained)
    yield Finding('schedule', text)
    if not wanted.pretrained:
        text = (
            f'from scratch on {plural(images, "image")}, expect little; --weights, --init: start from a file'
        )
        yield Finding('weights', text, Level.WARNING)
    end = max(1, min(warm_up, epochs * per_epoch // 3))
    if wanted.pretrained and 'backbone' in cfg.model:
        hook = dict(type='vitdense.engine.frozen_first.FrozenFirstHook', iterations=end)
        cfg.custom_hooks = [*(cfg.get('custom_hooks') or ()), hook]
        cfg.find_unused_parameters = True
        text = f'the backbone stays as it is for the first {plural(end, "iteration")}, while the heads adapt'
        yield Finding('schedule', text)
    cfg.param_scheduler = [
        dict(type='mmengine.optim.LinearLR', by_epoch=False, start_factor=0.01, begin=0, end=end),
        dict(
            type='mmengine.optim.CosineAnnealingLR',
            by_epoch=True,
            convert_to_iter_based=True,
            eta_min_ratio=0.01,
            begin=0,
            end=epochs,
            T_max=epochs,
        ),
    ]
    cfg.log_processor.by_epoch = True
    cfg.default_hooks.logger.update(interval=max(1, min(10, per_epoch)), log_metric_by_epoch=True)
    cfg.default_hooks.checkpoint.update(by_epoch=True, interval=every, max_keep_ckpts=2)


def _rates(cfg: Config, batch: int, pretrained: bool) -> tuple[str, int]:
    """Set the learning rate; what to say about it, and the iterations of the warm-up."""
    base = (cfg.pop('auto_scale_lr', None) or {}).get('base_batch_size', 16)
    optimizer = cfg.optim_wrapper.optimizer
    if not pretrained:
        initialize_heads(cfg)
        set_optimizer(cfg, rate_for(batch))
        text = f'learning rate {optimizer.lr:.3g}, of a training from scratch with batch size {batch}'
        return text, SCRATCH_WARM_UP
    before, optimizer.lr = optimizer.lr, optimizer.lr * math.sqrt(batch / base)
    cfg.optim_wrapper.setdefault('clip_grad', dict(max_norm=GRADIENT_NORM))
    text = f'learning rate {before:g} for batch size {base}, {optimizer.lr:.3g} for {batch}'
    return f'{text} (by the square root)', WARM_UP
