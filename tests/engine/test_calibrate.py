"""Layers of heads begin with outputs of mean 0 and variance 1, and nothing else changes."""

from types import SimpleNamespace

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from torch import nn

from vitdense.config.read import load_config
from vitdense.data.dataset import build_dataset
from vitdense.data.reproducible import SampleId
from vitdense.data.sample.use import use_sample_data
from vitdense.engine.calibrate import IMAGES, CalibrateHook, layers


@pytest.fixture(params=['retinanet_dualtoken_vit', 'mask_rcnn_dualtoken_vit'])
def runner(request):
    """All that the hook reads of one."""
    import mmdet.models  # noqa: F401

    init_default_scope('mmdet')
    cfg = load_config(request.param)
    use_sample_data(cfg)
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    model.init_weights()
    loader = Runner.build_dataloader(
        dict(cfg.train_dataloader, dataset=build_dataset(cfg.train_dataloader.dataset))
    )
    return SimpleNamespace(model=model, train_dataloader=loader, iter=0, seed=0)


def test_outputs_have_mean_0_and_variance_1_on_the_first_images(runner):
    before = {name: tensor.clone() for name, tensor in runner.model.state_dict().items()}
    state = torch.get_rng_state()
    CalibrateHook().before_train(runner)
    assert torch.equal(torch.get_rng_state(), state)
    calibrated = {id(parameter) for layer in layers(runner.model) for parameter in layer.parameters()}
    changed = {
        name for name, tensor in runner.model.state_dict().items() if not torch.equal(tensor, before[name])
    }
    assert changed == {name for name, p in runner.model.named_parameters() if id(p) in calibrated}
    assert not any('retina' in name or 'rpn_cls' in name or 'backbone' in name for name in changed)

    seen = {}

    def keep(layer, _, out):
        if layer not in seen:  # which the levels of a pyramid share
            seen[layer] = out.clone()  # a ReLU works in place

    for layer in layers(runner.model):
        layer.register_forward_hook(keep)
    dataset = runner.train_dataloader.dataset
    step = len(dataset) // IMAGES
    items = [dataset[SampleId(i * step, 0, i)] for i in range(IMAGES)]
    data = runner.model.data_preprocessor(runner.train_dataloader.collate_fn(items), True)
    runner.model.train()
    with torch.no_grad():
        runner.model(**data, mode='loss')
    assert len(seen) == len(list(layers(runner.model))) > 10
    of_regions = {id(layer) for layer in getattr(runner.model, 'roi_head', nn.Identity()).modules()}
    for layer, out in seen.items():
        values = out.movedim(1, -1).flatten(0, -2)
        if id(layer) in of_regions:  # which are drawn anew
            continue
        assert values.mean().abs() < 0.1
        assert values.std().item() == pytest.approx(1, abs=0.1)


def test_a_run_that_is_resumed_is_left_alone(runner):
    before = {name: tensor.clone() for name, tensor in runner.model.state_dict().items()}
    runner.iter = 1
    CalibrateHook().before_train(runner)
    assert all(torch.equal(tensor, before[name]) for name, tensor in runner.model.state_dict().items())
