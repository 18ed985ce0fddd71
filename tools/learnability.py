"""Does every config learn? `python tools/learnability.py configs/*.py` fits each to eight built-in images."""

from vitdense.cli import learnability

if __name__ == '__main__':
    learnability()
