"""`--data`: a config on a folder of images and annotations instead of its own data.

Classes, heads, files, image sizes (`own_sizes.py`), batch size and schedule (`own_schedule.py`) follow from
what the folder holds (`formats/`); what was decided is said, a line each. The model, its heads and the
transforms of the pipelines stay.
"""

import colorsys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from mmengine.config import Config

from ..config.settings import LOADERS
from ..config.tree import dicts, innermost, name_of, set_annotations
from ..errors import UserError
from ..findings import Finding, Kind, Level, first_few
from .augment import augment
from .formats.files import DEEP
from .formats.find import read_folders
from .formats.mend import mend
from .formats.records import Annotations
from .formats.split import split
from .formats.write import write_coco, write_label_maps
from .own_schedule import Wanted, fit_schedule
from .own_sizes import fit_sizes
from .photo import depth
from .rare import even_out

PARTS = ('train', 'val', 'test')
LIGHTNESS = (0.45, 0.6, 0.7)  # of colours, in turn
SATURATION = 0.75


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
    found = read_folders(folders)
    read = len(found.records), sum(len(record.instances) for record in found.records)
    mend(found)
    objects = {id(record): len(record.instances) for record in found.records}
    if classes:
        _keep_classes(found, classes)
    split(found)
    if (kept := (len(found.records), sum(objects[id(record)] for record in found.records))) != read:
        found.notes.append(f'{kept[0]} of {read[0]} images and {kept[1]} of {read[1]} objects are used')
    root = folders[0].absolute() if len(folders) == 1 else Path('/')
    data = OwnData(found, root, list(described(found, folders)))
    if not found.splits.get('train'):
        raise UserError(f'--data {folders[0]}: no image to train on')
    if not found.splits.get('val'):
        raise UserError(
            f'--data {folders[0]}: expected two images or more that do not look alike, one of which validates'
        )
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
            f'{name} trains on objects; the data has label maps, for which pspnet_…, '
            'deeplabv3_…, semantic_fpn_… or upernet_… is'
        )
    masks = any(one.get('with_mask') for one in dicts(cfg.train_dataloader))
    if masks and not found.has_outlines:
        raise UserError(f'{name} trains on outlines; the data has boxes, for which retinanet_… is')
    for part in dicts(cfg.model):
        if 'num_classes' in part:
            part['num_classes'] = len(found.classes)
    metainfo = dict(classes=tuple(found.classes), palette=colours(len(found.classes)))
    for loader in LOADERS:
        if name_of(cfg[loader].dataset) == 'RepeatDataset':  # epochs are counted in images that there are
            cfg[loader].dataset = cfg[loader].dataset.dataset
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
    for text in fit_sizes(cfg, found.splits['train'], size):
        data.lines.append(Finding('images', text))
    if wanted is not None:
        if wanted.augment:
            heights, widths = np.array([record.size for record in found.splits['train']]).T
            said = augment(cfg, wanted.augment, portrait=(heights > widths).mean() > 0.5)
            data.lines.append(Finding('augment', said))
        text, images = even_out(cfg, found)
        if text:
            data.lines.append(Finding('classes', text, Level.WARNING))
        data.lines += fit_schedule(cfg, found, wanted, images)


def _read_as_seen(cfg: Config, found: Annotations) -> Iterator[Finding]:
    """Where OpenCV shows some images otherwise than a person sees them, read all by `LoadPhoto`, in place."""
    odd = Counter(record.odd for record in found.records if record.odd)
    if not odd:
        return
    bits = depth(record.image for record in found.records if record.odd == DEEP)
    pipelines = [cfg[loader].dataset for loader in LOADERS]
    pipelines += [cfg.get('tta_pipeline'), cfg.get('custom_hooks')]
    for step in dicts(pipelines):
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
