"""MMDetection's and MMSegmentation's own inference takes our configs, saved ones and our checkpoints."""

import cv2
import numpy as np
import pytest
import torch
from small import HEADS, workplace

SMALL = '''"""Images small enough for a test."""
from mmengine.config import read_base
with read_base():
    from .configs.{name} import *
for pipeline in (test_pipeline, test_dataloader.dataset.pipeline):
    pipeline[1].update(scale=(128, 64))
'''
RNG = np.random.default_rng(0)


@pytest.fixture(scope='module', params=HEADS)
def run(request, libraries, tmp_path_factory):
    """A config, the config that a run of it saves, and a checkpoint."""
    from mmengine.registry import MODELS, DefaultScope

    from vitdense.config.read import load_config

    head = request.param
    folder = workplace(tmp_path_factory.mktemp(head))
    name = f'{head}_pit'
    own = folder / 'own.py'
    own.write_text(SMALL.format(name=name))
    cfg = load_config(own)
    saved = folder / 'saved.py'
    cfg.dump(saved)
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        model = MODELS.build(cfg.model)
    classes = [f'class {number}' for number in range(150)]
    meta = dict(dataset_meta=dict(classes=classes, palette=[(1, 2, 3)] * 150))
    torch.save(dict(meta=meta, state_dict=model.state_dict()), folder / 'best.pth')
    image = RNG.integers(0, 256, (60, 80, 3)).astype(np.uint8)
    cv2.imwrite(str(folder / 'image.png'), image)
    return head, [str(own), str(saved)], str(folder / 'best.pth'), str(folder / 'image.png'), image


def test_the_functions(run):
    head, configs, checkpoint, file, image = run
    for config in configs:
        if HEADS[head] == 'mmdet':
            from mmdet.apis import inference_detector as infer
            from mmdet.apis import init_detector as init
        else:
            from mmseg.apis import inference_model as infer
            from mmseg.apis import init_model as init
        model = init(config, checkpoint, device='cpu')
        from_file, from_pixels = infer(model, file), infer(model, image)
        if HEADS[head] == 'mmdet':
            assert torch.equal(from_file.pred_instances.scores, from_pixels.pred_instances.scores)
        else:
            assert torch.equal(from_file.pred_sem_seg.data, from_pixels.pred_sem_seg.data)


def test_the_inferencers(run):
    head, configs, checkpoint, file, image = run
    for config in configs:
        if HEADS[head] == 'mmdet':
            from mmdet.apis import DetInferencer as Inferencer
        else:
            from mmseg.apis import MMSegInferencer as Inferencer
        inferencer = Inferencer(model=config, weights=checkpoint, device='cpu', show_progress=False)
        assert inferencer(file)['predictions'] is not None
        assert inferencer(image)['predictions'] is not None
