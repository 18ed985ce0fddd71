"""The commands: `vitdense COMMAND …`, and `python tools/COMMAND.py …` in a clone.

Each module holds one command, `main`, and its arguments; what a command needs is imported when it runs.
"""

import sys
from importlib import import_module

from ..threads import wait_briefly

COMMANDS = {
    'train': 'train a detector or a segmentor',
    'test': 'score a checkpoint',
    'predict': 'predict on images and videos',
    'explain': 'draw what a model attends to, and how far it sees',
    'report': 'make the page of a run again, and its model card',
    'compare': 'compare runs on one page',
    'study': 'train configs alike, and say which one to take',
    'check_data': 'check the files of a dataset before a run',
    'complexity': 'count parameters and multiply-adds',
    'benchmark': 'measure times and memory',
    'overfit': 'check that configs can fit eight images',
    'export': 'export a model to ONNX, OpenVINO or torch, with the proof that it computes the same',
    'convert': 'convert a checkpoint to safetensors',
    'convert_data': 'convert annotations to COCO, YOLO or label maps',
    'run': 'run a script of MMDetection or MMSegmentation',
    'configs': 'list the configs, or copy them to a folder',
}
RENAMED = {'learnability': 'overfit'}  # old names, which work for one release more


def main(command: str | None = None) -> None:
    """Run a command, by default the one that the first argument names."""
    wait_briefly()
    if command is None:
        import argparse

        lines = '\n'.join(f'  {name:<14}{what}' for name, what in COMMANDS.items())
        p = argparse.ArgumentParser(
            prog='vitdense',
            usage='vitdense COMMAND …',
            description='Light vision transformers as detectors and segmentors.',
            epilog=f'commands:\n{lines}\n\n`vitdense COMMAND --help` lists the arguments of one.',
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        p.add_argument('command', choices=[*COMMANDS, *RENAMED], metavar='COMMAND', help=argparse.SUPPRESS)
        command = p.parse_args(sys.argv[1:2]).command
        sys.argv[:2] = [f'vitdense {command}']
    if command in RENAMED:
        print(f'warning: {command} is now called {RENAMED[command]}', file=sys.stderr)
        command = RENAMED[command]
    import_module(f'{__name__}.{command}').main()
