"""`--amp` in bfloat16 on a CPU: products in half precision, weights and steps in float32."""

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import OPTIM_WRAPPERS
from torch import nn

from vitdense.engine.precision import (
    BFloat16OptimWrapper,
    Float16OptimWrapper,
    autocast_here,
    is_mixed,
    predict_in_amp,
    train_in_amp,
)


def test_a_forward_pass_is_bfloat16_inside_the_wrapper_and_float32_after_it():
    model = nn.Linear(4, 2)
    wrapper = BFloat16OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1))
    with wrapper.optim_context(model):
        assert model(torch.ones(1, 4)).dtype == torch.bfloat16
    assert model(torch.ones(1, 4)).dtype == torch.float32


def test_a_step_is_close_to_that_of_float32_and_leaves_float32_weights():
    stepped = []
    for kind in (BFloat16OptimWrapper, OPTIM_WRAPPERS.get('OptimWrapper')):
        torch.manual_seed(0)
        model = nn.Linear(4, 2)
        before = model.weight.detach().clone()
        wrapper = kind(torch.optim.SGD(model.parameters(), lr=0.1))
        with wrapper.optim_context(model):
            loss = (model(torch.linspace(0, 1, 12).reshape(3, 4)) ** 2).mean()
        wrapper.update_params(loss)
        assert model.weight.dtype == torch.float32
        stepped.append(model.weight.detach() - before)
    half, full = stepped
    assert full.abs().max() > 0.01
    torch.testing.assert_close(half, full, rtol=0.02, atol=1e-3)
    assert not torch.equal(half, full)


def test_gradients_are_accumulated_over_several_batches():
    model = nn.Linear(1, 1, bias=False)
    wrapper = BFloat16OptimWrapper(torch.optim.SGD(model.parameters(), lr=1.0), accumulative_counts=2)
    wrapper.initialize_count_status(model, 0, 4)
    before = model.weight.item()
    for expected in (before, before - 1.0):
        with wrapper.optim_context(model):
            loss = model(torch.ones(1, 1)).sum()
        wrapper.update_params(loss)
        assert model.weight.item() == pytest.approx(expected, abs=1e-6)


def test_a_config_gets_the_wrapper_of_the_device_and_its_text_reloads(tmp_path):
    cfg = Config(dict(optim_wrapper=dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1))))
    train_in_amp(cfg)
    cfg.dump(tmp_path / 'dumped.py')
    reloaded = Config.fromfile(tmp_path / 'dumped.py').optim_wrapper
    model = nn.Linear(4, 2)
    wrapper = OPTIM_WRAPPERS.build(reloaded | dict(optimizer=torch.optim.SGD(model.parameters(), lr=0.1)))
    assert type(wrapper) is (Float16OptimWrapper if torch.cuda.is_available() else BFloat16OptimWrapper)


class Cascade(nn.Module):
    """A network, heads in a list, and something that is made of their answers."""

    def __init__(self):
        super().__init__()
        self.backbone = nn.Linear(4, 4)
        self.bbox_head = nn.ModuleList([nn.Linear(4, 2), nn.Linear(4, 2)])
        self.placed = nn.Linear(2, 2)

    def forward(self, x):
        x = self.backbone(x)
        answers = [head(x) for head in self.bbox_head]
        return x, answers, self.placed(sum(answers))


@torch.no_grad()
def test_networks_predict_in_half_precision_and_answer_in_float32():
    torch.manual_seed(0)
    model, image = Cascade(), torch.randn(3, 4)
    exact = model.backbone(image)
    assert not is_mixed(model)
    predict_in_amp(model, autocast_here())
    assert is_mixed(model)
    map, answers, placed = model(image)
    assert {map.dtype, *(answer.dtype for answer in answers), placed.dtype} == {torch.float32}
    assert not torch.equal(map, exact)
    for rounded in (map, *answers):
        half = torch.float16 if torch.cuda.is_available() else torch.bfloat16
        assert torch.equal(rounded, rounded.to(half).float())
    torch.testing.assert_close(map, exact, rtol=0.02, atol=0.02)
    assert torch.equal(placed, model.placed(sum(answers)))  # in float32 all the way


@pytest.mark.skipif(not torch.cuda.is_available(), reason='float16 autocast needs a GPU')
def test_on_a_gpu_the_loss_is_scaled():
    model = nn.Linear(4, 2).cuda()
    wrapper = Float16OptimWrapper(optimizer=torch.optim.SGD(model.parameters(), lr=0.1))
    with wrapper.optim_context(model):
        answer = model(torch.ones(1, 4).cuda())
    assert answer.dtype == torch.float16
    wrapper.update_params(answer.float().sum())
    assert wrapper.loss_scaler.get_scale() > 1
