"""Runs small enough to look at, and facts of runs that never ran."""

from small import MASKS, SEGMENTOR, workplace

from vitdense.report.facts import Evaluated, RunFacts

HEADS = {
    'boxes': None,
    'masks': MASKS,
    'labels': SEGMENTOR,
    'dilated': SEGMENTOR.replace('pspnet', 'deeplabv3').replace('PSPNet', 'DeepLabv3'),
}
SHORT = [
    'train_cfg.max_iters=4',
    'train_cfg.val_interval=2',
    'train_dataloader.batch_size=2',
    'train_dataloader.num_workers=0',
    'train_dataloader.persistent_workers=False',
    'val_dataloader.num_workers=0',
    'val_dataloader.persistent_workers=False',
    'val_dataloader.dataset.indices=6',
    'default_hooks.logger.interval=1',
    'default_hooks.checkpoint.interval=2',
]


def heads(folder):
    workplace(folder)
    for name, text in HEADS.items():
        (folder / f'{name}.py').write_text(text or (folder / 'tiny.py').read_text())
    return folder


def some_facts(**changes):
    """Of a detector that found something; nothing that a file or a folder would have to be there for."""
    facts = RunFacts(
        'small', 'small.py', 'vitdense train small.py', 1.8e9, total=40, iteration=40, written=1.8e9
    )
    facts.classes, facts.palette = ['boat', 'fish'], [[0, 0, 255], [255, 0, 0]]
    facts.seconds = dict(data=1.0, forward=2.0, backward=3.0, step=0.5, evaluation=1.5, other=2.0)
    facts.state, facts.pause = 'finished', 30.0
    facts.lines = [['model', 'RetinaNet on TransCNN'], ['device', 'cpu, 1 thread']]
    for name, value in changes.items():
        setattr(facts, name, value)
    return facts


def scored(score, **changes):
    """A validation with this AP, and as much of its first class."""
    rows = dict(boat=dict(objects=5, detections=9, AP=score), fish=dict(objects=3, detections=2, AP=0.5))
    values = {'coco/bbox_mAP': score, 'coco/bbox_mAP_50': score}
    words = dict(
        iteration=20, scores=values, monitored='coco/bbox_mAP', higher=True, per_class=dict(bbox=rows)
    )
    return Evaluated(**(words | dict(files={}, images=7) | changes))
