"""Batch norms folded before a test: nothing changes but the time."""

from mmengine.hooks import Hook
from mmengine.runner import Runner

from ..backbones.pyramid import Pyramid
from .unwrap import unwrapped


class FuseHook(Hook):
    """Fuses a backbone of ours, once its checkpoint is loaded."""

    def before_test(self, runner: Runner) -> None:
        model = unwrapped(runner)
        if isinstance(model.backbone, Pyramid):
            model.backbone.fuse()
