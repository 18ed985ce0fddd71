"""Batch norms folded before a test: nothing changes but the time."""

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from ..backbones.pyramid import Pyramid


class FuseHook(Hook):
    """Fuses a backbone of ours, once its checkpoint is loaded."""

    def before_test(self, runner: Runner) -> None:
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        if isinstance(model.backbone, Pyramid):
            model.backbone.fuse()
