"""Configs that came with the libraries, chosen by a seed, through `vitdense train` and `vitdense test`.

`python tests/compatibility/installed_configs.py --seed 1 --count 30`: half of them as they are, half on one
of this project's backbones by its name. Each is put on the built-in sample, trained for two iterations and
tested from its checkpoint, in processes of their own. A row says how each ended: ok, exit 2 with its
sentence, or TRACEBACK, which is a fault.
"""

import argparse
import os
import random
import re
import resource
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).parents[1]))

import mmdet.utils
import mmseg.utils
from mmengine.config import Config
from mmengine.registry import MODELS
from shrunk_configs import by_epoch, by_iteration, put_on_sample
from small_backbones import SMALL

import vitdense
from vitdense.config.tree import dicts

# what these configs need is not here: compiled ops, other libraries, weights, data of another kind
ELSEWHERE = re.compile(
    r'dcn|deform|carafe|mmpretrain|timm|transformers|Bert|CLIP|Glip|Caption|panoptic|track|reid|sort|depth|'
    r'LVIS|V3Det|OpenImages|ODVG|RefCoco|Grounding|SyncedSeg|DSDL|tta|SoftTeacher|PointRend|Cityscapes.*Inst',
    re.IGNORECASE,
)
SECONDS, GIBIBYTES = 120, 12


def candidates():
    """Text configs with a model and data that the sample can take the place of."""
    for library in ('mmdet', 'mmseg'):
        root = Path(find_spec(library).origin).parent / '.mim/configs'
        for path in sorted(root.glob('*/*.py')):
            if not path.parent.name.startswith(('_', 'common')):
                yield library, root, path


def read(path):
    """A config on the sample; None where it is not of the kind that can run here."""
    try:
        cfg = Config.fromfile(path)
        if ELSEWHERE.search(str(cfg.get('model'))) or ELSEWHERE.search(path.stem):
            return None
        if (
            'backbone' not in cfg.model
            or not {'train_dataloader', 'val_dataloader', 'test_dataloader'} <= cfg.keys()
        ):
            return None
        evaluators = str([cfg.get('val_evaluator'), cfg.get('test_evaluator')])
        if not re.search('CocoMetric|IoUMetric|CityscapesMetric', evaluators):
            return None
        cfg = put_on_sample(cfg, images=4)
    except Exception as error:  # of a config that needs what is not installed
        print(f'left out: {path.name}: {type(error).__name__}: {error}'[:150], file=sys.stderr)
        return None
    loop = (
        by_epoch
        if 'Epoch' in str(cfg.train_cfg.get('type')) or cfg.train_cfg.get('by_epoch')
        else by_iteration
    )
    cfg = loop(cfg, 1) if loop is by_epoch else loop(cfg, 2)
    cfg.randomness = dict(seed=0)
    cfg.optim_wrapper.optimizer.lr /= 100  # from random weights, without warming up
    if 'decode_head' in cfg.model:
        metric = dict(type='IoUMetric', iou_metrics=['mIoU'])
        cfg.val_evaluator = cfg.test_evaluator = metric
    for one in dicts(cfg._cfg_dict):
        if 'keep_ratio' in one:
            one.keep_ratio = False  # some networks take multiples of their stride alone
        if one.get('type') in ('SyncBN', 'MMSyncBN'):
            one.type = 'BN'  # of one process
    return cfg


def on_backbone(cfg, name):
    """The config on one of this project's backbones, with the channels of whatever reads its maps."""
    row = SMALL[name]
    cfg.model.backbone = dict(type=name, arch=row.smallest)
    cfg.custom_imports = dict(imports=['vitdense'])
    channels = MODELS.build(dict(cfg.model.backbone)).channels
    neck = cfg.model.get('neck')
    for one in neck if isinstance(neck, list) else [neck] if neck else []:
        if isinstance(one.get('in_channels'), (list, tuple)):
            wanted = len(one.in_channels)
            if wanted < len(channels):
                cfg.model.backbone.out_indices = tuple(range(len(channels)))[-wanted:]
            one.in_channels = channels[-wanted:]
            if wanted > len(channels) and one.type == 'FPN':  # of three maps, the first at stride 8
                one.update(dict(start_level=0) if one.get('start_level') else dict(type='ExtraLevelFPN'))
        elif 'in_channels' in one:
            one.in_channels = channels[-1]
        break
    if neck:
        return cfg
    for part in ('decode_head', 'auxiliary_head'):
        heads = cfg.model.get(part) or []
        for head in heads if isinstance(heads, (list, tuple)) else [heads]:
            index = head.get('in_index', -1)
            if isinstance(index, (list, tuple)):
                head.in_index = list(range(len(channels)))[-len(index) :]
                head.in_channels = [channels[i] for i in head.in_index]
            else:
                head.in_index = max(index - 4, -len(channels)) if index >= 0 else index
                head.in_channels = channels[head.in_index]
    return cfg


def run(*words):
    """How a command ended, and what it said."""
    limit = GIBIBYTES * 2**30

    def limited():
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))

    command = [sys.executable, '-W', 'ignore', '-m', 'vitdense', *map(str, words)]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            preexec_fn=limited,
            env=dict(os.environ, CUDA_VISIBLE_DEVICES='-1'),
        )
    except subprocess.TimeoutExpired:
        return f'over {SECONDS} s'
    if done.returncode == 0:
        return 'ok'
    lines = done.stderr.strip().splitlines() or ['']
    if done.returncode in (2, 3):
        return f'exit {done.returncode}: ' + ' '.join(line.strip() for line in lines)[:400]
    place = [line.strip() for line in lines if line.strip().startswith('File "')][-1:]
    return f'TRACEBACK ({done.returncode}): {lines[-1][:200]} {" ".join(place)[:200]}'


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument('--seed', type=int, default=1)
    p.add_argument('--count', type=int, default=30)
    p.add_argument('--from', dest='first', type=int, default=0, help='the first to run, to go on with a list')
    args = p.parse_args()
    mmdet.utils.register_all_modules(init_default_scope=False)
    mmseg.utils.register_all_modules(init_default_scope=False)
    draw = random.Random(args.seed)
    order = list(candidates())
    draw.shuffle(order)
    chosen = 0
    print('| config | backbone | train | test |\n|---|---|---|---|', flush=True)
    for library, root, path in order:
        if chosen == args.count:
            break
        if (cfg := read(path)) is None:
            continue
        backbone = draw.choice(list(SMALL)) if chosen % 2 else ''
        chosen += 1
        if chosen <= args.first:
            continue
        if backbone:
            cfg = on_backbone(cfg, backbone)
        with TemporaryDirectory() as folder:
            file = Path(folder, path.name)
            cfg.dump(file)
            trained = run('train', file, '--work-dir', f'{folder}/run')
            tested = '–'
            if trained == 'ok':
                checkpoint = Path(folder, 'run', Path(folder, 'run/last_checkpoint').read_text().strip()).name
                tested = run('test', file, f'{folder}/run/{checkpoint}', '--work-dir', f'{folder}/test')
        name = f'{library} {path.relative_to(root)}'
        print(f'| {name} | {backbone or "its own"} | {trained} | {tested} |', flush=True)


if __name__ == '__main__':
    assert vitdense.__version__
    main()
