"""What models cost, by part: `python tools/complexity.py configs/*_transcnn.py --stages`; needs no data."""

from vitdense.cli import main

if __name__ == '__main__':
    main('complexity')
