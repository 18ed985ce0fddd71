"""Score: `python tools/test.py configs/retinanet_transcnn.py work_dirs/retinanet_transcnn/epoch_12.pth`."""

from vitdense.cli import main

if __name__ == '__main__':
    main('test')
