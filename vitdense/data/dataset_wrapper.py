"""A dataset around another, which is that other in everything but its samples."""

from typing import Any

from torch.utils.data import Dataset


class DatasetWrapper(Dataset):
    """Attributes that a subclass does not have are those of the dataset inside."""

    def __init__(self, dataset: Any):
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getattr__(self, name: str) -> Any:
        if name.startswith('__') or name == 'dataset':  # while it is unpickled
            raise AttributeError(name)
        return getattr(self.dataset, name)

    def __deepcopy__(self, memo: dict) -> 'DatasetWrapper':
        """Itself: MMEngine copies the config that it builds a loader from, and the dataset may be large."""
        return self
