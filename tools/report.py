"""Report: `python tools/report.py work_dirs/retinanet_transcnn --card`."""

from vitdense.cli import main

if __name__ == '__main__':
    main('report')
