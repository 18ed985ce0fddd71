"""Can every config fit eight built-in images? `python tools/overfit.py configs/*.py`."""

from vitdense.cli import main

if __name__ == '__main__':
    main('overfit')
