"""An old `.pth` into safetensors: `python tools/convert.py OLD.pth NEW.safetensors`."""

from vitdense.cli import convert

if __name__ == '__main__':
    convert()
