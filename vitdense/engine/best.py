"""The weights with the best score are kept, also where a config does not ask for it."""

from mmengine.config import Config


def keep_best(cfg: Config) -> None:
    """Give a config's checkpoint hook `save_best='auto'`, in place, where it says nothing of `save_best`.

    That is the first score of a validation, of which the greater is better: MMEngine guesses that from a
    score's name, and refuses a name that it does not know.
    """
    if not cfg.get('val_dataloader'):
        return
    if not cfg.get('default_hooks'):
        cfg.default_hooks = {}
    hook = cfg.default_hooks.setdefault('checkpoint', dict(type='CheckpointHook', interval=1))  # MMEngine's
    if isinstance(hook, dict) and 'save_best' not in hook:
        hook['save_best'] = 'auto'
        hook.setdefault('rule', 'greater')
