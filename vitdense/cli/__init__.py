"""The tools' commands: each file holds one, its arguments first."""

from .benchmark import benchmark
from .check_data import check_data
from .complexity import complexity
from .convert import convert
from .learnability import learnability
from .test import test
from .train import train

__all__ = ['benchmark', 'check_data', 'complexity', 'convert', 'learnability', 'test', 'train']
