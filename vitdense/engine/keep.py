"""An old checkpoint goes once the new one is whole."""

from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner


class KeepHook(CheckpointHook):
    """MMEngine's hook, which removes an old checkpoint before it saves: a kill in between may cost the last.

    Here it may keep one more while it saves, and the surplus goes afterwards.
    """

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.kept = self.max_keep_ckpts
        if self.kept > 0:
            self.max_keep_ckpts += 1

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        super().after_train_iter(runner, batch_idx, data_batch, outputs)
        self._remove_surplus()

    def after_train_epoch(self, runner: Runner) -> None:
        super().after_train_epoch(runner)
        self._remove_surplus()

    def _remove_surplus(self) -> None:
        while 0 < self.kept < len(self.keep_ckpt_ids):
            path = self.file_backend.join_path(
                self.out_dir, self.filename_tmpl.format(self.keep_ckpt_ids.popleft())
            )
            if is_main_process() and self.file_backend.isfile(path):
                self.file_backend.remove(path)
