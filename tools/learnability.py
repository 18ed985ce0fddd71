"""Does every config learn? `python tools/learnability.py configs/*.py` fits each to eight built-in images."""

from vitdense.learnability import main

if __name__ == '__main__':
    main()
