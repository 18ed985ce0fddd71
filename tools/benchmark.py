"""How fast? `python tools/benchmark.py TransCNN:small VVT:small resnet50 swin_t --size 768 1280`."""

from vitdense.cli import main

if __name__ == '__main__':
    main('benchmark')
