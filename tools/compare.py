"""Compare: `python tools/compare.py work_dirs/retinanet_transcnn work_dirs/retinanet_pit`."""

from vitdense.cli import main

if __name__ == '__main__':
    main('compare')
