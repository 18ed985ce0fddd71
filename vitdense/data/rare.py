"""What few images or few pixels show: images of rare classes come more often, rare labels weigh more."""

import math
from collections import Counter
from statistics import median

from mmengine.config import Config

from ..config.tree import innermost
from ..findings import first_few
from .formats.records import Annotations

RARE = 0.25  # of the images, or pixels, of a usual class
MOST = 10.0  # times that a label weighs what the usual one does, or the other way round


def frequencies(found: Annotations) -> dict[str, float]:
    """The share of the images that trains which have each class; of label maps, the share of the pixels."""
    if found.is_label_maps:
        pixels = found.pixel_counts()
        return {name: count / max(1, pixels.total()) for name, count in pixels.items()}
    images = found.splits.get('train', [])
    counts = Counter(label for record in images for label in {one.label for one in record.instances})
    return {name: counts[label] / max(1, len(images)) for label, name in enumerate(found.classes)}


def usual_share(shares: dict[str, float]) -> float:
    """The median of the classes that occur."""
    present = [share for share in shares.values() if share]
    return median(present) if present else 0.0


def rare_classes(shares: dict[str, float]) -> list[str]:
    """Classes that occur, and seldom, of `frequencies`."""
    usual = usual_share(shares)
    return [name for name, share in shares.items() if 0 < share < RARE * usual]


def even_out(cfg: Config, found: Annotations) -> tuple[str, int]:
    """Train more on rare classes, in place: what to say about it, and how many images an epoch has then.

    Images with a rare class are repeated by the square root of how much rarer they are (Gupta et al., CVPR
    2019, section 4.3); labels weigh by the square root of median-frequency balancing (Eigen & Fergus, ICCV
    2015, section 6.3.2).
    """
    images, shares = len(found.splits['train']), frequencies(found)
    rare, usual = rare_classes(shares), usual_share(shares)
    if not rare:
        return '', images
    if found.is_label_maps:
        from .class_weights import set_class_weights  # of MMSegmentation, which detectors do not need

        weights = [
            round(min(MOST, max(1 / MOST, math.sqrt(usual / share))), 3) if share else 1.0
            for share in shares.values()
        ]
        if not set_class_weights(cfg, weights):
            return '', images
        named = (f'{name} × {weight:g}' for name, weight in zip(shares, weights, strict=True))
        return f'rare: {first_few(rare)}; in the loss {first_few(named, 12)}', images
    if any('switch_pipeline' in hook for hook in cfg.get('custom_hooks') or ()):
        return (
            f'rare: {first_few(rare)}; not repeated, as PipelineSwitchHook changes the dataset itself',
            images,
        )
    least = RARE * usual
    holder, dataset = innermost(cfg.train_dataloader)
    holder['dataset'] = dict(
        type='mmengine.dataset.ClassBalancedDataset', oversample_thr=least, dataset=dataset
    )
    repeats = [math.ceil(max(1.0, math.sqrt(least / share))) if share else 1 for share in shares.values()]
    times = [
        max((repeats[one.label] for one in record.instances), default=1) for record in found.splits['train']
    ]
    more = sum(count > 1 for count in times)
    return (
        f'rare: {first_few(rare)}; {more} images with them come up to {max(times)} times an epoch',
        sum(times),
    )
