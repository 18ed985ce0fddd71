"""A dataset around another, which is that other in everything but its samples.

Hooks read from a loader's dataset and write to it: MMDetection's PipelineSwitchHook, for one, replaces its
pipeline. What they write has to reach the dataset that has the samples.
"""

from typing import Any, ClassVar

from torch.utils.data import Dataset


class DatasetWrapper(Dataset):
    """Attributes that a subclass does not name in `OWN` are read from and written to the dataset inside."""

    OWN: ClassVar[frozenset[str]] = frozenset({'dataset'})

    def __init__(self, dataset: Any):
        self.dataset = dataset

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self.OWN:
            super().__setattr__(name, value)
        else:
            setattr(self.dataset, name, value)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getattr__(self, name: str) -> Any:
        if name.startswith('__') or name == 'dataset':  # while it is unpickled
            raise AttributeError(name)
        return getattr(self.dataset, name)

    def __deepcopy__(self, memo: dict) -> 'DatasetWrapper':
        """Itself: MMEngine copies the config that it builds a loader from, and the dataset may be large."""
        return self
