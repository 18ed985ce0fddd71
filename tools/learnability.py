"""The old name of `tools/overfit.py`, for one release more."""

from vitdense.cli import main

if __name__ == '__main__':
    main('learnability')
