"""`--augment`: the libraries' transforms draw samples, the same each time; the run shows sixteen of them."""

import drawn_folders as drawn
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DATASETS, init_default_scope
from PIL import Image
from small import CONFIGS, workplace

from vitdense.config.tree import dicts, innermost, name_of
from vitdense.data.augment import augment
from vitdense.data.own_data import name_files, read_own_data, use_own_data, write_own_data
from vitdense.data.own_schedule import Wanted
from vitdense.data.reproducible import SampleId, SeededDataset
from vitdense.errors import UserError

POLYGONS = lambda folder: drawn.yolo(folder, polygons=True)  # noqa: E731
HEADS = dict(retinanet_pit=drawn.voc, mask_rcnn_pit=POLYGONS, pspnet_pit=drawn.label_maps)


def built(tmp_path, head, kind, change=lambda cfg: None):
    """The training data of a config, changed before, with such an augmentation."""
    data = read_own_data([HEADS[head](tmp_path / 'data')], None)
    cfg = Config.fromfile(CONFIGS / f'{head}.py')
    change(cfg)
    use_own_data(cfg, data, 64, Wanted(augment=kind))
    name_files(cfg, write_own_data(data, tmp_path / 'files'))
    init_default_scope(cfg.default_scope)
    return cfg, SeededDataset(DATASETS.build(cfg.train_dataloader.dataset), 0)


@pytest.mark.parametrize('kind', ['light', 'strong'])
@pytest.mark.parametrize('head', HEADS)
def test_samples_are_drawn_by_their_number_and_lie_on_their_images(head, kind, tmp_path):
    _, dataset = built(tmp_path, head, kind)
    first, again = ([dataset[SampleId(i, 0, i)] for i in range(8)] for _ in range(2))
    assert all(one['inputs'].equal(other['inputs']) for one, other in zip(first, again, strict=True))
    assert not dataset[SampleId(0, 0, 1)]['inputs'].equal(first[0]['inputs'])
    for item in first:
        sample, (height, width) = item['data_samples'], item['inputs'].shape[-2:]
        if 'gt_sem_seg' in sample:
            assert sample.gt_sem_seg.shape == (height, width)
            assert set(sample.gt_sem_seg.data.unique().tolist()) <= {0, 1, 2, 3, 255}
            continue
        boxes = sample.gt_instances.bboxes.tensor
        assert len(boxes) == len(sample.gt_instances.labels)
        assert (boxes >= 0).all()
        assert (boxes <= torch.tensor([width, height] * 2)).all()
        if head == 'mask_rcnn_pit':
            masks = sample.gt_instances.masks
            assert masks.masks.shape == (len(boxes), height, width)
            for box, mask in zip(boxes, masks.masks, strict=True):
                rows, columns = np.nonzero(mask)
                assert box[1] - 1 <= rows.min() <= rows.max() <= box[3]
                assert box[0] - 1 <= columns.min() <= columns.max() <= box[2]


@pytest.mark.parametrize('head', ['retinanet_pit', 'pspnet_pit'])
def test_sizes_of_one_number_and_images_of_floats(head, tmp_path):
    def change(cfg):
        for part in dicts([cfg[f'{part}_dataloader'] for part in ('train', 'val', 'test')]):
            for key in {'scale', 'crop_size'} & part.keys():
                part[key] = 512
            if name_of(part) == 'LoadImageFromFile':
                part['to_float32'] = True

    _, dataset = built(tmp_path, head, 'strong', change)
    for i in range(4):
        assert max(dataset[SampleId(i, 0, i)]['inputs'].shape) <= 96  # 64, and 1.5 times that


def test_half_of_the_samples_are_mosaics(tmp_path):
    """A mosaic shows objects of four images; no image here has more than three."""
    cfg, dataset = built(tmp_path, 'retinanet_pit', 'strong')
    assert name_of(cfg.train_dataloader.dataset) == 'MultiImageMixDataset'
    counts = [len(dataset[SampleId(i % 10, 0, i)]['data_samples'].gt_instances) for i in range(60)]
    assert 0.3 < np.mean([count > 3 for count in counts]) < 0.7


def test_objects_are_pasted_from_other_images(tmp_path):
    _, dataset = built(tmp_path, 'mask_rcnn_pit', 'strong')
    counts = [len(dataset[SampleId(i % 10, 0, i)]['data_samples'].gt_instances) for i in range(40)]
    assert max(counts) > 3


def test_turned_corners_are_ignored(tmp_path):
    _, dataset = built(tmp_path, 'pspnet_pit', 'strong')
    labels = [dataset[SampleId(i % 10, 0, i)]['data_samples'].gt_sem_seg.data for i in range(12)]
    shares = [(label == 255).float().mean().item() for label in labels]
    assert 0 < max(shares) < 0.5


def test_a_pipeline_without_a_place_for_them_is_named(tmp_path):
    cfg = Config.fromfile(CONFIGS / 'retinanet_pit.py')
    innermost(cfg.train_dataloader)[1].pipeline = [dict(type='LoadImageFromFile')]
    with pytest.raises(UserError, match=r'--augment light: .* has LoadImageFromFile'):
        augment(cfg, 'light')


def test_a_run_shows_sixteen_samples_and_its_dumped_config_draws_the_same(call_tool, tmp_path):
    config, folder = workplace(tmp_path) / 'tiny.py', drawn.coco(tmp_path / 'data')
    options = ['--data', folder, '--size', 64, '--augment', 'strong']
    mine = tmp_path / 'mine.py'
    runs = {'first': [config, *options], 'mine': [mine]}
    assert call_tool('train', config, *options, '--dump-config', mine)[0] == 0
    pictures = []
    for name, words in runs.items():
        code, out, err = call_tool('train', *words, '--work-dir', tmp_path / name, '--preflight')
        assert code == 0, err
        assert 'training_samples.png' in out
        pictures.append(np.asarray(Image.open(tmp_path / name / 'training_samples.png')))
    assert (pictures[0] == pictures[1]).all()
    assert pictures[0].std() > 10
