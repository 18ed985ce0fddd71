"""Convert an old `.pth` to safetensors: `python tools/convert.py OLD.pth NEW.safetensors`."""

from vitdense.cli import main

if __name__ == '__main__':
    main('convert')
