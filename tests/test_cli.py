"""The commands, as a person uses them: what they show, what they write, and what they say to bad input."""

import os
import pty
import re
import shutil
import signal
import sys
import time
from contextlib import suppress
from itertools import count
from pathlib import Path

import cv2
import pytest
import torch
from runs import BRIEF, TABLE, TRAIN, losses, refused, run
from scored import coco_scores, mean_iou
from small import ARCH, CONFIGS, HEADS, REPOSITORY, Hostile, workplace

import vitdense
from vitdense.backbones import FILES, TransCNN
from vitdense.cli import COMMANDS, RENAMED, command, main
from vitdense.config.bundled import config_names
from vitdense.data import sample
from vitdense.errors import NotFinite, RankError, Stopped, UserError
from vitdense.report.facts import read_facts

LEAF = CONFIGS / 'retinanet_transcnn.py'

# ---- commands ---------------------------------------------------------------------------------------------

HELP = """
import runpy, sys
for path in sys.argv[1:]:
    sys.argv = [path, '--help']
    try:
        runpy.run_path(path, run_name='__main__')
    except SystemExit as end:
        assert end.code == 0, path
slow = {'torch', 'mmcv', 'mmdet', 'mmseg', 'matplotlib'} & sys.modules.keys()
assert not slow, slow
"""


def test_help_of_every_command_imports_no_torch():
    names = {*COMMANDS, *RENAMED} - {'configs', 'run'}
    tools = [CONFIGS.parent / f'tools/{name}.py' for name in sorted(names)]
    done = run('-c', HELP, *tools, cwd=CONFIGS.parent)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count('usage:') == len(tools)


def test_a_script_is_run_with_its_arguments_and_the_ops(tmp_path):
    (tmp_path / 'other.py').write_text('NAME = __name__')
    (tmp_path / 'script.py').write_text(
        'import sys, other, mmcv._ext\nprint(__name__, other.NAME, sys.argv[1:], mmcv._ext.__name__)'
    )
    done = run('-m', 'vitdense', 'run', tmp_path / 'script.py', 'a', '--b', cwd=CONFIGS.parent)
    assert done.stdout == "__main__ other ['a', '--b'] mmcv._ext\n", done.stderr
    done = run('-m', 'vitdense', 'run', tmp_path / 'absent.py', cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith('error: ')


@pytest.mark.parametrize(('version', 'code'), [('2.4.1+cpu', 2), ('2.1.2', 2), ('2.10.0', 0)])
def test_a_tool_says_which_torch_it_needs(call_tool, monkeypatch, version, code):
    monkeypatch.setattr('importlib.metadata.version', lambda name: version)
    done, _, errors = call_tool('check_data', 'retinanet_pit', '--sample')
    assert done == code
    assert not code or errors == f'error: needs torch 2.5 or newer, and this is torch {version}\n'


def test_a_module_runs_a_command_by_name(tmp_path):
    done = run('-m', 'vitdense', 'configs', cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, '')
    assert done.stdout.split() == config_names()
    assert len(config_names()) == len(HEADS) * len(FILES)


def test_every_command_is_in_the_documentation():
    text = (REPOSITORY / 'docs/running.md').read_text()
    rows = [line.split('|')[1] for line in text.splitlines() if line.startswith('| `')]
    assert {word for row in rows for word in re.findall(r'`(\w+)', row)} >= {*COMMANDS}


@pytest.mark.parametrize('words', [[], ['tarin'], ['--help']])
def test_without_a_command_the_console_command_lists_them(monkeypatch, capsys, words):
    monkeypatch.setattr(sys, 'argv', ['vitdense', *words])
    with pytest.raises(SystemExit) as end:
        main()
    out, err = capsys.readouterr()
    assert end.value.code == (0 if words == ['--help'] else 2)
    if words == ['--help']:
        assert all(f'\n  {name} ' in out for name in COMMANDS)
    else:
        assert 'COMMAND' in err


def test_an_old_command_works_and_warns_with_the_new_name(call):
    outcome = call('learnability', 'gone.py')
    assert outcome.code == 1
    assert re.match('warning: learnability .*overfit\n', outcome.err)
    assert 'gone.py: no such config' in outcome.out


def test_configs_lists_the_configs_and_copies_them_once(call, tmp_path):
    listed = call('configs')
    assert (listed.code, listed.err) == (0, '')
    assert listed.out.split() == config_names()
    copied = call('configs', '--copy', 'mine')
    assert (copied.code, copied.err) == (0, '')
    assert {path.stem for path in (tmp_path / 'mine').glob('*.py')} >= set(config_names())
    assert prepared('mine/pspnet_pit.py').model == prepared('pspnet_pit').model
    assert refused(call('configs', '--copy', 'mine')).startswith('--copy mine: ')


def prepared(*words):
    """The config that a command line makes; its data are not looked for."""
    return command.prepare(command.model_parser('').parse_args(words), ())


def test_a_bare_name_is_a_config_of_the_project(call, tmp_path):
    cfg = prepared('retinanet_transcnn')
    assert Path(cfg.filename).samefile(LEAF)
    assert Path(prepared('retinanet_transcnn.py').filename).samefile(LEAF)
    done = call('train', 'retinanet_transcn', '--sample')
    assert re.match('retinanet_transcn: .*retinanet_transcnn', refused(done))


def test_arguments_are_not_abbreviated(call):
    outcome = call('train', LEAF, '--sam')
    assert outcome.code == 2
    assert '--sam' in outcome.err.splitlines()[-1]


@pytest.mark.parametrize(
    ('error', 'rank', 'code', 'said'),
    [
        (UserError('no data'), '0', 2, 'error: no data\n'),
        (UserError('no data'), '1', 2, ''),  # the main process says it
        (RankError('no memory'), '1', 2, 'error: no memory\n'),
        (NotFinite('loss nan'), '1', 3, 'error: loss nan\n'),
        (Stopped(signal.SIGTERM, 7), '0', 143, 'stopped by SIGTERM after iteration 7, .*--resume.*\n'),
        (KeyboardInterrupt(), '0', 130, ''),
    ],
)
def test_every_end_has_its_exit_code(monkeypatch, capsys, error, rank, code, said):
    monkeypatch.setattr(sys, 'argv', ['tool'])
    monkeypatch.setenv('RANK', rank)
    monkeypatch.setenv('TORCH_FORCE_WEIGHTS_ONLY_LOAD', '0')  # which is set, and set back here

    def fail(args):
        raise error

    with pytest.raises(SystemExit) as end:
        command.run(fail, command.make_parser('Fails.'))
    assert end.value.code == code
    assert re.fullmatch(said, capsys.readouterr().err)


@pytest.mark.parametrize('leaf', ['mask_rcnn_pit', 'deeplabv3_vvt'])
def test_arch_and_its_config_key_give_the_same_config(leaf):
    by_option = prepared(leaf, '--sample', '--arch', 'small' if 'vvt' in leaf else 'b')
    arch = by_option.model.backbone.arch
    by_key = prepared(leaf, '--sample', '--cfg-options', f'model.backbone.arch={arch}')
    assert by_key.to_dict() == by_option.to_dict()
    assert by_option.model.to_dict() != prepared(leaf, '--sample').model.to_dict()
    both = prepared(leaf, '--sample', '--arch', arch, '--cfg-options', f'model.backbone.arch={arch}')
    assert both.to_dict() == by_option.to_dict()
    with pytest.raises(UserError, match=f'--arch {arch} .*model.backbone.arch=other'):
        prepared(leaf, '--arch', arch, '--cfg-options', 'model.backbone.arch=other')


def test_another_optimizer_has_no_arguments_of_the_samples():
    options = ['optim_wrapper.optimizer.type=torch.optim.SGD', 'optim_wrapper.optimizer.lr=0.5']
    optimizer = prepared('retinanet_transcnn', '--sample', '--cfg-options', *options).optim_wrapper.optimizer
    assert optimizer.lr == 0.5
    assert 'betas' not in optimizer
    assert 'betas' in prepared('retinanet_transcnn', '--sample').optim_wrapper.optimizer


@pytest.mark.parametrize('words', [['--arch', 'huge'], ['--cfg-options', 'model.backbone.arch=huge']])
def test_an_unknown_arch_names_those_that_there_are(words):
    with pytest.raises(UserError, match=r"--arch: TransCNN .*'huge'; known: tiny, small, medium, large$"):
        prepared('retinanet_transcnn', *words)


# ---- a run ------------------------------------------------------------------------------------------------


LIMITED = [word for word in BRIEF if 'max_iters' not in word]


def test_a_run_ends_with_its_minutes_its_average_and_a_validation(call, tmp_path, monkeypatch, no_pictures):
    clock = count()  # every look at it takes half a second
    monkeypatch.setattr('vitdense.engine.time_limit.seconds_of_process', lambda: next(clock) / 2)
    options = ['--max-minutes', '0.3', '--ema', '--patience', '9', '--work-dir', 'out']
    done = call('train', 'tiny.py', '--sample', *options, '--cfg-options', *LIMITED)
    assert (done.code, done.err) == (0, '')
    assert re.search(r' schedule  340 iterations, .*; fitted to 0\.3 minutes\n', done.out)
    assert re.search(
        r'  time  \S+ s are over, \d+ s are kept for the end, \d+ s are for training\n', done.out
    )
    ended = r'ended  after iteration (\d+) \(the schedule has 340\): --max-minutes 0\.3\n'
    (end,) = re.findall(ended, done.out)
    assert f'validation after iteration {end}\n' in done.out
    assert f'iter_{end}.pth' in done.out
    assert re.search(r' best  \S+best_coco_bbox_mAP_iter_\d+\.pth ', done.out)
    assert 'curves' in done.out

    again = ['tiny.py', '--sample', '--resume', '--max-minutes', '0.3', '--work-dir', 'out']
    few = call('train', *again)
    assert '--resume needs --ema' in refused_later(few)
    over = call('train', *again, '--ema')
    assert '--max-minutes 0.3: no time is left' in refused_later(over)
    for words in (['--patience', '0'], ['--max-minutes', '0'], ['--max-minutes', 'inf']):
        assert call('train', 'tiny.py', '--sample', *words).code == 2


def refused_later(outcome):
    """A user error after the first lines of a run."""
    assert outcome.code == 2
    assert outcome.err.count('error: ') == 1
    return outcome.err


def test_patience_needs_a_validation(call, tmp_path):
    none = ['val_dataloader=None', 'val_evaluator=None', 'val_cfg=None']
    done = call('train', 'tiny.py', '--sample', '--patience', '2', '--cfg-options', *BRIEF[:2], *none)
    assert '--patience' in refused(done)


@pytest.mark.nightly  # minutes
def test_compiled_it_trains_and_scores_the_same(call, tmp_path, monkeypatch, no_pictures):
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


@pytest.mark.nightly  # an interpreter that has compiled nothing yet; test_precision.py has a broken compiler
def test_compile_without_a_compiler_is_a_user_error_before_the_run(tmp_path, monkeypatch):
    monkeypatch.setenv('CXX', 'no-such-compiler')
    monkeypatch.setenv('TORCHINDUCTOR_FORCE_DISABLE_CACHES', '1')
    done = run(TRAIN, 'tiny.py', '--sample', '--compile', cwd=workplace(tmp_path))
    assert done.returncode == 2
    assert done.stderr.startswith('error: --compile: ')
    assert len(done.stderr.splitlines()) == 1


def test_released_weights_are_in_the_backbone_when_training_starts(call, tmp_path, no_pictures):
    backbone = TransCNN(ARCH)
    torch.save(dict(model=backbone.state_dict()), tmp_path / 'released.pth')
    still = ['optim_wrapper.optimizer.lr=0', 'optim_wrapper.optimizer.weight_decay=0']
    done = call('train', 'tiny.py', '--sample', '--weights', 'released.pth', '--cfg-options', *BRIEF, *still)
    assert (done.code, done.err) == (0, '')
    assert '  weights  backbone from released.pth; neck and heads calibrated by 16 images\n' in done.out
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


def test_one_checkpoint_of_supervit_is_tested_at_every_setting_of_its_dials(call, tmp_path, no_pictures):
    (tmp_path / 'super.py').write_text(SUPER)
    call('train', 'super.py', '--sample', '--work-dir', 'run', '--cfg-options', *BRIEF)
    settings = ['1:1', '1:0.5', '3/4:0.5']
    done = call('test', 'super.py', 'run/iter_2.pth', '--sample', '--work-dir', 'out', '--dials', *settings)
    assert (done.code, done.err) == (0, '')
    assert done.out.count('  model  RetinaNet on SuperViT\n') == 1
    rows = re.findall(r'│ +([\d.]+) │ +([\d.]+) │ +([\d.]+) G │ +([\d.]+) ms │', done.out)
    assert [row[:2] for row in rows] == [('1', '1'), ('1', '0.5'), ('0.75', '0.5')]
    costs = [float(row[2]) for row in rows]
    assert costs == sorted(costs, reverse=True)
    assert len(set(costs)) == 3

    facts = read_facts(tmp_path / 'out')
    assert [(one.scale, one.keep_rate) for one in facts.dials] == [(1, 1), (1, 0.5), (0.75, 0.5)]
    assert facts.evaluated.scores['coco/bbox_mAP'] == max(one.score for one in facts.dials)
    assert all(one.seconds > 0 for one in facts.dials)
    page = (tmp_path / 'out/report.html').read_text()
    assert all(f'>{setting}<' in page.replace('★ ', '') for setting in settings)

    done = call('test', 'tiny.py', 'run/iter_2.pth', '--sample', '--dials', '2:1')
    assert refused(done).startswith('--dials 2:1: ')


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
    'semantic_fpn': f"""
model.neck.update(in_channels={ARCH['dims']}, out_channels=16)
model.decode_head.update(in_channels=[16] * 4, channels=16)
""",
    'upernet': f"""
model.decode_head.update(in_channels={ARCH['dims']}, channels=16)
model.auxiliary_head.update(in_channels={ARCH['dims'][2]}, channels=16)
""",
}
SMALL_HEADS['deeplabv3'] = SMALL_HEADS['pspnet']


OFTEN = ('mask_rcnn', 'pspnet', 'semantic_fpn')


@pytest.mark.parametrize(
    'head', [pytest.param(head, marks=[] if head in OFTEN else pytest.mark.nightly) for head in SMALL_HEADS]
)
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

    # the checkpoint alone is enough, and predicts what is scored
    one = 'test_dataloader.batch_size=1'  # another size of a batch rounds otherwise
    done = call('test', 'run/iter_2.pth', '--cfg-options', few[1], one)
    assert (done.code, done.err) == (0, '')
    alone = dict(re.findall(r'│ (\w[\w ]+?) +│ +(\d+\.\d+|–) │', done.out))
    predictor = vitdense.load(tmp_path / 'run')
    if head == 'mask_rcnn':
        assert coco_scores(predictor, 4, ('bbox', 'segm')).items() <= alone.items()
    else:
        assert mean_iou(predictor, 4) == pytest.approx(float(alone['mIoU']), abs=0.006)


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


def test_skip_unreadable_skips_images_and_lists_them(call, tmp_path, monkeypatch, no_pictures):
    root = tmp_path / 'data'
    shutil.copytree(sample.root() / 'coco', root)
    images = sorted((root / 'train2017').iterdir())
    for path in images[::2]:
        path.write_bytes(b'not a picture')
    (tmp_path / 'elsewhere.py').write_text(ELSEWHERE)
    words = ['--data-root', 'data', '--work-dir', 'out', '--cfg-options', 'train_cfg.max_epochs=1']
    what = r'error: data/train2017/\d+\.png: cannot be read: '
    for rank in '01':  # of several processes the one that meets it reports it
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


def test_a_config_without_validation_trains(call, tmp_path, no_pictures):
    root = ['--data-root', sample.root() / 'coco']
    (tmp_path / 'blind.py').write_text(ELSEWHERE + 'val_dataloader = val_evaluator = val_cfg = None\n')
    done = call('train', 'blind.py', *root, '--cfg-options', 'train_cfg.max_epochs=1')
    assert (done.code, done.err) == (0, '')
    assert '\n      val  none\n' in done.out
    assert ', no validation\n' in done.out
    assert 'predictions' not in done.out
    assert ' checkpoint  work_dirs/blind/epoch_1.pth (' in done.out


def test_two_processes_split_a_batch_and_report_once(tmp_path):
    torchrun = ['-m', 'torch.distributed.run', '--standalone', '--nproc_per_node=2']
    words = ['--launcher', 'pytorch', '--sample', '--work-dir', 'out', '--cfg-options', *BRIEF]
    done = run(*torchrun, TRAIN, 'tiny.py', *words, cwd=workplace(tmp_path))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(' schedule  2 iterations, batch size 4 (2 processes of 2), ') == 1
    assert done.stdout.count('    norms  batch statistics of each process alone, ') == 1
    assert done.stdout.count('    train  2/2  ') == 1
    assert len(re.findall(TABLE, done.stdout)) == 1
    assert len(done.stdout.splitlines()) == len(set(done.stdout.splitlines()))
    assert (tmp_path / 'out' / 'iter_2.pth').is_file()
    assert list(losses(tmp_path / 'out')[0]) == [1, 2]


def test_a_terminal_shows_bars_and_gets_its_cursor_back_after_an_interrupt(tmp_path):
    workplace(tmp_path)
    options = [
        'train_cfg.max_iters=60',
        'train_cfg.val_interval=2',
        'val_dataloader.batch_size=1',
        *BRIEF[1:],
    ]
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


def test_data_root_trains_by_epochs_on_coco_elsewhere(call, tmp_path, no_pictures):
    root = tmp_path / 'datasets'
    root.mkdir()
    for part in ('annotations', 'train2017', 'val2017'):
        (root / part).symlink_to(sample.root() / 'coco' / part)
    (tmp_path / 'elsewhere.py').write_text(ELSEWHERE)
    done = call('train', 'elsewhere.py', '--data-root', root, '--cfg-options', 'train_cfg.max_epochs=2')
    assert (done.code, done.err) == (0, '')
    assert re.search(r'    train  4 images, 5 classes \(.*\), datasets\n', done.out)
    assert ' schedule  2 epochs of 2 iterations, batch size 2, validation every 1 epoch\n' in done.out
    assert '    train  4/4  ' in done.out
    assert 'epoch 2/2  loss ' in done.out
    assert done.out.index('validation after epoch 1\n') < done.out.index('validation after epoch 2\n')
    assert ' checkpoint  work_dirs/elsewhere/epoch_2.pth (' in done.out


# ---- bad input --------------------------------------------------------------------------------------------


def test_a_package_that_a_config_needs_and_is_not_there_is_a_user_error(call, monkeypatch):
    for name in ('tensorboard', 'torch.utils.tensorboard', 'tensorboardX'):
        monkeypatch.setitem(sys.modules, name, None)
    backend = 'visualizer.vis_backends.0.type=TensorboardVisBackend'
    # MMEngine finds a visualizer again by its experiment's name, which else is the second
    own = 'experiment_name=without_tensorboard'
    said = refused(call('train', 'tiny.py', '--sample', '--cfg-options', backend, own))
    assert re.match(r'.*tiny\.py: cannot be built: .*tensorboard', said)
    assert said.count('\n') == 1


@pytest.mark.parametrize('tool', ['train', 'test'])
def test_missing_data_is_a_user_error_with_its_place_and_layout(call, tmp_path, tool):
    (tmp_path / 'weights.pth').touch()
    checkpoint = ['weights.pth'] if tool == 'test' else []
    # this model could not be built: the data is looked for first
    said = refused(call(tool, LEAF, *checkpoint, '--cfg-options', 'model.backbone.drop_path_rate=none'))
    assert re.match(f'no data at data/coco, .*{tmp_path}/data/coco', said)
    for split in ('train', 'val'):
        for path in (f'annotations/instances_{split}2017.json', f'{split}2017/'):
            assert (f'    MISSING  data/coco/{path}\n' in said) == (split == 'val' or tool == 'train')
    assert '--data-root DIR' in said
    assert '--sample' in said
    assert {path.name for path in tmp_path.iterdir()} == {'configs', 'tiny.py', 'weights.pth'}


def test_data_that_is_partly_there_is_found_and_missing(call, tmp_path):
    (tmp_path / 'half' / 'train2017').mkdir(parents=True)
    said = refused(call('train', LEAF, '--data-root', 'half'))
    assert '    found    half/train2017/\n' in said
    assert '    MISSING  half/val2017/\n' in said


TYPOS = {
    'an unknown variant': (
        ['--sample', '--arch', 'huge'],
        "--arch: TransCNN has no arch 'huge'; known: tiny, small, medium, large",
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
        '--cfg-options train_cfg.max_iters: ',
    ),
    'a dict, which cannot be read': (
        ['--sample', '--cfg-options', 'model.backbone.init_cfg={type:Released}'],
        '--cfg-options model.backbone.init_cfg={type:Released}: ',
    ),
    'a dict with brackets, which cannot be read': (
        ['--sample', '--cfg-options', "train_dataloader.dataset.metainfo=dict(classes=('a','b'))"],
        '--cfg-options train_dataloader.dataset.metainfo=dict(',
    ),
    'a value without a key': (['--sample', '--cfg-options', '=3'], '--cfg-options =3: '),
    'brackets that do not match': (
        ['--sample', '--cfg-options', 'model.neck.in_channels=[1,2'],
        '--cfg-options: ',
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
        '--resume gone.pth: ',
    ),
    'processes that nothing started': (
        ['--sample', '--launcher', 'pytorch'],
        '--launcher pytorch: $RANK ',
    ),
}


@pytest.mark.parametrize(('words', 'expected'), TYPOS.values(), ids=TYPOS)
def test_a_mistyped_command_line_is_a_user_error_in_one_line(call, tmp_path, monkeypatch, words, expected):
    monkeypatch.delenv('RANK', raising=False)
    said = refused(call('train', LEAF, *words))
    assert expected in said
    assert said.count('\n') == 1 or words[1] == '--data-root'
    assert {path.name for path in tmp_path.iterdir()} == {'configs', 'tiny.py'}  # nothing was started


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
def test_a_number_out_of_range_is_refused_with_its_option(call, tool, option, values, least):
    said = call(tool, LEAF, option, *values)
    assert (said.code, said.out) == (2, '')
    assert re.search(f'argument {option}: .*from {least}, got {values[0]}$', said.err.splitlines()[-1])


def test_a_value_that_a_class_refuses_is_a_user_error_with_its_traceback_in_the_log(call):
    said = refused(call('train', LEAF, '--sample', '--cfg-options', 'model.backbone.out_indices=[9]'))
    assert said.count('\n') == 1
    assert re.match(f'{LEAF}: .*out_indices', said)
    log = re.search(r'traceback in (.+\.log)', said)[1]
    assert 'Traceback' in Path(log).read_text()


@pytest.mark.parametrize(
    ('config', 'expected'),
    [
        (
            'configs/retinanet_transcn.py',
            r'configs/retinanet_transcn\.py: .* retinanet_transcnn\.py',
        ),
        ('nowhere/at_all.py', r'nowhere/at_all\.py: .* nowhere '),
        ('configs/_base_/runtime.py', r'configs/_base_/runtime\.py: .*`model`'),
    ],
)
def test_an_unknown_config_is_a_user_error_with_the_nearest(call, config, expected):
    said = refused(call('train', config, '--sample'))
    assert re.match(expected, said.rstrip())
    assert said.count('\n') == 1


def test_a_cache_folder_that_cannot_hold_the_sample_is_a_user_error(call, tmp_path, monkeypatch):
    monkeypatch.setenv('VITDENSE_CACHE', str(tmp_path / 'tiny.py'))  # a file, so no folder
    said = refused(call('train', LEAF, '--sample'))
    assert f'{tmp_path}/tiny.py/sample-v' in said
    assert 'VITDENSE_CACHE' in said


def test_a_missing_checkpoint_is_a_user_error_before_anything_is_written(call, tmp_path):
    said = refused(call('test', 'tiny.py', 'gone.pth', '--sample'))
    assert said.startswith('gone.pth: ')
    assert said.count('\n') == 1
    assert not (tmp_path / 'work_dirs').exists()


@pytest.mark.parametrize('case', ['missing', 'hostile', 'other'])
def test_released_weights_that_do_not_fit_are_refused_in_one_line(call, tmp_path, case):
    if case == 'hostile':
        torch.save(Hostile('marker'), tmp_path / 'released.pth')
    elif case == 'other':
        torch.save(TransCNN(ARCH | dict(depths=[2, 1, 1, 1])).state_dict(), tmp_path / 'released.pth')
    said = refused(call('train', 'tiny.py', '--sample', '--weights', 'released.pth', '--work-dir', 'out'))
    expected = {
        'missing': 'released.pth: no such ',
        'hostile': 'released.pth: refused to load: ',
        'other': 'released.pth does not hold the weights of this TransCNN',
    }
    assert said.startswith(expected[case])
    assert said.count('\n') == 1
    assert not (tmp_path / 'marker').exists()
    assert not list((tmp_path / 'out').glob('*.pth'))


def test_the_work_dir_of_a_config_is_used_but_not_by_a_copy_that_lies_in_it(call, tmp_path):
    config = (tmp_path / 'tiny.py').read_text() + "work_dir = 'chosen'\n"
    (tmp_path / 'own.py').write_text(config)
    done = call('train', 'own.py', '--sample', '--preflight')
    assert (done.code, done.err) == (0, '')
    assert '      log  chosen/' in done.out
    done = call('train', 'own.py', '--sample', '--preflight', '--work-dir', 'other')
    assert '      log  other/' in done.out
    copy = tmp_path / 'chosen/own.py'
    (tmp_path / 'chosen/configs').symlink_to(CONFIGS)
    copy.write_text(config)
    done = call('train', 'chosen/own.py', '--sample', '--preflight')
    assert '      log  work_dirs/own/' in done.out


@pytest.mark.parametrize('key', ['out_dir', 'filename_tmpl'])
def test_checkpoints_that_resume_would_not_find_are_refused(call, key):
    said = refused(call('train', 'tiny.py', '--sample', '--cfg-options', f'default_hooks.checkpoint.{key}=x'))
    assert f'default_hooks.checkpoint.{key}=' in said
    assert '--resume' in said
