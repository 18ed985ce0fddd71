"""Check the data before a run: `python tools/check_data.py configs/retinanet_transcnn.py --data-root DIR`."""

from vitdense.cli import check_data

if __name__ == '__main__':
    check_data()
