"""The weights with the best score are kept, also where a config does not ask for it."""

from mmengine.config import Config

from ..config.tree import dicts, name_of


def keep_best(cfg: Config) -> None:
    """Give a config's checkpoint hook a `save_best`, in place, where it says nothing of one.

    A segmentor has mIoU, whose first score is the accuracy of all pixels; others have 'auto', their first
    score. The greater is the better: MMEngine guesses that from a score's name, and fails at a name that it
    does not know.
    """
    if not cfg.get('val_dataloader'):
        return
    hooks = dict(cfg.get('default_hooks') or {})
    hook = hooks.get('checkpoint', dict(type='CheckpointHook', interval=1))  # MMEngine's own
    if isinstance(hook, dict) and 'save_best' not in hook:
        hooks['checkpoint'] = dict(dict(rule='greater'), **hook, save_best=_headline(cfg))
        cfg.default_hooks = hooks


def _headline(cfg: Config) -> str:
    for metric in dicts(cfg.get('val_evaluator')):
        if name_of(metric) == 'IoUMetric' and 'mIoU' in metric.get('iou_metrics', ['mIoU']):
            return f'{metric["prefix"]}/mIoU' if metric.get('prefix') else 'mIoU'
    return 'auto'
