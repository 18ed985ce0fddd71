"""`--sample`: a config on the sample instead of its own data.

Data, classes, image size, batch size and schedule change, and what would keep a short schedule from learning:
rates and initialization are those of a training from scratch (`scratch.py`), a two-stage detector trains on
fewer regions per image, a segmentor's backgrounds weigh less, and stochastic depth is left out. The model,
its heads and the transforms of the pipelines stay; several scales keep their proportions. Types are given by
their full names: a class that is assigned to a config is not dumped as text that reloads.
"""

from typing import Any

from mmengine.config import Config

from ...config.drop_path import keep_every_path
from ...config.settings import LOADERS
from ...config.tree import dicts, in_pixels, name_of, set_annotations
from ...errors import UserError
from ..scratch import Schedule, initialize_heads, set_schedule
from . import CLASSES, SEG_CLASSES, SEG_PALETTE, SIZE, THING_PALETTE, root

# What two cores train in four to eight minutes, for a kind of model.
BOXES = Schedule(batch=4, iterations=340, rate=6e-4, warm_up=100)
REGIONS = Schedule(batch=4, iterations=400, rate=6e-4, warm_up=100)
LABELS = Schedule(batch=8, iterations=900, rate=7e-4, warm_up=50)
# Of heads whose convolutions take longer: DeepLabv3's at four dilations, UPerNet's of all levels at stride 4.
LONGER = dict(ASPPHead=LABELS._replace(iterations=700), UPerHead=LABELS._replace(iterations=450))
CROP = 64  # pixels of a segmentor's side: the smaller, the more iterations in the same time
BACKGROUND = 0.2  # weight of sky, sea, sand and meadow in a segmentor's loss, of which most pixels are
REGIONS_PER_IMAGE = 16  # that train a two-stage detector's heads; of COCO's 512 most would show nothing

TESTED_TOGETHER = 8  # images: one at a time, such small ones take twice as long
VALIDATIONS = 2  # the last at the end


def use_sample_data(cfg: Config) -> None:
    """Put the sample world in place of the config's data, COCO or ADE20K, in place.

    Raises:
        UserError: the data are of another kind.
    """
    for name in LOADERS:
        dataset = (cfg.get(name) or {}).get('dataset') or {}
        if 'data_prefix' not in dataset:
            there = f'a {name_of(dataset)}' if dataset else 'not there'
            raise UserError(
                f'--sample: expected a dataset of images to take the place of; {name}.dataset is {there}'
            )
    segments = 'seg_map_path' in cfg.train_dataloader.dataset.data_prefix
    classes = _label_maps(cfg) if segments else _boxes_and_masks(cfg)
    for part in dicts(cfg.model):
        if 'num_classes' in part:
            part['num_classes'] = len(classes)
    _set_sizes(cfg, CROP if segments else SIZE)
    if 'roi_head' in cfg.model:
        cfg.model.train_cfg.rcnn.sampler.num = REGIONS_PER_IMAGE
    initialize_heads(cfg)
    keep_every_path(cfg)
    _set(cfg, _schedule(cfg.model))


def _set_sizes(cfg: Config, crop: int) -> None:
    """Images of the sample's side wherever the config says how large they are; in training, of this crop."""
    preprocessor = cfg.model.data_preprocessor
    switched = [hook.get('switch_pipeline') for hook in cfg.get('custom_hooks') or ()]
    for part in dicts([cfg.train_dataloader.dataset.pipeline, switched, preprocessor]):
        _resize(part, crop, crop)
    tested = [cfg[loader].dataset.pipeline for loader in LOADERS[1:]]
    for part in dicts([tested, preprocessor.get('test_cfg')]):
        _resize(part, crop, SIZE)
    for part in dicts(cfg.model):
        if part.get('mode') == 'slide' and part.keys() >= {
            'crop_size',
            'stride',
        }:  # a segmentor's windows, which overlap as before
            part['stride'] = tuple(
                max(1, crop * step // side)
                for step, side in zip(_pair(part['stride']), _pair(part['crop_size']), strict=True)
            )
            part['crop_size'] = (crop, crop)


def _resize(part: dict, crop: int, padded: int) -> None:
    """Set the sizes of a transform, or of what makes a batch.

    Args:
        part: its dict.
        crop: the side of a crop.
        padded: the side of what is padded.
    """
    for key in ('scale', 'img_scale', 'scales', 'random_size_range'):
        if in_pixels(part.get(key)):
            several = key in ('scales', 'random_size_range')
            part[key] = _scaled(part[key]) if several or _nested(part[key]) else (SIZE, SIZE)
    for key, side in (('crop_size', crop), ('size', padded)):
        if in_pixels(part.get(key)):
            part[key] = (side, side)
    for key in ('height', 'width'):
        if in_pixels(part.get(key)):
            part[key] = padded
    for key in ('size_divisor', 'pad_size_divisor'):
        if part.get(key):
            part[key] = min(part[key], padded)
    if part.get('border') and max(_pair(part['border'])) < 0:  # which takes a mosaic of four images to one
        part['border'] = (-SIZE // 2, -SIZE // 2)


def _scaled(sizes: Any) -> Any:
    """Several sizes, of the shorter side, in their proportions, the largest of which is the sample's."""
    if not isinstance(sizes, (list, tuple)):
        return SIZE
    largest = max(min(_pair(size)) for size in sizes)
    scaled = []
    for size in sizes:
        side = round(SIZE * min(_pair(size)) / largest)
        scaled.append((side, side) if isinstance(size, (list, tuple)) else side)
    return type(sizes)(scaled)


def _pair(size: Any) -> Any:
    return size if isinstance(size, (list, tuple)) else (size, size)


def _nested(size: Any) -> bool:
    return isinstance(size, (list, tuple)) and any(isinstance(one, (list, tuple)) for one in size)


def _schedule(model: Any) -> Schedule:
    if 'decode_head' in model:
        return LONGER.get(name_of(model.decode_head), LABELS)
    return REGIONS if 'roi_head' in model else BOXES


def _boxes_and_masks(cfg: Config) -> tuple[str, ...]:
    cfg.data_root = f'{root()}/coco/'
    metainfo = dict(classes=CLASSES, palette=list(THING_PALETTE))
    for name in LOADERS:
        cfg[name].dataset.update(data_root=cfg.data_root, metainfo=metainfo)
    for name in ('val', 'test'):
        set_annotations(cfg[f'{name}_evaluator'], f'{cfg.data_root}annotations/instances_val2017.json')
    return CLASSES


def _label_maps(cfg: Config) -> tuple[str, ...]:
    from ..class_weights import set_class_weights  # of MMSegmentation, which detectors do not need

    cfg.data_root = f'{root()}/ade/ADEChallengeData2016/'
    for name in LOADERS:
        cfg[name].dataset.update(
            type='mmseg.datasets.BaseSegDataset',  # ADE20K's own knows its 150 classes only
            data_root=cfg.data_root,
            metainfo=dict(classes=SEG_CLASSES, palette=list(SEG_PALETTE)),
            img_suffix='.png',
            reduce_zero_label=True,
        )
    set_class_weights(cfg, [1.0 if name in CLASSES else BACKGROUND for name in SEG_CLASSES])
    return SEG_CLASSES


def _set(cfg: Config, schedule: Schedule) -> None:
    for name in LOADERS:  # to read such an image takes 1 ms, and a process for it costs the training a tenth
        cfg[name].update(num_workers=0, persistent_workers=False)
        for key in ('prefetch_factor', 'multiprocessing_context'):  # of such processes
            cfg[name].pop(key, None)
    if 'decode_head' not in cfg.model:  # a segmentor tests images of one size alone together
        for name in LOADERS[1:]:
            cfg[name].update(batch_size=TESTED_TOGETHER, batch_sampler=None)
    set_schedule(cfg, schedule, schedule.iterations // VALIDATIONS)
