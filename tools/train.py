"""Train: `python tools/train.py configs/retinanet_transcnn.py`, with `--sample` for the built-in images."""

from vitdense.cli import main

if __name__ == '__main__':
    main('train')
