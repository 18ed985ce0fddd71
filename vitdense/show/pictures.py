"""Two pictures at the end of a run: its curves, and the model's predictions beside the ground truth."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use('Agg')  # a run has no display

import mmcv
import torch
import torch.nn.functional as F
from matplotlib import font_manager
from matplotlib import pyplot as plt
from mmengine.runner import Runner
from mmengine.structures import BaseDataElement
from torch import Tensor
from torchvision.ops import nms
from torchvision.utils import draw_bounding_boxes, draw_segmentation_masks

from ..data.dataset import classes_of, leaf_datasets
from ..engine.processes import unwrapped

IMAGES = 6
SIDE = 384  # pixels of the longer side of a drawn image
SCORE = 0.4  # predictions below are not drawn
SCORE_OF_REGIONS = 0.7  # nor these of a softmax over regions, which is surer of itself than a focal loss
OVERLAP = 0.5  # of two predictions that overlap more, whatever their classes, the better one is drawn


def draw_curves(work_dir: str | Path, path: str | Path) -> None:
    """Losses, learning rate and scores over the iterations of every run in a work dir, as one picture."""
    train, scores = _records(Path(work_dir))
    figure, (top, middle, bottom) = plt.subplots(3, figsize=(8, 8), sharex=True, height_ratios=(3, 1, 2))
    steps = sorted(train)
    names = [name for name in train[steps[-1]] if 'loss' in name] if steps else []
    for name in sorted(names, key=lambda name: name != 'loss'):
        style = dict(color='black', linewidth=2) if name == 'loss' else dict(linewidth=1.2)
        label = 'sum' if name == 'loss' else name.removeprefix('loss_')
        top.plot(steps, [train[step].get(name) for step in steps], label=label, **style)
    top.set(ylabel='loss', ylim=(0, None))
    top.legend(frameon=False, ncols=3)
    middle.plot(steps, [train[step]['lr'] for step in steps], color='tab:gray')
    middle.set(ylabel='learning rate', ylim=(0, None))
    steps = sorted(scores)
    for name in _headline(scores[steps[-1]]) if steps else []:
        values = [scores[step].get(name) for step in steps]
        bottom.plot(steps, values, marker='o', label=name.split('/')[-1].replace('_', ' '))
    if steps:
        bottom.legend(frameon=False, ncols=3)
    bottom.set(ylabel='validation score', xlabel='iteration', ylim=(0, None))
    for axes in (top, middle, bottom):
        axes.spines[['top', 'right']].set_visible(False)
        axes.grid(alpha=0.25)
    figure.align_ylabels()
    figure.tight_layout()
    figure.savefig(path, dpi=150)
    plt.close(figure)


def draw_predictions(runner: Runner, dataset: Any, path: str | Path) -> None:
    """Images spread over a dataset, the ground truth on the left, the prediction on the right."""
    count = min(IMAGES, len(dataset))
    indices = [i * len(dataset) // count for i in range(count)]
    model = unwrapped(runner)
    model.eval()
    least = SCORE_OF_REGIONS if hasattr(model, 'roi_head') else SCORE
    classes = classes_of(dataset)
    palette = _palette(leaf_datasets(dataset)[0].metainfo.get('palette'), len(classes))
    columns = min(3, count)
    rows = -(-count // columns)
    figure, axes = plt.subplots(rows, 2 * columns, figsize=(4 * columns, 2.15 * rows), squeeze=False)
    for ax in axes.flat:
        ax.axis('off')
    for position, index in enumerate(indices):
        item = dataset[index]
        with torch.no_grad():
            batch = dict(inputs=[item['inputs']], data_samples=[item['data_samples']])
            sample = model.test_step(batch)[0].cpu()
        # the file's own pixels: what the answers are in, whatever the pipeline did to the input
        image = torch.from_numpy(mmcv.imread(sample.img_path, channel_order='rgb')).permute(2, 0, 1)
        pair = axes[position // columns, 2 * (position % columns) :]
        for ax, title, answer in zip(
            pair, ('ground truth', 'prediction'), _answers(sample, least), strict=False
        ):
            ax.imshow(_drawn(image, answer, classes, palette).permute(1, 2, 0))
            if position < columns:
                ax.set_title(title, fontsize=11)
    figure.tight_layout(pad=0.4)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def _records(work_dir: Path) -> tuple[dict[int, dict], dict[int, dict]]:
    """Training and validation scalars by iteration; where a resumed run repeats one, the later run counts."""
    train: dict[int, dict] = {}
    scores: dict[int, dict] = {}
    for file in sorted(work_dir.glob('*/vis_data/scalars.json')):
        last = 0
        for record in _whole_lines(file):
            if 'loss' in record:
                last = record['step']
                train[last] = record
            elif any('/' in key or key == 'mIoU' for key in record):
                # MMEngine counts the validations of an epoch-based run in epochs: fewer than the iterations
                scores[max(record['step'], last)] = record
    return train, scores


def _whole_lines(file: Path) -> Iterator[dict]:
    """Not the one that a full disk or a loss of power has cut."""
    for line in file.read_text(errors='replace').splitlines():
        with contextlib.suppress(json.JSONDecodeError):
            yield json.loads(line)


def _palette(own: Any, classes: int) -> list[tuple[int, int, int]]:
    """The dataset's colours, or where it names none or too few, others."""
    if isinstance(own, (list, tuple)) and len(own) >= classes:
        return [tuple(colour) for colour in own]
    colours = plt.get_cmap('tab20').colors  # type: ignore[attr-defined]  # of a listed colour map
    return [tuple(round(255 * part) for part in colours[i % len(colours)]) for i in range(classes)]


def _headline(record: dict) -> list[str]:
    """The scores worth a curve: mAP and mAP at IoU 0.5, or mIoU."""
    return [name for name in record if name.endswith(('mAP', 'mAP_50', 'mIoU'))]


def _answers(sample: BaseDataElement, least: float) -> Iterator[BaseDataElement]:
    """The ground truth and the prediction of a sample: instances of at least a score, or a label map."""
    if 'pred_sem_seg' in sample:
        yield sample.gt_sem_seg
        yield sample.pred_sem_seg
    else:
        yield sample.gt_instances
        found = sample.pred_instances[sample.pred_instances.scores >= least]
        yield found[nms(found.bboxes, found.scores, OVERLAP)]


def _drawn(image: Tensor, answer: Any, classes: Any, palette: Any) -> Tensor:
    """An image (3, H, W), enlarged, with an answer on it: uint8 (3, H', W')."""
    enlarge = SIDE / max(image.shape[-2:])
    size = [round(side * enlarge) for side in image.shape[-2:]]
    canvas = F.interpolate(image[None].float(), size, mode='bicubic').round().clamp(0, 255).byte()[0]
    colours = list(palette)
    if 'data' in answer:  # as MMSegmentation calls a label map
        labels = F.interpolate(answer.data[None].float(), size, mode='nearest')[0, 0]
        masks = torch.stack([labels == index for index in range(len(classes))])
        return draw_segmentation_masks(canvas, masks, alpha=0.6, colors=colours)
    if len(answer) == 0:
        return canvas
    own = [colours[label] for label in answer.labels.tolist()]
    if (found := getattr(answer, 'masks', None)) is not None:
        # MMDetection's, of the ground truth
        masks = found if isinstance(found, Tensor) else found.to_tensor(torch.bool, 'cpu')
        masks = F.interpolate(masks[:, None].float(), size, mode='nearest')[:, 0] > 0
        masks &= masks.cumsum(0) == 1  # a pixel belongs to the surest of those that claim it
        canvas = draw_segmentation_masks(canvas, masks, alpha=0.5, colors=own)
    boxes = torch.as_tensor(getattr(answer.bboxes, 'tensor', answer.bboxes)).float()
    names = [classes[label] for label in answer.labels.tolist()]
    if 'scores' in answer:
        names = [f'{name} {score:.2f}' for name, score in zip(names, answer.scores.tolist(), strict=True)]
    return draw_bounding_boxes(
        canvas,
        boxes * enlarge,
        labels=names,
        colors=own,
        width=3,
        font=font_manager.findfont('DejaVu Sans'),
        font_size=17,
        label_colors='white',
        fill_labels=True,
    )
