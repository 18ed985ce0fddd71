"""Study: `python tools/study.py retinanet_transcnn retinanet_pit --sample`."""

from vitdense.cli import main

if __name__ == '__main__':
    main('study')
