"""A finished training, and what its folder is good for: its report, its files, tests, resuming."""

import json
import pickle
import re
import shutil
import subprocess
import sys

import cv2
import pytest
import torch
from runs import BRIEF, CLASS_TABLE, HERE, TABLE, TRAIN, files, losses, refused, run, scores
from scored import coco_scores
from small import Hostile, workplace

import vitdense
from vitdense.checkpoint import SAFE_GLOBALS, read
from vitdense.data import sample

ITERATIONS = 20
LEARN = [  # a schedule for so few iterations
    f'train_cfg.max_iters={ITERATIONS}',
    'train_dataloader.batch_size=4',
    'auto_scale_lr.base_batch_size=8',  # of which the preflight check warns
    'optim_wrapper.optimizer.lr=5e-3',
    'param_scheduler.0.end=2',
    'param_scheduler.1.begin=2',
    f'param_scheduler.1.end={ITERATIONS}',
    'default_hooks.logger.interval=1',
]


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
    """A copy of the finished run, to resume."""
    folder = tmp_path / 'again'
    shutil.copytree(trained[0], folder, symlinks=True)
    return folder


def test_training_shows_its_preamble_progress_scores_and_files(trained):
    _, done = trained
    stamp = r'\d{8}_\d{6}'
    announced = rf""" vitdense  0\.1\.0, torch \S+
   config  tiny\.py
    model  RetinaNet on TransCNN
     size  0\.1 M parameters: backbone 0\.0 M, neck 0\.0 M, bbox_head 0\.0 M
  weights  random initialization; neck and heads calibrated by 16 images
    train  780 images, 5 classes \(boat, fish, house, starfish, lifebuoy\), \S+/coco
      val  24 images, 5 classes \(boat, fish, house, starfish, lifebuoy\), \S+/coco
 schedule  20 iterations, batch size 4, validation every \d+ iterations
optimizer  AdamW, learning rate 0\.005, weight decay 0 to 0\.0001
   device  cpu, \d+ threads? \([\w= ]+\), float32
      ops  .+
      log  work_dirs/tiny/{stamp}/{stamp}\.log
   filter  \S+/instances_train2017\.json: 20 of 800 images are not trained on, by filter_cfg \(.+\)
   images  train 128 × 128 \(H × W after the pipeline, 32 samples\)
   labels  in 32 samples: (?:\w+ \d+%, ){{4}}\w+ \d+%; \d\.\d% of objects ignored
     maps  8 channels at 1/4, 16 channels at 1/8, 24 channels at 1/16, 32 channels at 1/32
   recipe  warning: batch size 4, .+ batch size 8; .+ 0\.005 → 0\.0025
     rate  5e-05 at first, 0\.005 at iteration 2, [\d.e-]+ at last
   scored  warning: 56 of the 80 images that the evaluator scores are not loaded: .+
   memory  about \d\.\d GiB for batch size 4, this device has .+
   images  val 97 × 128 to 128 × 128 \(H × W after the pipeline, 13 samples\)
"""
    pace = r'\d+\.\d\d s/it  eta \d:\d\d:\d\d  '
    progress = rf"""(?:    train  \d+/20  {pace}loss .+
)*    train  20/20  {pace}loss \d\.\d{{3}} \(cls \d\.\d{{3}} bbox \d\.\d{{3}}\)  lr \d\.\de-\d\d
(?:      val  \d+/24  {pace}
)*"""
    named = rf""" checkpoint  work_dirs/tiny/iter_20\.pth \(\d\S* MB\)
       best  work_dirs/tiny/best_coco_bbox_mAP_iter_20\.pth \(\d\S* MB, weights alone\), bbox mAP \d\.\d{{3}}
     curves  work_dirs/tiny/curves\.png
predictions  work_dirs/tiny/predictions\.png
     report  work_dirs/tiny/report\.html
        log  work_dirs/tiny/{stamp}/{stamp}\.log
"""
    whole = announced + progress + 'validation after iteration 20\n' + TABLE + CLASS_TABLE + named
    assert re.fullmatch(whole, done.stdout), done.stdout


def test_training_writes_nothing_to_stderr(trained):
    assert trained[1].stderr == ''


def test_what_the_libraries_print_is_in_the_log_and_not_on_the_terminal(trained):
    folder, done = trained
    log = (folder / re.search(r'log  (\S+)', done.stdout).group(1)).read_text()
    environment, config, printed = 'System environment', 'param_scheduler = [', 'Average Precision'
    for kept_out in (environment, config, printed, 'mmengine - INFO', 'mmengine - WARNING'):
        assert kept_out in log
        assert kept_out not in done.stdout


def test_the_named_checkpoint_and_pictures_are_there(trained):
    folder, done = trained
    named = dict(re.findall(r'^ *(checkpoint|best|curves|predictions|log)  (\S+)', done.stdout, re.MULTILINE))
    assert set(named) == {'checkpoint', 'best', 'curves', 'predictions', 'log'}
    saved, best = (
        torch.load(folder / named[which], map_location='cpu', weights_only=False)
        for which in ('checkpoint', 'best')
    )
    assert best.keys() & {'optimizer', 'param_schedulers', 'state_dict'} == {'state_dict'}
    weights = saved['state_dict']
    assert all(torch.equal(tensor, best['state_dict'][name]) for name, tensor in weights.items())
    assert weights['backbone.stem.0.weight'].shape == (16, 3, 3, 3)
    for picture in ('curves', 'predictions'):
        image = cv2.imread(str(folder / named[picture]))
        assert min(image.shape[:2]) > 300
        assert image.std() > 10  # not blank


def test_the_test_command_repeats_the_scores_of_the_validation(trained, call, tmp_path):
    folder, done = trained
    checkpoint = folder / 'work_dirs/tiny/iter_20.pth'
    before = files(folder)
    tested = call('test', folder / 'tiny.py', checkpoint, '--sample', '--work-dir', 'out')
    assert (tested.code, tested.err) == (0, '')
    assert f'  weights  checkpoint {checkpoint}\n' in tested.out
    assert '\n     test  24 images, 5 classes' in tested.out
    assert scores(tested.out) == scores(done.stdout)
    assert len(set(scores(done.stdout).values()) - {'0.000', '–'}) > 1  # scores of something
    assert tested.out.splitlines()[-3:-1] == [
        'predictions  out/predictions.png',
        '     report  out/report.html',
    ]
    assert (tmp_path / 'out' / 'predictions.png').is_file()
    assert files(folder) == before


def test_a_test_set_without_labels_is_written_down_and_drawn(trained, call, tmp_path):
    truth = json.loads((sample.root() / 'coco/annotations/instances_val2017.json').read_text())
    unlabelled = tmp_path / 'unlabelled.json'
    unlabelled.write_text(json.dumps({key: truth[key] for key in ('images', 'categories')}))
    options = {
        'test_dataloader.dataset.ann_file': unlabelled,
        'test_evaluator.ann_file': unlabelled,
        'test_evaluator.format_only': True,
        'test_evaluator.outfile_prefix': tmp_path / 'found',
    }
    words = [f'{key}={value}' for key, value in options.items()]
    checkpoint = trained[0] / 'work_dirs/tiny/iter_20.pth'
    done = call('test', 'tiny.py', checkpoint, '--sample', '--work-dir', 'out', '--cfg-options', *words)
    assert (done.code, done.err) == (0, '')
    assert 'test: results in found.bbox.json; no scores, because of format_only\n' in done.out
    assert len(json.loads((tmp_path / 'found.bbox.json').read_text())) > 24
    assert 'warning' not in done.out
    assert '\npredictions  out/predictions.png\n' in done.out
    assert (tmp_path / 'out/predictions.png').is_file()


def test_resume_continues_from_the_last_checkpoint_and_merges_the_curves(again, call):
    before = files(again / 'work_dirs')
    first = losses(again / 'work_dirs/tiny')
    longer = ['train_cfg.max_iters=24', *LEARN[1:], HERE]
    done = call('train', 'tiny.py', '--sample', '--resume', '--cfg-options', *longer, cwd=again)
    assert (done.code, done.err) == (0, '')
    assert '  weights  resumed from work_dirs/tiny/iter_20.pth\n' in done.out
    assert re.search('  resumed  warning: .* train_cfg.max_iters is 24, was 20', done.out)
    assert '    train  24/24  ' in done.out
    assert 'validation after iteration 24\n' in done.out
    assert ' checkpoint  work_dirs/tiny/iter_24.pth (' in done.out

    runs = losses(again / 'work_dirs/tiny')
    assert runs[:-1] == first
    assert list(runs[0]) == list(range(1, 21))
    assert list(runs[1]) == list(range(21, 25))
    last = torch.load(again / 'work_dirs/tiny/iter_24.pth', weights_only=False)
    steps = {int(state['step']) for state in last['optimizer']['state'].values()}
    assert steps == {24}  # AdamW has not started anew
    curves = again / 'work_dirs/tiny/curves.png'
    assert curves.read_bytes() != before[curves]


def test_a_second_run_without_a_work_dir_gets_a_numbered_one(again, call, no_pictures):
    before = files(again / 'work_dirs')
    done = call('train', 'tiny.py', '--sample', '--cfg-options', *BRIEF, cwd=again)
    assert done.code == 0
    assert ' checkpoint  work_dirs/tiny-2/iter_2.pth (' in done.out
    assert files(again / 'work_dirs/tiny') == before


def test_the_test_command_leaves_a_work_dir_with_predictions_alone(again, call):
    before = files(again)
    words = ['test', 'tiny.py', 'work_dirs/tiny/iter_20.pth', '--sample']
    said = refused(call(*words, '--work-dir', 'work_dirs/tiny', cwd=again))
    assert said.startswith('--work-dir work_dirs/tiny ')
    assert said.count('\n') == 1
    assert files(again) == before


def test_amp_validates_as_test_amp_scores_and_resumes(again, call, no_pictures, monkeypatch):
    # folded batch norms are rounded in other places
    monkeypatch.setattr('vitdense.engine.precision.FuseHook.before_test', lambda hook, runner: None)
    still = ['load_from=work_dirs/tiny/iter_20.pth', 'optim_wrapper.optimizer.lr=0']
    still += ['optim_wrapper.optimizer.weight_decay=0', *BRIEF[1:2], *BRIEF[3:]]
    words = ['train', 'tiny.py', '--sample', '--cfg-options', *still]
    full = call(*words, 'train_cfg.max_iters=1', '--work-dir', 'full', cwd=again)
    mixed = call(*words, 'train_cfg.max_iters=1', '--work-dir', 'mixed', '--amp', cwd=again)
    assert ', float32\n' in full.out
    assert ', bfloat16 autocast\n' in mixed.out or ', float16 autocast\n' in mixed.out
    half, exact = losses(again / 'mixed')[0][1], losses(again / 'full')[0][1]
    assert half == pytest.approx(exact, rel=0.02)  # the same images and weights
    assert half != exact
    weights = read(again / 'mixed/iter_1.pth', allow=SAFE_GLOBALS)['state_dict'].values()
    assert {tensor.dtype for tensor in weights} == {torch.float32, torch.int64}

    tested = call('test', 'tiny.py', 'mixed/iter_1.pth', '--sample', '--amp', cwd=again)
    assert (tested.code, tested.err) == (0, '')
    assert scores(tested.out) == scores(mixed.out)
    assert len(set(scores(tested.out).values()) - {'0.000', '–'}) > 1

    more = call(*words, 'train_cfg.max_iters=2', '--work-dir', 'mixed', '--amp', '--resume', cwd=again)
    assert (more.code, more.err) == (0, '')
    assert list(losses(again / 'mixed')[1]) == [2]


def test_a_work_dir_with_checkpoints_is_not_overwritten_without_resume(again, call):
    before = files(again)
    said = refused(call('train', 'tiny.py', '--sample', '--work-dir', 'work_dirs/tiny', cwd=again))
    assert said.startswith('--work-dir work_dirs/tiny ')
    assert '--resume' in said
    assert files(again) == before


def bad_files(folder, whole):
    """Files that are no checkpoints, by what is wrong with them."""
    (folder / 'text.pth').write_text('these are not weights\n')
    (folder / 'empty.pth').touch()
    (folder / 'cut.pth').write_bytes(whole.read_bytes()[:-1000])
    (folder / 'pickle.pth').write_bytes(pickle.dumps(dict(state_dict=Hostile('marker'))))
    torch.save(dict(state_dict={}, optimizer=Hostile('marker')), folder / 'zip.pth')
    torch.save([1, 2, 3], folder / 'list.pth')


@pytest.mark.parametrize('name', ['text', 'empty', 'cut', 'pickle', 'zip', 'list'])
def test_a_file_that_is_no_checkpoint_is_refused_and_not_executed(trained, call, tmp_path, name):
    bad_files(tmp_path, trained[0] / 'work_dirs/tiny/iter_20.pth')
    said = refused(call('test', 'tiny.py', f'{name}.pth', '--sample'))
    assert said.startswith(f'{name}.pth: ')
    assert said.count('\n') == 1
    if name in ('pickle', 'zip'):
        assert f'{name}.pth: refused to load: ' in said
    assert not (tmp_path / 'marker').exists()
    pickle.loads((tmp_path / 'pickle.pth').read_bytes())  # the trap is real
    assert (tmp_path / 'marker').exists()


def test_the_config_inside_a_checkpoint_is_not_run(again, call, no_pictures):
    path = again / 'work_dirs/tiny/iter_20.pth'
    contents = torch.load(path, weights_only=False)
    contents['meta']['config'] = 'from pathlib import Path\nPath("marker").touch()\n'
    torch.save(contents, path)
    options = ['train_cfg.max_iters=21', *LEARN[1:], HERE]
    done = call('train', 'tiny.py', '--sample', '--resume', '--cfg-options', *options, cwd=again)
    assert done.code == 0
    assert not (again / 'marker').exists()


def test_the_checkpoint_of_another_model_is_refused_and_the_work_dir_stays_as_it_was(again, call):
    before = files(again)
    words = ['tiny.py', '--sample', '--resume', '--cfg-options', 'model.bbox_head.stacked_convs=2']
    said = refused(call('train', *words, cwd=again))
    assert re.search(r'iter_20\.pth: the checkpoint of another model: .* 4 of the model are missing', said)
    assert said.count('\n') == 1
    assert {path: contents for path, contents in files(again).items() if path in before} == before


def test_weights_alone_cannot_be_resumed(again, call):
    weights = torch.load(again / 'work_dirs/tiny/iter_20.pth', weights_only=False)['state_dict']
    torch.save(weights, again / 'weights.pth')
    said = refused(call('train', 'tiny.py', '--sample', '--resume', 'weights.pth', cwd=again))
    assert re.match(r'weights\.pth: holds weights, .*--resume', said)


def test_a_checkpoint_alone_predicts_in_a_process_that_has_imported_nothing_else(trained):
    script = "import vitdense; print(len(vitdense.load('work_dirs/tiny').classes))"
    done = subprocess.run([sys.executable, '-c', script], cwd=trained[0], capture_output=True, text=True)
    assert done.stdout.endswith('5\n'), done.stderr


def test_a_checkpoint_alone_is_tested_and_predicts_what_is_scored(again, call, no_pictures):
    one = 'test_dataloader.batch_size=1'
    alone = call('test', 'work_dirs/tiny/iter_20.pth', '--cfg-options', one, cwd=again)
    assert (alone.code, alone.err) == (0, '')
    assert (again / 'work_dirs/tiny-test').is_dir()
    beside = call('test', 'tiny.py', '--sample', 'work_dirs/tiny', '--cfg-options', one, cwd=again)
    assert scores(beside.out) == scores(alone.out)
    assert 'trained with' not in alone.out + beside.out
    predictor = vitdense.load(again / 'work_dirs/tiny')
    assert coco_scores(predictor, 24).items() <= {**scores(alone.out), 'bbox mAP l': '–'}.items()

    other = call('test', 'tiny.py', '--sample', 'work_dirs/tiny', '--cfg-options', one,
                 'model.test_cfg.score_thr=0.1', cwd=again)  # fmt: skip
    assert (
        'warning: not those that the checkpoint was trained with: model.test_cfg.score_thr is 0.1'
        in other.out
    )


def test_a_checkpoint_carries_its_scores_and_versions(trained):
    described = read(trained[0] / 'work_dirs/tiny/best_coco_bbox_mAP_iter_20.pth', SAFE_GLOBALS)['meta'][
        'vitdense'
    ]
    assert described['name'] == 'tiny'
    assert f'{described["scores"]["coco/bbox_mAP"]:.3f}' == scores(trained[1].stdout)['bbox mAP']
    assert described['versions'].keys() >= {'vitdense', 'torch', 'mmengine', 'mmcv', 'mmdet'}
    newest = read(trained[0] / 'work_dirs/tiny/iter_20.pth', SAFE_GLOBALS)['meta']['vitdense']
    assert newest == described  # it is written once more after the validation
