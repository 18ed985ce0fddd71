"""Convert annotations: `python tools/convert_data.py DIR OUT --to coco`, `yolo` or `label-maps`."""

from vitdense.cli import main

if __name__ == '__main__':
    main('convert_data')
