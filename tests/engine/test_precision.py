"""`--amp`: networks compute in half precision, and losses, boxes, scores and weights are float32."""

import copy

import pytest
import torch
from line import Line
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from small import NEWER_MMENGINE
from torch import nn

from vitdense.checkpoint import SAFE_GLOBALS, read
from vitdense.engine import precision
from vitdense.engine.precision import (
    ScaledOptimWrapper,
    autocast_networks,
    check_precision,
    compile_parts,
    exact_networks,
)
from vitdense.engine.runner import VitdenseRunner
from vitdense.errors import UserError
from vitdense.layers.recompute import Blocks

GPU = torch.cuda.is_available()


class Heads(nn.Module):
    """A head of regions, which hands on to heads of its own."""

    def __init__(self):
        super().__init__()
        self.bbox_head = nn.ModuleList([nn.Linear(4, 2), nn.Linear(4, 2)])

    def forward(self, x):
        return [head(x) for head in self.bbox_head]


class Detector(BaseModel):
    """Networks, and losses and scores that are made of their outputs."""

    def __init__(self):
        super().__init__()
        self.backbone = nn.Linear(4, 4)
        self.roi_head = Heads()
        self.decode_head = nn.Linear(4, 3)

    def forward(self, x, mode='tensor'):
        map = self.backbone(x)
        outputs = [map, *self.roi_head(map), self.decode_head(map)]
        if mode == 'loss':
            return {f'loss_{number}': ((output - 1) ** 2).mean() for number, output in enumerate(outputs)}
        return outputs if mode == 'tensor' else [output.softmax(-1) for output in outputs]


@pytest.fixture
def model():
    torch.manual_seed(0)
    return Detector()


@pytest.fixture
def image():
    return torch.randn(3, 4, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_networks_return_half_precision_values_as_float32(model, image, dtype):
    exact = model(image)
    autocast_networks(model, 'cpu', dtype)
    for output, full in zip(model(image), exact, strict=True):
        assert output.dtype == torch.float32
        assert torch.equal(output, output.to(dtype).float())
        assert not torch.equal(output, full)
        torch.testing.assert_close(output, full, rtol=0.03, atol=0.03)


def test_losses_and_scores_are_computed_in_float32(model, image):
    autocast_networks(model, 'cpu', torch.bfloat16)
    for output, loss in zip(model(image), model(image, 'loss').values(), strict=True):
        assert loss.dtype == torch.float32
        assert torch.equal(loss, ((output - 1) ** 2).mean())
    for output, scores in zip(model(image), model(image, 'predict'), strict=True):
        assert torch.equal(scores, output.softmax(-1))
        assert not torch.equal(scores, scores.bfloat16().float())


def test_weights_and_gradients_stay_float32(model, image):
    autocast_networks(model, 'cpu', torch.bfloat16)
    sum(model(image, 'loss').values()).backward()
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert {p.grad.dtype for p in model.parameters()} == {torch.float32}


def test_a_copy_of_the_model_computes_alike(model, image):
    """As the average of MMEngine's EMAHook is one."""
    autocast_networks(model, 'cpu', torch.bfloat16)
    other = copy.deepcopy(model)
    assert all(torch.equal(a, b) for a, b in zip(model(image), other(image), strict=True))
    with torch.no_grad():
        other.backbone.weight.zero_()
    assert not torch.equal(model(image)[0], other(image)[0])


def test_for_a_while_networks_compute_in_float32(model, image):
    exact = model(image)
    autocast_networks(model, 'cpu', torch.bfloat16)
    mixed = model(image)
    with exact_networks(model):
        assert all(map(torch.equal, model(image), exact))
    assert all(map(torch.equal, model(image), mixed))


def test_classes_and_state_dict_stay_what_they_were(model):
    names = [type(module).__qualname__ for module in model.modules()]
    state = model.state_dict()
    autocast_networks(model, 'cpu', torch.bfloat16)
    assert [type(module).__qualname__ for module in model.modules()] == names
    assert isinstance(model.backbone, nn.Linear)
    assert model.state_dict().keys() == state.keys()
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert type(Detector().backbone) is nn.Linear  # of another model, nothing has changed


# ---- a run ------------------------------------------------------------------------------------------------


@pytest.fixture
def make(make_runner, tmp_path):
    """A runner whose config has `amp`."""

    def make(name, amp, **changes):
        torch.manual_seed(0)
        (tmp_path / 'line.py').touch()
        model = dict(model=dict(backbone=dict()), train_dataloader=dict(batch_size=1))
        cfg = Config(model | (dict(amp=amp) if amp else {}), filename=str(tmp_path / 'line.py'))
        return make_runner(tmp_path / name, Line(), cfg=cfg, **changes)

    return make


def score(runner):
    return runner.message_hub.get_scalar('val/line/whole_mean').current()


def end(folder):
    return read(folder / 'iter_4.pth', allow=SAFE_GLOBALS)['state_dict']


def test_training_validation_and_test_compute_alike(make, tmp_path):
    mixed, full = make('mixed', 'bfloat16'), make('full', None)
    mixed.train()
    full.train()
    for name, weight in end(tmp_path / 'full').items():
        half = end(tmp_path / 'mixed')[name]
        assert half.dtype == torch.float32
        torch.testing.assert_close(half, weight, rtol=0.05, atol=0.05)
        assert not torch.equal(half, weight)
    saved = str(tmp_path / 'mixed/iter_4.pth')
    tests = dict(
        test_dataloader=mixed.val_dataloader,
        test_evaluator=mixed.val_evaluator,
        test_cfg=dict(),
        load_from=saved,
    )
    scores = {amp: make(f'test-{amp}', amp, **tests).test()['line/whole_mean'] for amp in ('bfloat16', None)}
    assert scores['bfloat16'] == score(mixed)
    assert scores[None] != score(mixed)


def test_gradients_are_accumulated_over_several_batches(make, tmp_path):
    optimizer = dict(type='SGD', lr=0.1)
    make('run', 'bfloat16', optim_wrapper=dict(optimizer=optimizer, accumulative_counts=2)).train()
    first, second = (read(tmp_path / f'run/iter_{n}.pth', allow=SAFE_GLOBALS)['state_dict'] for n in (1, 2))
    torch.manual_seed(0)
    for name, weight in Line().state_dict().items():
        assert torch.equal(first[name], weight)
        assert not torch.equal(second[name], weight)


def test_amp_takes_the_place_of_the_configs_own_mixed_precision(make):
    own = dict(type='AmpOptimWrapper', dtype='float16', loss_scale=512.0, optimizer=dict(type='SGD', lr=0.1))
    runner = make('run', 'bfloat16')
    assert type(runner.build_optim_wrapper(own)) is OptimWrapper


# ---- the choice of a precision ----------------------------------------------------------------------------


def test_float16_without_a_gpu_is_a_user_error_that_names_bfloat16(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    with pytest.raises(UserError, match=r'--amp float16: .*bfloat16'):
        check_precision('float16')
    assert check_precision('bfloat16') == 'bfloat16'


@pytest.mark.parametrize(
    ('gpu', 'bfloat16', 'expected'),
    [(False, False, 'bfloat16'), (True, True, 'bfloat16'), (True, False, 'float16')],
)
def test_auto_is_bfloat16_but_on_a_gpu_without_it(monkeypatch, gpu, bfloat16, expected):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: gpu)
    monkeypatch.setattr(torch.cuda, 'is_bf16_supported', lambda including_emulation: bfloat16)
    assert check_precision('auto') == expected


@NEWER_MMENGINE
def test_another_precision_is_a_user_error_also_in_a_config(tmp_path):
    with pytest.raises(UserError, match=r'float64: .*bfloat16 or float16'):
        check_precision('float64')
    config = dict(model=dict(type=Line), work_dir=str(tmp_path), experiment_name=tmp_path.name)
    with pytest.raises(UserError, match=r'float64: .*bfloat16 or float16'):
        VitdenseRunner.from_cfg(Config(dict(config, amp='float64')))
    assert VitdenseRunner.from_cfg(Config(dict(config, amp='auto'))).cfg.amp == check_precision('auto')


@pytest.mark.skipif(not GPU, reason='float16 training needs a GPU')
def test_on_a_gpu_the_loss_of_float16_is_scaled():
    model = nn.Sequential(nn.Linear(4, 2)).cuda()
    autocast_networks(model, 'cuda', torch.float16)
    wrapper = ScaledOptimWrapper(optimizer=torch.optim.SGD(model.parameters(), lr=0.1))
    with wrapper.optim_context(model):
        answer = model(torch.ones(1, 4).cuda())
        assert not torch.is_autocast_enabled('cuda')  # outside the networks
    assert answer.dtype == torch.float32
    assert torch.equal(answer, answer.half().float())
    wrapper.update_params(answer.sum())
    assert wrapper.loss_scaler.get_scale() > 1


# ---- compiled ---------------------------------------------------------------------------------------------


def test_a_compiler_that_does_not_work_is_a_user_error_before_the_run(monkeypatch):
    def broken(graph, inputs):
        raise RuntimeError('no such compiler')

    monkeypatch.setattr(precision, 'BACKEND', broken)
    with pytest.raises(UserError, match='--compile: '):
        compile_parts(Detector())


@pytest.mark.parametrize(('able', 'said'), [(True, 0), (False, 1)])
def test_where_a_compiled_backbone_recomputes_nothing_it_is_said(monkeypatch, able, said):
    monkeypatch.setattr(precision, 'COMPILES_RECOMPUTATION', able)
    monkeypatch.setattr(precision, 'BACKEND', 'eager')
    model = Detector()
    model.backbone = Blocks(nn.Linear(4, 4), with_cp=True)
    lines = []
    monkeypatch.setattr(precision, 'print_log', lambda line, *where: lines.append(line))
    compile_parts(model)
    assert sum('with_cp=True' in line for line in lines) == said
