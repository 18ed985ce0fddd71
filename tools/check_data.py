"""Check the data before a run: `python tools/check_data.py configs/retinanet_transcnn.py --data-root DIR`."""

from vitdense.cli import main

if __name__ == '__main__':
    main('check_data')
