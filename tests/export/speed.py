"""Time the runtimes on one processor, for the table of docs/benchmarks.md.

    PYTHONPATH=tests python tests/export/speed.py --folder DIR --prepare   # files, also beside other work
    PYTHONPATH=tests python tests/export/speed.py --folder DIR             # times, on a machine that is quiet

Six backbones alone, and the heads on TransCNN, with random weights: in eager torch, compiled, in ONNX
Runtime, in OpenVINO in float32, bfloat16 and int8. All of a model are timed in turns.
"""

import argparse
import json
import subprocess
import sys
from functools import partial
from pathlib import Path

import torch
from small import HEADS
from sure import make_sure

BACKBONES = ('transcnn', 'hatnet', 'vvt', 'pit', 'supervit', 'dualtoken_vit')
NAMES = [f'backbone_{one}' for one in BACKBONES] + [f'{one}_transcnn' for one in HEADS]
SIZES = ((320, 320), (512, 512))
ROUNDS = 7
COLUMNS = ('torch', 'compiled', 'ONNX Runtime', 'OpenVINO', 'OpenVINO, bfloat16', 'OpenVINO, int8')


def export_of(name: str):
    """The model on its way to files, sure of what it finds."""
    import vitdense
    from vitdense.console import quiet
    from vitdense.export.choice import Wanted
    from vitdense.export.run import Export

    head, _, backbone = name.rpartition('_') if name in NAMES[6:] else ('backbone', '', name[9:])
    config = f'retinanet_{backbone}' if head == 'backbone' else name
    with quiet():
        predictor = vitdense.load(config)
    make_sure(predictor.model)
    return Export(predictor, None, Wanted(('onnx', 'openvino'), True, head == 'backbone', largest=320))


def prepare(name: str, folder: Path) -> None:
    """Its files, uncertified: here they are timed."""
    from vitdense.export.compare import images_of
    from vitdense.export.quantize import quantized
    from vitdense.export.write import to_onnx, trace, write_onnx, write_openvino

    export = export_of(name)
    write_onnx(to_onnx(trace(export.graph, None), export.graph.names, 18), folder / f'{name}.onnx')
    write_openvino(folder / f'{name}.onnx', folder / f'{name}.xml')
    images = [images_of(size, 1).numpy() for size in ((128, 128), (160, 128), (320, 320))]
    quantized(folder / f'{name}.xml', images, folder / f'{name}-int8.xml')


def time_all(name: str, folder: Path, compiled: bool) -> None:
    """Milliseconds of one image of each size, by column."""
    from vitdense.benchmark.timing import time_in_turns
    from vitdense.export.compare import images_of
    from vitdense.exported.runtimes import open_session
    from vitdense.memory import keep_freed_memory

    keep_freed_memory()
    export = export_of(name)
    model = export.predictor.model
    model.backbone.fuse()
    sessions = {
        'ONNX Runtime': open_session(folder / f'{name}.onnx'),
        'OpenVINO': open_session(folder / f'{name}.xml'),
        'OpenVINO, bfloat16': open_session(folder / f'{name}.xml', 'bfloat16'),
        'OpenVINO, int8': open_session(folder / f'{name}-int8.xml'),
    }
    found = {}
    for size in SIZES:
        image = images_of(size, 1)
        runs = {'torch': partial(export.eager, image)}
        if compiled and not name.startswith('mask_rcnn'):  # whose two suppressions it does not take
            runs['compiled'] = partial(torch.compile(export.eager, dynamic=False), image)
        runs |= {column: partial(session.run, image.numpy()) for column, session in sessions.items()}
        with torch.no_grad():
            times = time_in_turns(runs, ROUNDS, torch.device('cpu'))
        found[f'{size[0]} × {size[1]}'] = {column: 1e3 * one.median for column, one in times.items()}
    (folder / f'{name}.json').write_text(json.dumps(found))


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument('--folder', type=Path, required=True)
    p.add_argument('--prepare', action='store_true')
    p.add_argument('--compiled', action='store_true', help='torch.compile, too: minutes for each model')
    p.add_argument('--one', help=argparse.SUPPRESS)
    args = p.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    if args.one:
        if args.prepare:
            prepare(args.one, args.folder)
        else:
            time_all(args.one, args.folder, args.compiled)
        return
    for name in NAMES:
        done = args.folder / (f'{name}-int8.bin' if args.prepare else f'{name}.json')
        if not done.exists():
            words = [sys.executable, __file__, '--folder', args.folder, '--one', name]
            words += ['--prepare'] * args.prepare + ['--compiled'] * args.compiled
            subprocess.run(list(map(str, words)))
    print(f'| Model | Size | {" | ".join(COLUMNS)} |')
    print(f'|---|---|{"---:|" * len(COLUMNS)}')
    for name in NAMES:
        if (args.folder / f'{name}.json').exists():
            for size, times in json.loads((args.folder / f'{name}.json').read_text()).items():
                base = times['torch']
                cells = [f'{base:.0f} ms'] + [
                    f'{times[column] / base:.2f}' if column in times else '–' for column in COLUMNS[1:]
                ]
                print(f'| {name} | {size} | {" | ".join(cells)} |')


if __name__ == '__main__':
    main()
