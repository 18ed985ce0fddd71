"""`export`: a model as a file of another runtime, with the proof that it computes the same."""

import argparse
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UserError
from ..garbage import collected_later
from .command import add_data_options, make_parser, place_data, prepare, read_data, run
from .values import positive

if TYPE_CHECKING:
    from ..export.score import Data

FORMATS = ('onnx', 'openvino', 'pt2')
PRECISIONS = ('float32', 'bfloat16', 'int8')


def main() -> None:
    p = make_parser('Export a model, compare it with the eager one, and certify it.')
    p.add_argument('model', help='a checkpoint, the work dir of a training, or a config (random weights)')
    p.add_argument('--config', metavar='CONFIG', help='of a checkpoint that does not carry its own')
    p.add_argument(
        '--format', nargs='+', choices=FORMATS, default=['onnx'], help='one or more (default: onnx)'
    )
    p.add_argument(
        '--out', type=Path, metavar='DIR', help='where the files go (default: work_dirs/<config>-export)'
    )
    p.add_argument('--overwrite', action='store_true', help='replace files of the same names')
    p.add_argument(
        '--with-boxes', action='store_true', help='RetinaNet: boxes after NMS, not raw maps, from the graph'
    )
    p.add_argument('--backbone', action='store_true', help='the backbone alone: feature maps')
    p.add_argument(
        '--fixed', nargs=2, type=positive, metavar=('H', 'W'), help='for images of one size (default: any)'
    )
    p.add_argument(
        '--max-size',
        type=positive,
        metavar='N',
        help="certify up to N pixels of the longer side (default: the config's tests)",
    )
    p.add_argument('--precision', choices=PRECISIONS, default='float32', help='of its computation')
    p.add_argument(
        '--max-drop',
        type=float,
        default=0.01,
        metavar='S',
        help='bfloat16, int8: loss of score allowed (default: 0.01)',
    )
    p.add_argument('--opset', type=positive, default=18, metavar='N', help='of ONNX (default: 18)')
    p.add_argument('--sample', action='store_true', help='score it on the built-in drawn images')
    add_data_options(p)
    run(_export, p)


def _export(args: argparse.Namespace) -> None:
    with collected_later():
        from ..console import display_path, make_console, say
        from ..engine.work_dir import WORK_DIRS, trained_model
        from ..export.choice import Wanted
        from ..export.files import append_line, publish, refuse_existing, unfinished
        from ..export.requirements import check_installed
        from ..export.run import Export
        from ..exported.runtimes import is_exported
        from ..predict.load import load

    check_installed(args.format, args.precision, args.opset)
    if is_exported(args.model):
        raise UserError(f'{args.model}: is exported already; expected a checkpoint or a config')
    console = make_console()
    has_weights = not _is_config(args.model)
    source = trained_model(args.model) if has_weights else None
    if args.precision != 'float32' and (not source or args.backbone):
        raise UserError(f'--precision {args.precision}: needs a trained model, whose score it may cost')
    predictor = load(args.model, args.config, 'cpu')
    if predictor.cfg.get('amp'):
        raise UserError(f'amp={predictor.cfg.amp!r}: a file is compared with the model in float32')
    wanted = Wanted(
        tuple(dict.fromkeys(args.format)),
        args.with_boxes,
        args.backbone,
        tuple(args.fixed) if args.fixed else None,
        args.max_size,
        args.opset,
    )
    out = args.out or WORK_DIRS / f'{predictor.name}-export'
    suffix = ('-backbone' if args.backbone else '') + (
        '' if args.precision == 'float32' else f'-{args.precision}'
    )
    refuse_existing(out, predictor.name + suffix, wanted.formats, args.overwrite)
    weights = f'weights of {display_path(source)}' if source else 'random weights'
    say(console, 'model', f'{predictor.name}, {len(predictor.classes)} classes, {weights}')
    export = Export(predictor, source, wanted)
    sizes = ', '.join(f'{height} × {width}' for height, width in export.sizes)
    say(console, 'compare', f'{sizes}; batch sizes {export.batches[0]} and {export.batches[1]}')
    # unfinished files are removed, too, where a job scheduler ends the process
    before = signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        with tempfile.TemporaryDirectory() as scratch, unfinished(out) as folder:
            data = None
            if source and not args.backbone:
                data = _data(args, source, predictor.classes, Path(scratch), console)
            lower = None if args.precision == 'float32' else args.precision
            if lower and data is None:
                raise UserError(f'--precision {lower}: needs images to score on: --data DIR or --sample')
            for file in export.write(folder):
                certified = export.certified(file, data, lower, args.max_drop)
                certified = publish(certified, out, predictor.name + suffix)
                append_line(out, certified)
                say(console, 'certified', f'{display_path(certified.file)}: {certified.line}')
    finally:
        signal.signal(signal.SIGTERM, before)


def _is_config(model: str) -> bool:
    from ..config.bundled import bundled_config

    return Path(model).suffix == '.py' or (not Path(model).exists() and bundled_config(model) is not None)


def _data(
    args: argparse.Namespace, source: Path, classes: Sequence[str], scratch: Path, console: Any
) -> 'Data | None':
    """The images with annotations that a file is scored on: those asked for, the checkpoint's, or none."""
    from ..config.settings import LOADERS
    from ..console import say
    from ..engine.runner import VitdenseRunner
    from ..export.score import Data
    from ..findings import first_few

    args.checkpoint, args.arch, args.launcher = str(source), None, 'none'
    args.cfg_options, args.data_root = {}, None
    is_asked = bool(args.sample or args.data)
    if not is_asked and (args.fixed or args.max_size):  # its own images may be of any size
        option = '--fixed' if args.fixed else '--max-size'
        text = f'warning: scores are not compared with {option}; --data or --sample name images'
        say(console, 'score', text, 'bold yellow')
        return None
    data = read_data(args)
    try:
        cfg = prepare(args, LOADERS[2:], data)
    except UserError as error:
        if is_asked:
            raise
        say(
            console, 'score', f'warning: not compared: {error}; --data or --sample name images', 'bold yellow'
        )
        return None
    cfg.work_dir = str(scratch)
    cfg.test_dataloader.batch_size = 1  # a batch of several sizes is padded, and then computed otherwise
    if data:
        place_data(cfg, data, scratch / 'annotations', console)
    found = Data(VitdenseRunner.from_cfg(cfg))
    if (others := list(found.classes)) != list(classes):
        raise UserError(f'the images are of {first_few(others)}, and the model of {first_few(classes)}')
    return found
