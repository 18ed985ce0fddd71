"""A file that cannot be read is named; and left out, if that was asked for."""

from multiprocessing import RawArray, Value
from pathlib import Path
from typing import Any

from ..console import shown
from ..errors import OwnError
from .dataset_wrapper import Around

RECORD = 'unreadable.txt'


class Unreadable(OwnError):
    """A sample's file cannot be read."""


class Readable(Around):
    """A dataset that names the file that it stumbles over.

    Args:
        dataset: MMEngine's, with `get_data_info`.
        skips: for so many such samples, by all loading processes together, the next one comes in their place;
            a sample that comes again counts once.
        folder: where their names are written down.
    """

    def __init__(self, dataset: Any, skips: int = 0, folder: str | Path = '.'):
        super().__init__(dataset)
        self.left = Value('q', skips)
        self.skipped = RawArray('b', len(dataset) if skips else 0)
        self.record = Path(folder, RECORD)

    def __getitem__(self, index: int) -> Any:
        """A sample.

        Raises:
            Unreadable: what is wrong with its file, where a file is at fault.
        """
        while True:
            try:
                return self.dataset[index]
            except Exception as error:  # whatever the pipeline made of it
                if (what := self._damage(index)) is None:
                    raise
                if not self._may_skip(index, what):
                    raise Unreadable(what) from error
            index = (index + 1) % len(self)

    def _damage(self, index: int) -> str | None:
        if not hasattr(self.dataset, 'get_data_info'):
            return None
        # here, because it brings the libraries along
        from .check.images import Damaged, attempt, label_map, picture_size

        info = self.dataset.get_data_info(index)
        for key, look in (('img_path', picture_size), ('seg_map_path', label_map)):
            if (path := info.get(key)) and isinstance(damaged := attempt(look, Path(path)), Damaged):
                return f'{shown(path)}: cannot be read: {damaged.came}'
        return None

    def _may_skip(self, index: int, what: str) -> bool:
        with self.left.get_lock():
            if len(self.skipped) and self.skipped[index]:
                return True
            if not self.left.value:
                return False
            self.left.value -= 1
            self.skipped[index] = True
            with self.record.open('a') as file:
                file.write(f'{what}\n')
            return True
