"""What a machine does to a run is a user error, and the training is saved before."""

import copy
import os
import re
import shutil
import signal
from pathlib import Path

import mmdet.datasets.transforms
import pytest
import torch
from line import Points, loader
from mmcv.transforms import LoadImageFromFile
from mmdet.datasets import CocoDataset
from mmengine.hooks import Hook
from mmseg.datasets import BaseSegDataset
from mmseg.datasets.transforms import LoadAnnotations

from vitdense.checkpoint import SAFE_GLOBALS, read
from vitdense.data import sample
from vitdense.data.unreadable import SkipUnreadable, UnreadableFile
from vitdense.engine.faults import faults_as_errors
from vitdense.errors import UserError


class Deadly(Points):
    """Its fifth sample ends the process that loads it."""

    def __getitem__(self, index):
        if index == 5 and torch.utils.data.get_worker_info():
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__getitem__(index)


def test_a_killed_worker_is_a_user_error_and_the_run_is_saved_for_resume(make_runner, tmp_path):
    torch.manual_seed(0)
    runner = make_runner(
        train_dataloader=dict(loader(1), dataset=Deadly(), num_workers=1, prefetch_factor=1),
        train_cfg=dict(by_epoch=False, max_iters=8, val_interval=8),
        default_hooks=dict(checkpoint=dict(type='CheckpointHook', interval=8, by_epoch=False)),
    )
    with pytest.raises(UserError) as stop, faults_as_errors(runner):
        runner.train()
    assert re.match(r'a data-loading worker was killed( \(Killed\))?, ', str(stop.value))
    kept = runner.iter
    assert re.search(rf'saved after iteration {kept}; --resume', str(stop.value))
    assert 1 <= kept <= 5
    torch.manual_seed(0)
    whole = make_runner(tmp_path / 'whole', train_cfg=dict(by_epoch=False, max_iters=kept, val_interval=8))
    whole.train()
    saved = read(tmp_path / f'run/iter_{kept}.pth', allow=SAFE_GLOBALS)
    assert saved['meta']['iter'] == kept
    assert all(torch.equal(saved['state_dict'][k], v) for k, v in whole.model.state_dict().items())


def test_in_the_middle_of_an_iteration_nothing_is_saved(make_runner, tmp_path):
    """A killed worker is reported wherever the run is, also between an optimizer step and the averages."""

    class Dies(Hook):
        def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
            if runner.iter == 2:
                raise RuntimeError('DataLoader worker (pid 7) is killed by signal: Killed.')

    runner = make_runner()
    runner.register_hook(Dies(), 'HIGHEST')
    with pytest.raises(UserError) as stop, faults_as_errors(runner):
        runner.train()
    assert 'saved' not in str(stop.value)
    assert sorted(path.name for path in (tmp_path / 'run').glob('*.pth')) == ['iter_1.pth', 'iter_2.pth']
    assert re.search(r'middle of an iteration; --resume .* iter_2\.pth$', str(stop.value))


def test_a_full_disk_is_a_user_error_and_the_checkpoint_before_is_whole(make_runner, tmp_path):
    (tmp_path / 'run').mkdir()
    (tmp_path / 'run/iter_3.pth.part').symlink_to('/dev/full')  # where every write finds the disk full
    runner = make_runner()
    with pytest.raises(UserError) as stop, faults_as_errors(runner):
        runner.train()
    assert re.search('run: No space left on device; .*--resume', str(stop.value))
    assert read(tmp_path / 'run/iter_2.pth', allow=SAFE_GLOBALS)['meta']['iter'] == 2
    assert not any((tmp_path / 'run').glob('iter_3*'))  # nor does a half of it keep the disk full


def test_a_bug_keeps_its_traceback(make_runner):
    runner = make_runner()

    def fail(*words):
        raise RuntimeError('a mistake')

    runner.train_loop.run_iter = fail
    with pytest.raises(RuntimeError, match='a mistake'), faults_as_errors(runner):
        runner.train()


# ---- files that cannot be read ----------------------------------------------------------------------------


@pytest.fixture
def coco(tmp_path):
    """Boxes of the sample world, with images of its own."""
    (tmp_path / 'val2017').mkdir()
    dataset = CocoDataset(
        data_root=str(tmp_path),
        ann_file=str(sample.root() / 'coco/annotations/instances_val2017.json'),
        data_prefix=dict(img='val2017'),
        metainfo=dict(classes=sample.CLASSES),
        pipeline=[dict(type=LoadImageFromFile), dict(type=mmdet.datasets.transforms.LoadAnnotations)],
        indices=4,
    )
    for index in range(4):
        path = Path(dataset.get_data_info(index)['img_path'])
        shutil.copy(sample.root() / 'coco/val2017' / path.name, path)
    return dataset


@pytest.fixture
def maps(tmp_path):
    """Label maps of the sample world."""
    root = sample.root() / 'ade/ADEChallengeData2016'
    for part in ('images', 'annotations'):
        (tmp_path / part).mkdir()
        for path in sorted((root / part / 'validation').iterdir())[:4]:
            shutil.copy(path, tmp_path / part)
    return BaseSegDataset(
        data_root=str(tmp_path),
        data_prefix=dict(img_path='images', seg_map_path='annotations'),
        img_suffix='.png',
        metainfo=dict(classes=sample.SEG_CLASSES),
        pipeline=[dict(type=LoadImageFromFile), dict(type=LoadAnnotations)],
    )


def damage(path, how):
    if how == 'missing':
        path.unlink()
    else:
        path.write_bytes(dict(text=b'not a picture', empty=b'', cut=path.read_bytes()[:200])[how])


@pytest.mark.parametrize('how', ['missing', 'text', 'empty', 'cut'])
@pytest.mark.parametrize(
    ('which', 'key'), [('coco', 'img_path'), ('maps', 'img_path'), ('maps', 'seg_map_path')]
)
def test_an_unreadable_file_is_named(request, which, key, how):
    dataset = request.getfixturevalue(which)
    path = Path(dataset.get_data_info(2)[key])
    damage(path, how)
    readable = SkipUnreadable(dataset)
    assert readable[1]['img'].shape == dataset[1]['img'].shape
    with pytest.raises(UnreadableFile, match=f'{path.name}: cannot be read: '):
        readable[2]


def test_an_unreadable_file_that_is_mixed_into_others_is_named_too(coco):
    """Which image a mosaic took, only the dataset inside it knows."""
    mix = dict(type=mmdet.datasets.transforms.MixUp, img_scale=(64, 64))
    coco.pipeline.transforms[1].box_type = None
    mixed = SkipUnreadable(mmdet.datasets.MultiImageMixDataset(coco, pipeline=[mix]))
    assert mixed[0]['img'].ndim == 3
    path = Path(coco.get_data_info(2)['img_path'])
    damage(path, 'text')
    with pytest.raises(UnreadableFile, match=f'{path.name}: cannot be read: '):
        mixed[2]


@pytest.mark.parametrize('workers', [0, 2])
def test_an_unreadable_file_is_the_same_user_error_from_a_worker(coco, make_runner, workers):
    path = Path(coco.get_data_info(3)['img_path'])
    damage(path, 'text')
    batches = iter(torch.utils.data.DataLoader(SkipUnreadable(coco), num_workers=workers, collate_fn=list))
    runner = make_runner()
    with pytest.raises(UserError) as stop, faults_as_errors(runner):
        list(batches)
    if workers:
        batches._shutdown_workers()  # the garbage collector would wait five seconds for each
    first, hint = str(stop.value).splitlines()
    assert re.search(rf'{path.name}: cannot be read: \w', first)
    assert 'check_data' in hint
    assert '--skip-unreadable' in hint


def test_skip_unreadable_skips_so_many_and_lists_them(coco, tmp_path):
    for index in (0, 1, 3):
        damage(Path(coco.get_data_info(index)['img_path']), 'text')
    readable = SkipUnreadable(coco, skips=3, folder=tmp_path)
    batches = torch.utils.data.DataLoader(readable, num_workers=2, collate_fn=list, sampler=[0, 3, 2])
    second = coco[2]
    for _ in range(3):  # epochs, in which the same files are met again
        names = [batch[0]['img_path'] for batch in batches]
        assert names == [second['img_path']] * 3  # 0, 1 and 3 are not there: 2 comes for each
    damage(Path(second['img_path']), 'text')
    with pytest.raises(UnreadableFile, match=Path(second['img_path']).name):
        readable[2]
    record = (tmp_path / 'unreadable.txt').read_text().splitlines()
    assert len(record) == len(set(record)) == 3
    assert all(': cannot be read: ' in line for line in record)


def test_another_exception_in_the_pipeline_stays_what_it_is(coco):
    coco.pipeline.transforms.insert(0, lambda results: results['nothing'])
    with pytest.raises(KeyError, match='nothing'):
        SkipUnreadable(coco)[0]


def test_the_wrapper_is_otherwise_the_dataset(coco):
    readable = copy.deepcopy(SkipUnreadable(coco))
    assert len(readable) == 4
    assert readable.metainfo is not None
    assert readable.get_data_info(0) == coco.get_data_info(0)
