"""What a page says of its data are counts of the files."""

import json
from collections import Counter

import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image
from small import CONFIGS

from vitdense.config.read import load_config
from vitdense.data import sample
from vitdense.data.dataset import build_dataset
from vitdense.data.sample.use import use_sample_data
from vitdense.predict.predictor import scope_of
from vitdense.report import data_facts as module
from vitdense.report.data_facts import data_facts


@pytest.fixture
def dataset(libraries):
    def build(leaf, split='val', **changes):
        cfg = load_config(str(CONFIGS / leaf))
        use_sample_data(cfg)
        with scope_of(cfg):
            return build_dataset(Config(cfg[f'{split}_dataloader'].dataset | changes).to_dict())

    return build


def test_objects_are_counted_as_in_cocos_file(dataset):
    found = data_facts(dataset('retinanet_transcnn.py'), maps=False)
    truth = json.loads((sample.root() / 'coco/annotations/instances_val2017.json').read_text())
    names = {category['id']: category['name'] for category in truth['categories']}
    objects = [one for one in truth['annotations'] if not one['iscrowd']]
    assert found['kind'] == 'objects'
    assert found['images'] == found['looked'] == len(truth['images'])
    assert found['classes'] == Counter(names[one['category_id']] for one in objects)
    sizes = Counter((image['width'], image['height']) for image in truth['images'])
    assert {(width, height): count for width, height, count in found['sizes']} == sizes
    assert sum(count for *_, count in found['boxes']) == len(objects)
    sides = {image['id']: max(image['width'], image['height']) for image in truth['images']}
    shares = [(one['bbox'][2] * one['bbox'][3]) ** 0.5 / sides[one['image_id']] for one in objects]
    assert found['boxes'][0][0] == pytest.approx(1000 * min(shares), abs=1)
    assert found['boxes'][-1][1] == pytest.approx(1000 * max(shares), abs=1)


def test_pixels_are_counted_as_in_the_label_maps_of_which_0_is_no_class(dataset):
    built = dataset('pspnet_transcnn.py')
    assert built.get_data_info(0)['reduce_zero_label']
    found = data_facts(built, maps=True)
    counts, sizes = np.zeros(256, dtype=int), Counter()
    for file in sorted((sample.root() / 'ade/ADEChallengeData2016/annotations/validation').iterdir()):
        labels = np.asarray(Image.open(file))
        counts += np.bincount(labels.ravel(), minlength=256)
        sizes[labels.shape[::-1]] += 1
    assert counts[0] > 0  # what has no label
    assert found['kind'] == 'pixels'
    assert found['images'] == sum(sizes.values())
    shares = counts[1 : len(found['classes']) + 1] / counts[1 : len(found['classes']) + 1].sum()
    assert list(found['classes']) == list(sample.SEG_CLASSES)
    assert list(found['classes'].values()) == pytest.approx(shares.tolist())
    assert {(width, height): count for width, height, count in found['sizes']} == sizes
    assert found['boxes'] == []


@pytest.mark.parametrize(
    ('leaf', 'limit'), [('retinanet_transcnn.py', 'MOST'), ('pspnet_transcnn.py', 'MAPS')]
)
def test_of_a_large_dataset_a_part_is_looked_through(dataset, monkeypatch, leaf, limit):
    built = dataset(leaf)
    whole = data_facts(built, maps=leaf.startswith('pspnet'))
    monkeypatch.setattr(module, limit, 20)
    part = data_facts(built, maps=leaf.startswith('pspnet'))
    assert part['images'] == whole['images'] > 20
    assert part['looked'] == 20 == sum(count for *_, count in part['sizes'])
    assert part['classes'] != whole['classes']
