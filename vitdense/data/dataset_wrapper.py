"""A dataset around another, which is that other in everything but its samples."""

from typing import Any

from torch.utils.data import Dataset


class Around(Dataset):
    """What a subclass does not say, the dataset inside does."""

    def __init__(self, dataset: Any):
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getattr__(self, name: str) -> Any:
        if name.startswith('__') or name == 'dataset':  # while it is unpickled
            raise AttributeError(name)
        return getattr(self.dataset, name)

    def __deepcopy__(self, memo: dict) -> 'Around':
        """Itself: MMEngine copies the config that it builds a loader from, and the dataset may be large."""
        return self
