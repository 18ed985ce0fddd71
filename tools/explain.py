"""Explain: `python tools/explain.py work_dirs/retinanet_transcnn photo.jpg folder/ --out out`."""

from vitdense.cli import main

if __name__ == '__main__':
    main('explain')
