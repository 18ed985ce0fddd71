"""Export: `python tools/export.py work_dirs/retinanet_transcnn --format onnx openvino`."""

from vitdense.cli import main

if __name__ == '__main__':
    main('export')
