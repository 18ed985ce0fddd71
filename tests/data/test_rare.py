"""Images of rare classes come several times an epoch, rare labels weigh more; else nothing changes."""

import math
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.dataset import ClassBalancedDataset
from mmengine.registry import DATASETS, init_default_scope
from small import CONFIGS

from vitdense.config.tree import name_of
from vitdense.data.formats.records import Annotations, Instance, Record
from vitdense.data.rare import RARE, even_out, frequencies, rare_classes


def annotations(counts, images=100):
    """Class k on the first counts[k] of the images."""
    records = [
        Record(
            Path(f'{i:03}.png'),
            (64, 64),
            [Instance(label, (0, 0, 9, 9)) for label, count in enumerate(counts) if i < count],
        )
        for i in range(images)
    ]
    return Annotations('drawn', [f'class {i}' for i in range(len(counts))], dict(train=records))


def test_a_class_is_rare_below_a_quarter_of_the_usual_one():
    assert rare_classes(frequencies(annotations([80, 60, 16, 14]))) == []
    assert rare_classes(frequencies(annotations([80, 60, 50, 13]))) == ['class 3']
    assert rare_classes(frequencies(annotations([80, 60, 50, 0]))) == []  # nothing to repeat
    assert frequencies(annotations([80, 20])) == {'class 0': 0.8, 'class 1': 0.2}


def test_images_come_as_often_as_the_wrapper_repeats_them(tmp_path):
    from vitdense.data.own_data import OwnData, name_files, use_own_data, write_own_data

    found = annotations([80, 60, 60, 5, 1])
    found.splits['val'] = found.splits['train'][:2]
    cfg = Config.fromfile(CONFIGS / 'retinanet_pit.py')
    data = OwnData(found, tmp_path)
    use_own_data(cfg, data, None, None)
    text, images = even_out(cfg, found)
    name_files(cfg, write_own_data(data, tmp_path))
    init_default_scope('mmdet')
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    assert isinstance(dataset, ClassBalancedDataset)
    assert len(dataset) == images > 100
    times = math.ceil(math.sqrt(RARE * 0.6 / 0.01))
    assert dataset.repeat_indices.count(0) == times
    assert f'{times} times' in text
    assert 'class 3, class 4' in text


def test_rare_labels_weigh_by_the_root_of_how_rare_they_are():
    cfg = Config.fromfile(CONFIGS / 'pspnet_pit.py')
    found = annotations([1, 1, 1])
    found.splits['train'] = [Record(Path('a.png'), (64, 64), label_map=Path('b.png'))]
    found.values = {0: 0, 1: 1, 2: 2, 255: None}
    found.pixels.update({0: 400, 1: 100, 2: 4, 255: 9999})
    text, images = even_out(cfg, found)
    assert images == 1
    for head in (cfg.model.decode_head, cfg.model.auxiliary_head):
        assert head.loss_decode.class_weight == [0.5, 1.0, 5.0]
    assert 'rare: class 2' in text


@pytest.mark.parametrize('name', ['retinanet_pit', 'pspnet_pit'])
def test_where_no_class_is_rare_nothing_changes(name):
    cfg = Config.fromfile(CONFIGS / f'{name}.py')
    before = cfg.to_dict()
    assert even_out(cfg, annotations([50, 40, 30])) == ('', 100)
    assert cfg.to_dict() == before
    assert name_of(cfg.train_dataloader.dataset) != 'ClassBalancedDataset'
