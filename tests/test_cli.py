"""The tools, as a person uses them: what they show, what they write, and what they say to bad input."""

import json
import os
import pickle
import pty
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import cv2
import pytest
import torch
from small import ARCH, REPOSITORY, Hostile, workplace

from vitdense.backbones import TransCNN
from vitdense.data import sample
from vitdense.folder_lock import LOCK

LEAF = REPOSITORY / 'configs' / 'retinanet_transcnn.py'
TRAIN, TEST = (REPOSITORY / 'tools' / f'{name}.py' for name in ('train', 'test'))

ITERATIONS = 20
LEARN = [  # a schedule for so few iterations
    f'train_cfg.max_iters={ITERATIONS}',
    'train_dataloader.batch_size=4',
    'optim_wrapper.optimizer.lr=5e-3',
    'param_scheduler.0.end=2',
    'param_scheduler.1.begin=2',
    f'param_scheduler.1.end={ITERATIONS}',
    'default_hooks.logger.interval=1',
]
BRIEF = [
    'train_cfg.max_iters=2',
    'train_dataloader.batch_size=2',
    'val_dataloader.dataset.indices=4',
    'default_hooks.logger.interval=1',
]

TABLE = r"""┏━+┳━+┓
┃ score +┃ value ┃
┡━+╇━+┩
(?:│ bbox mAP[ \w]* +│ +(?:\d\.\d{3}|–) │
){6}└─+┴─+┘
"""


def run(*command, cwd):
    """A Python script with its arguments, in a process of its own, on the CPU."""
    return subprocess.run(
        [sys.executable, *map(str, command)],
        cwd=cwd,
        env=dict(os.environ, CUDA_VISIBLE_DEVICES='-1'),
        capture_output=True,
        text=True,
        timeout=900,
    )


class Outcome(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def call(call_tool, tmp_path, monkeypatch):
    """A tool in an empty folder with the small config."""
    workplace(tmp_path)

    def call(tool, *words, cwd=tmp_path):
        monkeypatch.chdir(cwd)
        return Outcome(*call_tool(tool, *words))

    return call


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """A finished run, seen from the folder that it ran in; not to be written to."""
    folder = workplace(tmp_path_factory.mktemp('trained'))
    workers = ['train_dataloader.num_workers=2', 'train_dataloader.persistent_workers=True']
    done = run(TRAIN, 'tiny.py', '--sample', '--cfg-options', *LEARN, *workers, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder, done


@pytest.fixture
def again(trained, tmp_path):
    """A copy of the finished run, to go on with."""
    folder = tmp_path / 'again'
    shutil.copytree(trained[0], folder, symlinks=True)
    return folder


def files(folder):
    """Every file under a folder with its contents, but for the record of whose folder it is."""
    return {path: path.read_bytes() for path in folder.rglob('*') if path.is_file() and path.name != LOCK}


def losses(folder):
    """Training loss by iteration, of each run in a work dir, in the order of the runs."""
    runs = []
    for file in sorted(folder.glob('*/vis_data/scalars.json')):
        records = map(json.loads, file.read_text().splitlines())
        runs.append({record['step']: record['loss'] for record in records if 'loss' in record})
    return runs


def refused(outcome):
    """What was said about bad input: a single `error: …` on stderr, exit code 2."""
    assert outcome.code == 2
    assert outcome.out == ''
    assert outcome.err.startswith('error: ')
    assert outcome.err.count('error:') == 1
    assert 'Traceback' not in outcome.err
    return outcome.err.removeprefix('error: ')


# ---- a run ------------------------------------------------------------------------------------------------


def test_training_shows_a_dozen_lines_its_progress_its_scores_and_its_files(trained):
    _, done = trained
    stamp = r'\d{8}_\d{6}'
    announced = rf""" vitdense  0\.1\.0, torch \S+
   config  tiny\.py
    model  RetinaNet on TransCNN
     size  0\.1 M parameters: backbone 0\.0 M, neck 0\.0 M, bbox_head 0\.0 M
  weights  random initialisation
    train  390 images, 5 classes \(boat, fish, house, starfish, lifebuoy\), \S+/coco
      val  24 images, 5 classes \(boat, fish, house, starfish, lifebuoy\), \S+/coco
 schedule  20 iterations, batch 4, validation every \d+ iterations
optimizer  AdamW, learning rate 0\.005, weight decay 0\.0001
   device  cpu, \d+ threads?, float32
      ops  .+
      log  work_dirs/tiny/{stamp}/{stamp}\.log
   labels  in 32 samples: (?:\w+ \d+%, ){{4}}\w+ \d+%; \d\.\d% of objects ignored
     maps  8 channels at 1/4, 16 channels at 1/8, 24 channels at 1/16, 32 channels at 1/32
   recipe  doubt: batch 4, the schedule was made for 8: .+
   memory  about \d\.\d GiB for a batch of 4, this device has .+
"""
    pace = r'\d+\.\d\d s/it  eta \d:\d\d:\d\d  '
    progress = rf"""(?:    train  \d+/20  {pace}loss .+
)*    train  20/20  {pace}loss \d\.\d{{3}} \(cls \d\.\d{{3}} bbox \d\.\d{{3}}\)  lr \d\.\de-\d\d
(?:      val  \d+/24  {pace}
)*"""
    named = rf""" checkpoint  work_dirs/tiny/iter_20\.pth
     curves  work_dirs/tiny/curves\.png
predictions  work_dirs/tiny/predictions\.png
        log  work_dirs/tiny/{stamp}/{stamp}\.log
"""
    whole = announced + progress + 'validation after iteration 20\n' + TABLE + named
    assert re.fullmatch(whole, done.stdout), done.stdout


def test_training_says_nothing_on_the_error_stream(trained):
    assert trained[1].stderr == ''


def test_what_the_terminal_is_spared_is_in_the_log(trained):
    folder, done = trained
    log = (folder / re.search(r'log  (\S+)', done.stdout).group(1)).read_text()
    environment, config, printed = 'System environment', 'param_scheduler = [', 'Average Precision'
    for kept_out in (environment, config, printed, 'mmengine - INFO', 'mmengine - WARNING'):
        assert kept_out in log
        assert kept_out not in done.stdout


def test_every_file_that_the_last_lines_name_is_there_and_is_what_it_is_called(trained):
    folder, done = trained
    named = dict(re.findall(r'^ *(checkpoint|curves|predictions|log)  (\S+)$', done.stdout, re.MULTILINE))
    assert set(named) == {'checkpoint', 'curves', 'predictions', 'log'}
    weights = torch.load(folder / named['checkpoint'], map_location='cpu', weights_only=False)['state_dict']
    assert weights['backbone.stem.0.weight'].shape == (16, 3, 3, 3)
    for picture in ('curves', 'predictions'):
        image = cv2.imread(str(folder / named[picture]))
        assert min(image.shape[:2]) > 300
        assert image.std() > 10  # not blank


def scores(out):
    """The rows of the last table."""
    *_, table = re.findall(TABLE, out)
    return dict(re.findall(r'│ (bbox mAP[ \w]*?) +│ +(\S+) │', table))


def test_the_test_tool_repeats_the_scores_of_the_training(trained, tmp_path):
    folder, done = trained
    checkpoint = folder / 'work_dirs/tiny/iter_20.pth'
    before = files(folder)
    tested = run(TEST, folder / 'tiny.py', checkpoint, '--sample', '--work-dir', 'out', cwd=tmp_path)
    assert (tested.returncode, tested.stderr) == (0, '')
    assert f'  weights  checkpoint {checkpoint}\n' in tested.stdout
    assert '\n     test  24 images, 5 classes' in tested.stdout
    assert scores(tested.stdout) == scores(done.stdout)
    assert len(set(scores(done.stdout).values()) - {'0.000', '–'}) > 1  # scores of something
    assert tested.stdout.splitlines()[-2:][0] == 'predictions  out/predictions.png'
    assert (tmp_path / 'out' / 'predictions.png').is_file()
    assert files(folder) == before


def test_resuming_goes_on_from_the_last_checkpoint_and_merges_the_curves(again, call):
    before = files(again / 'work_dirs')
    first = losses(again / 'work_dirs/tiny')
    longer = ['train_cfg.max_iters=24', *LEARN[1:]]
    done = call('train', 'tiny.py', '--sample', '--resume', '--cfg-options', *longer, cwd=again)
    assert (done.code, done.err) == (0, '')
    assert '  weights  resumed from work_dirs/tiny/iter_20.pth\n' in done.out
    assert '  resumed  doubt: otherwise than it was begun: ' in done.out
    assert 'train_cfg.max_iters is 24, was 20' in done.out
    assert '    train  24/24  ' in done.out
    assert 'validation after iteration 24\n' in done.out
    assert ' checkpoint  work_dirs/tiny/iter_24.pth\n' in done.out

    runs = losses(again / 'work_dirs/tiny')
    assert runs[:-1] == first
    assert list(runs[0]) == list(range(1, 21))
    assert list(runs[1]) == list(range(21, 25))
    last = torch.load(again / 'work_dirs/tiny/iter_24.pth', weights_only=False)
    steps = {int(state['step']) for state in last['optimizer']['state'].values()}
    assert steps == {24}  # AdamW has not begun anew
    curves = again / 'work_dirs/tiny/curves.png'
    assert curves.read_bytes() != before[curves]


def test_a_second_run_without_a_work_dir_leaves_the_first_alone(again, call):
    before = files(again / 'work_dirs')
    done = call('train', 'tiny.py', '--sample', '--cfg-options', *BRIEF, cwd=again)
    assert done.code == 0
    assert ' checkpoint  work_dirs/tiny-2/iter_2.pth\n' in done.out
    assert files(again / 'work_dirs/tiny') == before


def test_mixed_precision_trains_and_can_be_resumed(call, tmp_path):
    common = ['--sample', '--amp', '--work-dir', 'out', '--cfg-options', *BRIEF]
    done = call('train', 'tiny.py', *common)
    assert (done.code, done.err) == (0, '')
    precision = 'float16' if torch.cuda.is_available() else 'bfloat16'
    assert f', {precision} autocast\n' in done.out
    full = call('train', 'tiny.py', *(word for word in common if word != '--amp'), '--work-dir', 'full')
    assert ', float32\n' in full.out
    mixed, exact = losses(tmp_path / 'out')[0], losses(tmp_path / 'full')[0]
    assert mixed[1] == pytest.approx(exact[1], rel=0.02)  # the same images and weights
    assert mixed[1] != exact[1]  # in another precision

    done = call('train', 'tiny.py', '--resume', *common, 'train_cfg.max_iters=3')
    assert (done.code, done.err) == (0, '')
    assert list(losses(tmp_path / 'out')[1]) == [3]


def test_compiled_it_trains_and_scores_the_same(call, tmp_path, monkeypatch):
    # all but the last step, code for the machine, which takes minutes
    monkeypatch.setattr('vitdense.engine.precision.BACKEND', 'aot_eager')
    one = [f'{split}_dataloader.dataset.indices=1' for split in ('val', 'test')]  # a shape is a compilation
    common = ['tiny.py', '--sample', '--cfg-options', *BRIEF, *one]
    eager = call('train', *common, '--work-dir', 'eager')
    done = call('train', *common, '--work-dir', 'out', '--compile')
    assert (done.code, done.err) == (0, '')
    assert ', float32, compiled\n' in done.out
    assert ', float32\n' in eager.out
    for here, there in zip(losses(tmp_path / 'out'), losses(tmp_path / 'eager'), strict=True):
        assert here == pytest.approx(there, rel=1e-4)

    few = ['test_dataloader.num_workers=0', 'test_dataloader.persistent_workers=False', *one]
    for words in (['--compile'], ['--amp']):
        done = call('test', 'tiny.py', 'out/iter_2.pth', '--sample', *words, '--cfg-options', *few)
        assert (done.code, done.err) == (0, '')
        assert (', float32, compiled\n' if words == ['--compile'] else ' autocast\n') in done.out


def test_where_nothing_compiles_a_run_says_so_before_it_begins(tmp_path, monkeypatch):
    monkeypatch.setenv('CXX', 'no-such-compiler')
    monkeypatch.setenv('TORCHINDUCTOR_FORCE_DISABLE_CACHES', '1')
    done = run(TRAIN, 'tiny.py', '--sample', '--compile', cwd=workplace(tmp_path))
    assert done.returncode == 2
    assert done.stderr.startswith('error: --compile: torch.compile does not work here: ')
    assert len(done.stderr.splitlines()) == 1


def test_released_weights_are_in_the_backbone_when_training_begins(call, tmp_path):
    backbone = TransCNN(ARCH)
    torch.save(dict(model=backbone.state_dict()), tmp_path / 'released.pth')
    still = ['optim_wrapper.optimizer.lr=0', 'optim_wrapper.optimizer.weight_decay=0']
    done = call('train', 'tiny.py', '--sample', '--weights', 'released.pth', '--cfg-options', *BRIEF, *still)
    assert (done.code, done.err) == (0, '')
    assert '  weights  backbone from released.pth\n' in done.out
    state = torch.load(tmp_path / 'work_dirs/tiny/iter_2.pth', weights_only=False)['state_dict']
    for name, tensor in backbone.state_dict().items():
        if 'num_batches_tracked' not in name:  # the norms' statistics are kept too
            assert torch.equal(state[f'backbone.{name}'], tensor), name


SUPER = '''"""RetinaNet on a SuperViT small enough for a test."""

from mmengine.config import read_base

with read_base():
    from .configs.retinanet_supervit import *

arch = dict(
    image_sizes=[96, 128], patch_size=16, dim=16, depth=3, heads=2, mlp_ratio=2, pruned_blocks=[1]
)
model.backbone.update(arch=arch)
model.neck.update(in_channels=[8, 16, 16], out_channels=16)
model.bbox_head.update(in_channels=16, feat_channels=16, stacked_convs=1)
for loader in (train_dataloader, val_dataloader, test_dataloader):
    loader.update(num_workers=0, persistent_workers=False)
test_dataloader.dataset.update(indices=4)
'''


def test_one_checkpoint_of_supervit_is_tested_at_every_setting_of_its_dials(call, tmp_path):
    (tmp_path / 'super.py').write_text(SUPER)
    call('train', 'super.py', '--sample', '--work-dir', 'run', '--cfg-options', *BRIEF)
    settings = ['1:1', '1:0.5', '3/4:0.5']
    done = call('test', 'super.py', 'run/iter_2.pth', '--sample', '--work-dir', 'out', '--dials', *settings)
    assert (done.code, done.err) == (0, '')
    assert done.out.count('  model  RetinaNet on SuperViT\n') == 1
    rows = re.findall(r'│ +([\d.]+) │ +([\d.]+) │ +([\d.]+) G │ +(\d+) ms │', done.out)
    assert [row[:2] for row in rows] == [('1', '1'), ('1', '0.5'), ('0.75', '0.5')]
    costs = [float(row[2]) for row in rows]
    assert costs == sorted(costs, reverse=True)
    assert len(set(costs)) == 3

    done = call('test', 'tiny.py', 'run/iter_2.pth', '--sample', '--dials', '2:1')
    assert refused(done).startswith('--dials 2:1: expected SCALE:KEEP_RATE')


SMALL_HEADS = {
    'mask_rcnn': f"""
model.neck.update(in_channels={ARCH['dims']}, out_channels=16)
model.rpn_head.update(in_channels=16, feat_channels=16)
model.roi_head.bbox_roi_extractor.update(out_channels=16)
model.roi_head.mask_roi_extractor.update(out_channels=16)
model.roi_head.bbox_head.update(in_channels=16, fc_out_channels=16)
model.roi_head.mask_head.update(in_channels=16, conv_out_channels=16)
model.test_cfg.rcnn.update(score_thr=0.0)
""",
    'pspnet': f"""
model.decode_head.update(in_channels={ARCH['dims'][1:]}, channels=16)
model.auxiliary_head.update(in_channels={ARCH['dims'][2]}, channels=16)
""",
}
SMALL_HEADS['deeplabv3'] = SMALL_HEADS['pspnet']


@pytest.mark.parametrize('head', SMALL_HEADS)
def test_every_head_trains_scores_and_shows_its_predictions(call, tmp_path, head):
    (tmp_path / f'{head}.py').write_text(
        f'"""{head}, small enough for a test."""\n'
        'from mmengine.config import read_base\n'
        'with read_base():\n'
        f'    from .configs.{head}_transcnn import *\n'
        f'model.backbone.update(arch={ARCH})\n'
        + SMALL_HEADS[head]
        + 'for loader in (train_dataloader, val_dataloader, test_dataloader):\n'
        '    loader.update(num_workers=0, persistent_workers=False)\n'
    )
    few = [f'{split}_dataloader.dataset.indices=4' for split in ('val', 'test')]
    done = call('train', f'{head}.py', '--sample', '--work-dir', 'run', '--cfg-options', *BRIEF, few[0])
    assert (done.code, done.err) == (0, '')
    scores = re.findall(r'│ (\w[\w ]+?) +│ +(\d+\.\d+|–) │', done.out)
    expected = {'bbox mAP', 'segm mAP 50'} if head == 'mask_rcnn' else {'mIoU', 'aAcc'}
    assert expected <= {name for name, _ in scores}
    picture = cv2.imread(str(tmp_path / 'run' / 'predictions.png'))
    assert picture.std() > 20
    words = ['run/iter_2.pth', '--sample', '--cfg-options', few[1]]
    done = call('test', f'{head}.py', *words)
    assert (done.code, done.err) == (0, '')
    assert re.findall(r'│ (\w[\w ]+?) +│ +(\d+\.\d+|–) │', done.out) == scores


ELSEWHERE = f'''"""The small config for the classes of the sample world."""
from mmengine.config import read_base
with read_base():
    from .tiny import *
metainfo = dict(classes={sample.CLASSES}, palette={sample.THING_PALETTE})
for loader in (train_dataloader, val_dataloader, test_dataloader):
    loader.dataset.update(metainfo=metainfo, indices=4)
    loader.dataset.pipeline[1 if loader is not train_dataloader else 2].scale = (128, 128)
model.bbox_head.num_classes = {len(sample.CLASSES)}
'''


def test_unreadable_images_are_passed_over_if_so_many_were_asked_for(call, tmp_path, monkeypatch):
    root = tmp_path / 'data'
    shutil.copytree(sample.root() / 'coco', root)
    images = sorted((root / 'train2017').iterdir())
    for path in images[::2]:
        path.write_bytes(b'not a picture')
    (tmp_path / 'elsewhere.py').write_text(ELSEWHERE)
    words = ['--data-root', 'data', '--work-dir', 'out', '--cfg-options', 'train_cfg.max_epochs=1']
    what = r'error: data/train2017/\d+\.png: cannot be read: in no image format that is known\n'
    for rank in '01':  # of several processes the one that meets it says it
        monkeypatch.setenv('RANK', rank)
        stopped = call('train', 'elsewhere.py', *words)
        assert stopped.code == 2
        assert re.match(what, stopped.err)
    monkeypatch.delenv('RANK')
    done = call('train', 'elsewhere.py', '--skip-unreadable', 1000, *words)
    assert (done.code, done.err) == (0, '')
    record = (tmp_path / 'out/unreadable.txt').read_text().splitlines()
    assert record
    assert {line.split(':')[0] for line in record} <= {f'data/train2017/{path.name}' for path in images[::2]}
    assert ' unreadable  out/unreadable.txt\n' in done.out


def test_a_config_without_validation_trains_and_says_so(call, tmp_path):
    root = ['--data-root', sample.root() / 'coco']
    (tmp_path / 'blind.py').write_text(ELSEWHERE + 'val_dataloader = val_evaluator = val_cfg = None\n')
    done = call('train', 'blind.py', *root, '--cfg-options', 'train_cfg.max_epochs=1')
    assert (done.code, done.err) == (0, '')
    assert '\n      val  none\n' in done.out
    assert ', no validation\n' in done.out
    assert 'predictions' not in done.out
    assert ' checkpoint  work_dirs/blind/epoch_1.pth\n' in done.out


def test_two_processes_share_a_batch_and_report_once(tmp_path):
    torchrun = ['-m', 'torch.distributed.run', '--standalone', '--nproc_per_node=2']
    words = ['--launcher', 'pytorch', '--sample', '--work-dir', 'out', '--cfg-options', *BRIEF]
    done = run(*torchrun, TRAIN, 'tiny.py', *words, cwd=workplace(tmp_path))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(' schedule  2 iterations, batch 4 (2 processes of 2), ') == 1
    assert done.stdout.count('    norms  batch statistics of each process alone, ') == 1
    assert done.stdout.count('    train  2/2  ') == 1
    assert len(re.findall(TABLE, done.stdout)) == 1
    assert len(done.stdout.splitlines()) == len(set(done.stdout.splitlines()))
    assert (tmp_path / 'out' / 'iter_2.pth').is_file()
    assert list(losses(tmp_path / 'out')[0]) == [1, 2]


def test_a_terminal_shows_bars_and_gets_its_cursor_back_after_an_interrupt(tmp_path):
    workplace(tmp_path)
    options = ['train_cfg.max_iters=60', 'train_cfg.val_interval=2', *BRIEF[1:]]
    child, terminal = pty.fork()
    if child == 0:  # the new process, whose terminal it is
        os.chdir(tmp_path)
        signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in background
        os.environ.update(CUDA_VISIBLE_DEVICES='-1', TERM='xterm', COLUMNS='120')
        command = [sys.executable, str(TRAIN), 'tiny.py', '--sample', '--cfg-options', *options]
        os.execv(sys.executable, command)
    shown, presses, pressed_at, end = '', 0, 0, time.monotonic() + 900
    with suppress(OSError):  # what a closed terminal raises
        while time.monotonic() < end and (piece := os.read(terminal, 65536)):
            shown += piece.decode(errors='replace')
            if shown.count('validation after') >= 2 + presses:
                os.write(terminal, b'\x03')  # Ctrl-C, and again if Python lost it in a destructor
                presses, pressed_at = presses + 1, len(shown)
    os.close(terminal)
    _, status = os.waitpid(child, 0)

    plain = re.sub(r'\x1b\[[\d;]*m', '', shown).replace('\r\n', '\n')
    assert presses, plain
    assert re.search(r'    train [━╸╺]+ +\d/60 +\d:\d\d:\d\d eta \d:\d\d:\d\d loss \d\.\d{3} ', plain)
    assert re.search(r'      val [━╸╺]+ +\d/4 ', plain)
    assert 'validation after iteration 2\n' in plain
    assert re.search(TABLE, plain)
    assert 's/it' not in plain  # what the bar replaces
    assert os.waitstatus_to_exitcode(status) == 130, plain
    assert 'Traceback' not in shown[pressed_at:]
    assert shown.rindex('\x1b[?25h') > shown.rindex('\x1b[?25l')  # the cursor is shown again


def test_coco_elsewhere_trains_by_epochs_from_the_data_root_that_is_given(call, tmp_path):
    root = tmp_path / 'datasets'
    root.mkdir()
    for part in ('annotations', 'train2017', 'val2017'):
        (root / part).symlink_to(sample.root() / 'coco' / part)
    (tmp_path / 'elsewhere.py').write_text(ELSEWHERE)
    done = call('train', 'elsewhere.py', '--data-root', root, '--cfg-options', 'train_cfg.max_epochs=2')
    assert (done.code, done.err) == (0, '')
    assert re.search(r'    train  4 images, 5 classes \(.*\), datasets\n', done.out)
    assert ' schedule  2 epochs of 2 iterations, batch 2, validation every 1 epoch\n' in done.out
    assert '    train  4/4  ' in done.out
    assert 'epoch 2/2  loss ' in done.out
    assert done.out.index('validation after epoch 1\n') < done.out.index('validation after epoch 2\n')
    assert ' checkpoint  work_dirs/elsewhere/epoch_2.pth\n' in done.out


# ---- bad input --------------------------------------------------------------------------------------------


@pytest.mark.parametrize('tool', ['train', 'test'])
def test_missing_data_is_said_with_the_place_the_layout_and_the_ways_out(call, tmp_path, tool):
    (tmp_path / 'weights.pth').touch()
    checkpoint = ['weights.pth'] if tool == 'test' else []
    # a model with this variant could not be built: the data is looked for first
    said = refused(call(tool, LEAF, *checkpoint, '--cfg-options', 'model.backbone.arch=none_such'))
    assert said.startswith(f'no data at data/coco, looked for in {tmp_path}/data/coco. Expected:\n')
    for split in ('train', 'val'):
        for path in (f'annotations/instances_{split}2017.json', f'{split}2017/'):
            assert (f'    MISSING  data/coco/{path}\n' in said) == (split == 'val' or tool == 'train')
    assert '--data-root DIR' in said
    assert '--sample' in said
    assert {path.name for path in tmp_path.iterdir()} == {'configs', 'tiny.py', 'weights.pth'}


def test_data_that_is_partly_there_is_said_to_be(call, tmp_path):
    (tmp_path / 'half' / 'train2017').mkdir(parents=True)
    said = refused(call('train', LEAF, '--data-root', 'half'))
    assert '    found    half/train2017/\n' in said
    assert '    MISSING  half/val2017/\n' in said


TYPOS = {
    'an unknown variant': (
        ['--sample', '--arch', 'huge'],
        "TransCNN has no arch 'huge'; known: tiny, small, medium, large",
    ),
    'a misspelt key': (
        ['--sample', '--cfg-options', 'train_dataloader.batchsize=2'],
        "train_dataloader has no 'batchsize'; did you mean batch_size",
    ),
    'a misspelt key at the top': (
        ['--sample', '--cfg-options', 'modle.neck.out_channels=2'],
        "the config has no 'modle'; did you mean model",
    ),
    'a key without a value': (
        ['--sample', '--cfg-options', 'train_cfg.max_iters'],
        '--cfg-options train_cfg.max_iters: expected KEY=VALUE',
    ),
    'a dict, which cannot be read': (
        ['--sample', '--cfg-options', 'model.backbone.init_cfg={type:Released}'],
        'model.backbone.init_cfg={type:Released}: would be text; give the entries of a dict by their names',
    ),
    'a value without a key': (['--sample', '--cfg-options', '=3'], '--cfg-options =3: expected KEY=VALUE'),
    'brackets that do not match': (
        ['--sample', '--cfg-options', 'model.neck.in_channels=[1,2'],
        '--cfg-options: Imbalanced brackets',
    ),
    'a folder of data that is not there, beside --sample': (
        ['--sample', '--data-root', 'nowhere'],
        'no data at nowhere',
    ),
    'a work dir that is a file': (['--sample', '--work-dir', 'tiny.py'], 'tiny.py: File exists'),
    'a work dir in a file': (['--sample', '--work-dir', 'tiny.py/x'], 'tiny.py/x: Not a directory'),
    'a misspelt argument in the way of another variant': (
        ['--sample', '--arch', 'small', '--cfg-options', 'model.backbone.with_pc=True'],
        "model.backbone has no 'with_pc'; did you mean with_cp",
    ),
    'nothing to resume': (['--sample', '--resume'], '--resume: no checkpoint in work_dirs/'),
    'nothing to resume there': (
        ['--sample', '--resume', '--work-dir', 'empty'],
        '--resume: no checkpoint in empty',
    ),
    'a missing checkpoint to resume': (
        ['--sample', '--resume', 'gone.pth'],
        '--resume gone.pth: no such checkpoint file',
    ),
    'processes that nothing started': (
        ['--sample', '--launcher', 'pytorch'],
        '--launcher pytorch: $RANK is not set; start the tool with torchrun',
    ),
}


@pytest.mark.parametrize(('words', 'expected'), TYPOS.values(), ids=TYPOS)
def test_what_a_person_mistypes_is_answered_in_one_line(call, tmp_path, monkeypatch, words, expected):
    monkeypatch.delenv('RANK', raising=False)
    said = refused(call('train', LEAF, *words))
    assert expected in said
    assert said.count('\n') == 1 or words[1] == '--data-root'
    assert {path.name for path in tmp_path.iterdir()} == {'configs', 'tiny.py'}  # nothing was begun


@pytest.mark.parametrize(
    ('tool', 'option', 'values', 'least'),
    [
        ('benchmark', '--rounds', ['0'], 1),
        ('benchmark', '--size', ['-3', '64'], 1),
        ('complexity', '--size', ['0', '10'], 1),
        ('train', '--skip-not-finite', ['-1'], 0),
        ('train', '--skip-unreadable', ['few'], 0),
    ],
)
def test_a_number_out_of_range_is_named_with_its_option(call, tool, option, values, least):
    said = call(tool, LEAF, option, *values)
    assert (said.code, said.out) == (2, '')
    expected = f'argument {option}: expected a whole number from {least}, got {values[0]}'
    assert said.err.splitlines()[-1].endswith(expected)


def test_a_value_that_the_config_cannot_be_built_with_is_answered_in_one_line_and_traced_in_the_log(call):
    said = refused(call('train', LEAF, '--sample', '--cfg-options', 'model.backbone.arch=huge'))
    assert said.count('\n') == 1
    assert "cannot be built: TransCNN has no arch 'huge'; known: tiny" in said
    log = re.search(r'traceback in (.+\.log)', said)[1]
    assert 'Traceback' in Path(log).read_text()


@pytest.mark.parametrize(
    ('config', 'expected'),
    [
        (
            'configs/retinanet_transcn.py',
            'configs/retinanet_transcn.py: no such config; in configs there is retinanet_transcnn.py',
        ),
        ('nowhere/at_all.py', 'nowhere/at_all.py: no such config; in nowhere there is no config\n'),
        ('configs/_base_/runtime.py', 'defines no `model`; is it a fragment?\n'),
    ],
)
def test_an_unknown_config_is_answered_with_those_that_there_are(call, config, expected):
    said = refused(call('train', config, '--sample'))
    assert expected in said
    assert said.count('\n') == 1


def test_a_place_that_cannot_hold_the_sample_world_is_named(call, tmp_path, monkeypatch):
    monkeypatch.setenv('VITDENSE_CACHE', str(tmp_path / 'tiny.py'))  # a file, so no folder
    said = refused(call('train', LEAF, '--sample'))
    assert f'{tmp_path}/tiny.py/sample-v' in said
    assert 'set VITDENSE_CACHE' in said


def test_a_work_dir_with_checkpoints_is_not_written_to_without_resume(again, call):
    before = files(again)
    said = refused(call('train', 'tiny.py', '--sample', '--work-dir', 'work_dirs/tiny', cwd=again))
    assert said.startswith('--work-dir work_dirs/tiny holds the checkpoints of an earlier run; --resume')
    assert files(again) == before


def test_a_missing_checkpoint_is_answered_before_anything_is_written(call, tmp_path):
    said = refused(call('test', 'tiny.py', 'gone.pth', '--sample'))
    assert said == 'gone.pth: no such checkpoint file\n'
    assert not (tmp_path / 'work_dirs').exists()


def bad_files(folder, whole):
    """Files that are no checkpoints, by what is wrong with them."""
    (folder / 'text.pth').write_text('these are not weights\n')
    (folder / 'empty.pth').touch()
    (folder / 'cut.pth').write_bytes(whole.read_bytes()[:-1000])
    (folder / 'pickle.pth').write_bytes(pickle.dumps(dict(state_dict=Hostile('marker'))))
    torch.save(dict(state_dict={}, optimizer=Hostile('marker')), folder / 'zip.pth')
    torch.save([1, 2, 3], folder / 'list.pth')


@pytest.mark.parametrize('name', ['text', 'empty', 'cut', 'pickle', 'zip', 'list'])
def test_a_file_that_is_no_checkpoint_is_refused_and_never_run(trained, call, tmp_path, name):
    bad_files(tmp_path, trained[0] / 'work_dirs/tiny/iter_20.pth')
    said = refused(call('test', 'tiny.py', f'{name}.pth', '--sample'))
    assert said.startswith(f'{name}.pth: ')
    assert said.count('\n') == 1
    if name in ('pickle', 'zip'):
        assert f'{name}.pth: refused to load: ' in said
    assert not (tmp_path / 'marker').exists()
    pickle.loads((tmp_path / 'pickle.pth').read_bytes())  # the trap is real
    assert (tmp_path / 'marker').exists()


def test_the_config_inside_a_checkpoint_is_not_run(again, call):
    path = again / 'work_dirs/tiny/iter_20.pth'
    contents = torch.load(path, weights_only=False)
    contents['meta']['config'] = 'from pathlib import Path\nPath("marker").touch()\n'
    torch.save(contents, path)
    options = ['train_cfg.max_iters=21', *LEARN[1:]]
    done = call('train', 'tiny.py', '--sample', '--resume', '--cfg-options', *options, cwd=again)
    assert done.code == 0
    assert not (again / 'marker').exists()


def test_the_checkpoint_of_another_model_is_refused_and_the_earlier_run_stays_as_it_was(again, call):
    before = files(again)
    words = ['tiny.py', '--sample', '--resume', '--cfg-options', 'model.bbox_head.stacked_convs=2']
    said = refused(call('train', *words, cwd=again))
    assert 'iter_20.pth: the checkpoint of another model: of its weights, 4 of the model are missing' in said
    assert said.count('\n') == 1
    assert {path: contents for path, contents in files(again).items() if path in before} == before


def test_weights_without_the_state_of_a_run_cannot_be_resumed(again, call):
    weights = torch.load(again / 'work_dirs/tiny/iter_20.pth', weights_only=False)['state_dict']
    torch.save(weights, again / 'weights.pth')
    said = refused(call('train', 'tiny.py', '--sample', '--resume', 'weights.pth', cwd=again))
    assert said.startswith('weights.pth: holds weights, but no state of a run')


@pytest.mark.parametrize('case', ['missing', 'hostile', 'other'])
def test_released_weights_that_do_not_fit_are_refused_in_one_line(call, tmp_path, case):
    if case == 'hostile':
        torch.save(Hostile('marker'), tmp_path / 'released.pth')
    elif case == 'other':
        torch.save(TransCNN(ARCH | dict(depths=[2, 1, 1, 1])).state_dict(), tmp_path / 'released.pth')
    said = refused(call('train', 'tiny.py', '--sample', '--weights', 'released.pth', '--work-dir', 'out'))
    expected = {
        'missing': 'released.pth: no such checkpoint file',
        'hostile': 'released.pth: refused to load: ',
        'other': 'released.pth does not hold the weights of this TransCNN; nothing was loaded.',
    }
    assert said.startswith(expected[case])
    assert said.count('\n') == 1
    assert not (tmp_path / 'marker').exists()
    assert not list((tmp_path / 'out').glob('*.pth'))
