"""An image that cannot be read is named, and skipped where that was asked for."""

from multiprocessing import RawArray, Value
from pathlib import Path
from typing import Any

from ..console import display_path
from ..errors import RankError
from .dataset_wrapper import DatasetWrapper

UNREADABLE_FILE = 'unreadable.txt'


class UnreadableFile(RankError):
    """A sample's file cannot be read."""


class SkipUnreadable(DatasetWrapper):
    """A dataset that names a file that cannot be read, or skips its sample.

    Args:
        dataset: MMEngine's, with `get_data_info`, or around one.
        skips: how many such samples all data-loading workers together may replace by the next one; a sample
            that comes again counts once.
        folder: where `unreadable.txt` lists them.
    """

    OWN = DatasetWrapper.OWN | {'left', 'skipped', 'list'}

    def __init__(self, dataset: Any, skips: int = 0, folder: str | Path = '.'):
        super().__init__(dataset)
        if not hasattr(dataset, 'get_data_info') and hasattr(dataset, 'dataset'):
            # which images its samples are mixed of, as mosaics, only the dataset inside knows
            dataset.dataset = SkipUnreadable(dataset.dataset, skips, folder)
        self.left = Value('q', skips)
        self.skipped = RawArray('b', len(dataset) if skips else 0)
        self.list = Path(folder, UNREADABLE_FILE)

    def __getitem__(self, index: int) -> Any:
        """A sample.

        Raises:
            UnreadableFile: the file of the sample, and what is wrong with it.
        """
        while True:
            try:
                return self.dataset[index]
            except Exception as error:  # whatever the pipeline made of it
                if (damage := self._damage(index)) is None:
                    raise
                if not self._may_skip(index, damage):
                    raise UnreadableFile(damage) from error
            index = (index + 1) % len(self)

    def _damage(self, index: int) -> str | None:
        if not hasattr(self.dataset, 'get_data_info'):
            return None
        # late, because it imports MMDetection and MMSegmentation
        from .check.images import Damaged, attempt, label_map, picture_size

        info = self.dataset.get_data_info(index)
        for key, look in (('img_path', picture_size), ('seg_map_path', label_map)):
            if (path := info.get(key)) and isinstance(damaged := attempt(look, Path(path)), Damaged):
                return f'{display_path(path)}: cannot be read: {damaged.came}'
        return None

    def _may_skip(self, index: int, damage: str) -> bool:
        with self.left.get_lock():
            if len(self.skipped) and self.skipped[index]:
                return True
            if not self.left.value:
                return False
            self.left.value -= 1
            self.skipped[index] = True
            with self.list.open('a') as file:
                file.write(f'{damage}\n')
            return True
