"""Run exported files in the oldest runtimes that are supported, and compare them with those installed.

    PYTHONPATH=tests python tests/export/runtimes.py --folder DIR FILE.onnx FILE.xml …

Each runtime gets a virtual environment of its own in DIR, from the package index, without torch.
"""

import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch

from vitdense.export.compare import compare_found, compare_tensors, images_of
from vitdense.exported.model import ExportedFile
from vitdense.exported.runtimes import named

OLDEST = {'.onnx': ('onnxruntime', '1.20.1'), '.xml': ('openvino', '2025.0.0')}
SIZES = ((64, 64), (97, 130), (200, 320))
CHILD = """
import sys
import numpy as np

file, images, outputs = sys.argv[1:]
if file.endswith('.onnx'):
    import onnxruntime
    print(onnxruntime.__version__)
    session = onnxruntime.InferenceSession(file, providers=['CPUExecutionProvider'])
    run = lambda image: session.run(None, {'image': image})
else:
    import openvino
    print(openvino.__version__.split('-')[0])
    model = openvino.Core().compile_model(file, 'CPU', {'INFERENCE_PRECISION_HINT': 'f32'})
    run = lambda image: [model([image])[one] for one in model.outputs]
found = {}
for name, image in np.load(images).items():
    for number, output in enumerate(run(image)):
        found[f'{name} {number:03}'] = output
np.savez(outputs, **found)
"""


def compare(file: Path, folder: Path) -> str:
    """How far the oldest runtime is off, in words."""
    package, version = OLDEST[file.suffix]
    python = folder / f'{package}-{version}/bin/python'
    if not python.exists():
        subprocess.run([sys.executable, '-m', 'venv', python.parent.parent], check=True)
        packages = [f'{package}=={version}', 'numpy<2.3']
        subprocess.run([python, '-m', 'pip', 'install', '--quiet', *packages], check=True)
    images = {f'{size} {batch}': images_of(size, batch).numpy() for size in SIZES for batch in (1, 3)}
    np.savez(folder / 'images.npz', **images)
    words = [python, '-c', CHILD, file, folder / 'images.npz', folder / 'outputs.npz']
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True)
    if done.returncode:
        return f'{file.name}: {package} {version}: fails: {done.stderr.strip().splitlines()[-1]}'
    exported = ExportedFile.read(file)
    kind, names = exported.certificate.kind, exported.certificate.outputs
    outputs = np.load(folder / 'outputs.npz')
    differences = []
    for name, image in images.items():
        want = named(list(map(torch.from_numpy, exported.session.run(image))), names)
        own = [torch.from_numpy(outputs[key]) for key in sorted(outputs) if key.startswith(name)]
        got = named(own, names)
        found = compare_found(want, got, 0.05) if kind in ('boxes', 'masks') else compare_tensors(want, got)
        differences.append(found)
    worst = max(one.worst for one in differences)
    objects = sum(one.objects for one in differences)
    newest = f'{exported.session.runtime} {exported.session.version()}'
    matched = f', {objects} objects matched' if kind in ('boxes', 'masks') else ''
    oldest = f'{package} {done.stdout.strip()}'
    return f'{file.name}: {oldest} against {newest}: {worst:.1e} of the tolerance{matched}'


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument('--folder', type=Path, required=True)
    p.add_argument('files', nargs='+', type=Path)
    args = p.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    for file in args.files:
        print(compare(file, args.folder), flush=True)


if __name__ == '__main__':
    main()
