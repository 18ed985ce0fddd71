"""Export and certify every config, and print the table of docs/export.md.

    PYTHONPATH=tests python tests/export/all_configs.py --folder DIR [--larger] [NAME …]

Weights are random, but sure of what they find (`sure.py`), so that there are objects to match. Files are
deleted once they are certified. A config that has its lines in DIR/NAME.json is not exported again: a run
that was stopped goes on. `--larger` takes one of the larger variants of each backbone, RetinaNet's.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from small import HEADS

LARGER = dict(transcnn='small', hatnet='small', vvt='medium', pit='s', supervit='deit_s', dualtoken_vit='s')
LARGEST = dict(mask_rcnn=320)  # pixels of the longer side; others 640


def export(name: str, arch: str | None) -> list[dict]:
    """The files of a config, as lines of the table."""
    import torch
    from sure import make_sure

    import vitdense
    from vitdense.config.bundled import bundled_config
    from vitdense.config.read import load_config
    from vitdense.config.variant import set_arch
    from vitdense.console import quiet
    from vitdense.errors import UserError
    from vitdense.export.choice import Wanted
    from vitdense.export.files import size_of
    from vitdense.export.run import Export

    lines = []
    with tempfile.TemporaryDirectory() as folder, quiet():
        config = Path(bundled_config(name))
        if arch:
            cfg = load_config(config)
            set_arch(cfg, arch)
            config = Path(folder, f'{name}.py')
            config.write_text(cfg.pretty_text)
        predictor = vitdense.load(config)
        make_sure(predictor.model, 0.1)
        torch.manual_seed(0)
        start = time.monotonic()
        one = dict(config=name, arch=predictor.cfg.model.backbone.arch)
        try:
            largest = LARGEST.get(name[:9], 640)
            wanted = Wanted(('onnx', 'openvino'), name.startswith('retinanet'), largest=largest)
            export = Export(predictor, None, wanted)
            for file in export.write(Path(folder)):
                certified = export.certified(file, None, None, 0)
                certificate = certified.certificate
                lines.append(
                    dict(
                        one,
                        file=file.suffix,
                        bytes=size_of(file),
                        comparisons=len(certificate.comparisons),
                        objects=sum(each['objects'] for each in certificate.comparisons),
                        kind=certificate.kind,
                        worst=certificate.worst,
                        seconds=certificate.seconds,
                        versions=certificate.versions,
                        took=time.monotonic() - start,
                    )
                )
                start = time.monotonic()
        except UserError as error:
            lines.append(dict(one, refused=str(error)))
    return lines


def table(lines: list[dict]) -> str:
    """A row for each config."""
    rows = [
        '| Config | Variant | ONNX, MB | worst difference | OpenVINO, MB | worst difference | objects |',
        '|---|---|---:|---:|---:|---:|---:|',
    ]
    for name in dict.fromkeys(line['config'] for line in lines):
        own = [line for line in lines if line['config'] == name]
        files = {line['file']: line for line in own if 'file' in line}
        refused = next((line['refused'] for line in own if 'refused' in line), '')
        cells = [name, own[0]['arch']]
        for suffix in ('.onnx', '.xml'):
            one = files.get(suffix)
            unit = 'of the tolerance' if one and one['kind'] in ('boxes', 'masks') else 'std'
            cells += [f'{one["bytes"] / 1e6:.0f}', f'{one["worst"]:.1e} {unit}'] if one else ['–', refused]
        found = [line['objects'] for line in files.values() if line['objects']]
        rows.append(f'| {" | ".join([*cells, " and ".join(map(str, found)) or "–"])} |')
    return '\n'.join(rows)


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument('--folder', type=Path, required=True)
    p.add_argument('--larger', action='store_true')
    p.add_argument('--one', help=argparse.SUPPRESS)
    p.add_argument('names', nargs='*')
    args = p.parse_args()
    if args.one:
        variants = [arch for backbone, arch in LARGER.items() if args.one.endswith(f'_{backbone}')]
        found = export(args.one, variants[0] if args.larger else None)
        (args.folder / f'{args.one}.json').write_text(json.dumps(found))
        return
    args.folder.mkdir(parents=True, exist_ok=True)
    heads = ['retinanet'] if args.larger else HEADS
    names = args.names or [f'{head}_{backbone}' for head in heads for backbone in LARGER]
    lines = []
    for name in names:
        file = args.folder / f'{name}.json'
        if not file.is_file():
            words = [
                sys.executable,
                __file__,
                '--folder',
                args.folder,
                '--one',
                name,
                *['--larger'] * args.larger,
            ]
            done = subprocess.run(list(map(str, words)), capture_output=True, text=True)
            if done.returncode:
                file.write_text(json.dumps([dict(config=name, arch='', refused=done.stderr[-300:])]))
        lines += json.loads(file.read_text())
        print(name, flush=True)
    print(table(lines))


if __name__ == '__main__':
    main()
