"""Predict: `python tools/predict.py work_dirs/retinanet_transcnn photo.jpg folder/ clip.mp4 --out out`."""

from vitdense.cli import main

if __name__ == '__main__':
    main('predict')
