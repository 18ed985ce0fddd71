"""`--augment`: what a training of few images draws at random.

Transforms of MMDetection and MMSegmentation take the place of all that a config's pipeline does between
loading and packing.
"""

from collections.abc import Sequence
from typing import Any

from mmengine.config import Config

from ..config.tree import dicts, innermost, name_of
from ..errors import UserError
from .own_sizes import pair

GREY = 114  # behind a mosaic and a padded image, as in YOLO
LARGE_SCALE = (0.1, 2.0)  # of large-scale jitter (Ghiasi et al., CVPR 2021, section 3)

# Of these modules, by full name: a class that is assigned to a config is not dumped as text that reloads.
CV, DET, SEG = 'mmcv.transforms', 'mmdet.datasets.transforms', 'mmseg.datasets.transforms'


def augment(cfg: Config, kind: str, portrait: bool = False) -> str:
    """Put such transforms in place of the training's own, in place; what they are.

    Args:
        cfg: on its data, with the final image sizes.
        kind: 'light' or 'strong'.
        portrait: whether most images are higher than wide; canvases are then, too.

    Raises:
        UserError: the pipeline is of a kind that has no place for them.
    """
    holder, dataset = innermost(cfg.train_dataloader)
    steps = dataset.get('pipeline') or []
    loads = [step for step in steps if name_of(step).startswith('Load')]
    packs = [step for step in steps[-1:] if name_of(step).startswith('Pack')]
    scales = [part['scale'] for part in dicts(cfg.val_dataloader) if 'scale' in part]
    if not (loads and packs and scales):
        raise UserError(
            f'--augment {kind}: expected a training pipeline from a Load… to a Pack…, and a validation '
            f'with a `scale`; the training has {", ".join(map(name_of, steps)) or "none"}'
        )
    scale = pair(scales[0])
    for load in loads:
        load.pop('to_float32', None)  # colours are drawn of whole numbers
    if hooks := cfg.get('custom_hooks'):  # what they would switch to is no longer the training's
        cfg.custom_hooks = [hook for hook in hooks if 'switch_pipeline' not in hook]
    if 'decode_head' in cfg.model:
        crops = [part['crop_size'] for part in dicts(steps) if 'crop_size' in part]
        drawn, said = _label_maps(kind, scale, pair(crops[0]) if crops else (min(scale), min(scale)))
        dataset['pipeline'] = [*loads, *drawn, *packs]
        return said
    masks = any(step.get('with_mask') for step in loads)
    canvas = (min(scale), max(scale)) if portrait else (max(scale), min(scale))
    inner, outer, said = _masks(kind, scale, canvas, loads) if masks else _boxes(kind, scale, canvas)
    if outer:
        holder['dataset'] = dict(
            type='mmdet.datasets.MultiImageMixDataset',
            dataset=dict(dataset, pipeline=[*loads, *inner]),
            pipeline=[*outer, *packs],
        )
    else:
        dataset['pipeline'] = [*loads, *inner, *packs]
    return said


def _resize(scale: Sequence[int], ratios: tuple[float, float]) -> dict[str, Any]:
    return dict(type=f'{CV}.RandomResize', scale=scale, ratio_range=ratios, keep_ratio=True)


def _colour(much: int) -> dict[str, Any]:
    """Hue by at most 10°: on few images it may be what tells classes apart. Of an image as it was loaded."""
    return dict(type=f'{DET}.YOLOXHSVRandomAug', saturation_delta=much, value_delta=much)


def _boxes(kind: str, scale: Sequence[int], canvas: tuple[int, int]) -> tuple[list[dict], list[dict], str]:
    """What is drawn for one image, what for several together on a canvas (W, H), and in words."""
    flip = dict(type=f'{DET}.RandomFlip', prob=0.5)
    if kind == 'light':
        steps = [_colour(30), _resize(scale, (0.75, 1.25)), flip]
        return steps, [], 'light: scale 0.75 to 1.25, flips, colours'
    return (
        [_colour(60)],
        [
            # in half of the cases: what is never seen whole is not found whole
            dict(type=f'{DET}.Mosaic', img_scale=canvas, pad_val=GREY, prob=0.5),
            _resize(scale, (0.5, 1.5)),
            flip,
            dict(type=f'{DET}.FilterAnnotations', min_gt_bbox_wh=(2, 2), keep_empty=False),
        ],
        'strong: half of the samples mosaics of four images, scale 0.5 to 1.5, flips, colours',
    )


def _masks(
    kind: str, scale: Sequence[int], canvas: tuple[int, int], loads: list[dict]
) -> tuple[list[dict], list[dict], str]:
    if kind == 'light':
        return _boxes(kind, scale, canvas)
    flip = dict(type=f'{DET}.RandomFlip', prob=0.5)
    crop = dict(  # of a width and a height, as canvas
        type=f'{DET}.RandomCrop', crop_size=canvas, recompute_bbox=True, allow_negative_crop=True
    )
    pad = dict(type=f'{DET}.Pad', size=canvas, pad_val=dict(img=(GREY, GREY, GREY)))
    for load in loads:
        if 'poly2mask' in load:
            load['poly2mask'] = True  # CopyPaste takes nothing else
    return (
        [_colour(60), _resize(scale, LARGE_SCALE), crop, pad, flip],
        [
            dict(type=f'{DET}.CopyPaste', max_num_pasted=20),
            dict(type=f'{DET}.FilterAnnotations', min_gt_bbox_wh=(2, 2), by_mask=True, keep_empty=False),
        ],
        'strong: large-scale jitter 0.1 to 2, objects pasted from another image, flips, colours',
    )


def _label_maps(kind: str, scale: Sequence[int], crop: Sequence[int]) -> tuple[list[dict], str]:
    strong = kind == 'strong'
    ratios = (0.5, 2.0) if strong else (0.75, 1.25)
    turn = dict(type=f'{SEG}.RandomRotate', prob=0.5, degree=20, seg_pad_val=255)
    steps = [
        _resize(scale, ratios),
        *([turn] if strong else []),
        dict(type=f'{SEG}.RandomCrop', crop_size=crop, cat_max_ratio=0.75),
        dict(type=f'{CV}.RandomFlip', prob=0.5),
        dict(type=f'{SEG}.PhotoMetricDistortion'),
    ]
    turns = 'turns by 20°, ' if strong else ''
    return steps, f'{kind}: scale {ratios[0]:g} to {ratios[1]:g}, {turns}crops, flips, colours'
