"""`--ema`: the average is what its rule says, and is what is validated, saved and resumed."""

import pytest
import torch
from line import Line, Mean, loader
from mmengine.hooks import EMAHook, Hook

from vitdense.checkpoint import SAFE_GLOBALS, read
from vitdense.engine.averaging import GAMMA, average_weights, averaged
from vitdense.engine.processes import unwrapped
from vitdense.errors import UserError


class Seen(Hook):
    """The weights after each iteration, and in each validation."""

    priority = 'HIGHEST'

    def __init__(self):
        self.trained, self.validated = [], []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.trained.append(weights(runner.model))

    def after_val_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.validated.append(weights(runner.model))


class NormedLine(Line):
    """With running statistics."""

    def __init__(self):
        super().__init__()
        self.norm = torch.nn.BatchNorm1d(2, momentum=0.5)

    def forward(self, x, y, mode):
        return super().forward(self.norm(x), y, mode)


def weights(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def written_out(trained):
    """The average of some weights by its rule, over the iterations."""
    average = trained[0]
    for step, own in enumerate(trained[1:], 1):
        share = GAMMA / (GAMMA + step)
        average = {
            name: (1 - share) * average[name] + share * value
            for name, value in own.items()
            if value.is_floating_point()
        }
    return average


def assert_close(one, other):
    for name, value in one.items():
        torch.testing.assert_close(value, other[name], rtol=1e-5, atol=1e-6, msg=name)


@pytest.fixture
def make(make_runner, tmp_path):
    def make(name='run', ema=True, iterations=8, **changes):
        torch.manual_seed(0)
        settings = dict(
            model=NormedLine(),
            train_dataloader=loader(2),
            train_cfg=dict(by_epoch=False, max_iters=iterations, val_interval=4),
            optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.3, momentum=0.9)),
            default_hooks=dict(
                checkpoint=dict(
                    type='CheckpointHook', interval=1, by_epoch=False, save_best='auto', rule='greater'
                )
            ),
        )
        runner = make_runner(tmp_path / name, **settings | changes)
        if ema:
            assert average_weights(runner)
        return runner

    return make


@pytest.mark.parametrize(('iterations', 'share'), [(340, 0.05), (90_000, 0.0002)])
def test_the_average_suits_the_length_of_a_run(iterations, share):
    assert GAMMA / (GAMMA + iterations) == pytest.approx(share, rel=0.02)
    # its last twentieth has most of the weight: what was there before is left with the rest
    before = 1.0
    for step in range(iterations - iterations // 20, iterations):
        before *= 1 - GAMMA / (GAMMA + step)
    assert 0.3 < before < 0.45


def test_weights_and_statistics_are_averaged_and_validated_and_saved(make, tmp_path):
    seen, runner = Seen(), make()
    runner.register_hook(seen)
    runner.train()
    assert_close(written_out(seen.trained[:4]), seen.validated[0])
    assert_close(written_out(seen.trained), seen.validated[-1])
    last = read(tmp_path / 'run/iter_8.pth', allow=SAFE_GLOBALS)
    assert_close(written_out(seen.trained), last['state_dict'])
    for name, value in seen.trained[-1].items():
        assert torch.equal(last['ema_state_dict'][f'module.{name}'], value)
    (best,) = (tmp_path / 'run').glob('best_*.pth')
    number = int(best.stem.split('_')[-1])
    assert_close(written_out(seen.trained[:number]), read(best, allow=SAFE_GLOBALS)['state_dict'])
    # what is drawn after the training
    assert_close(seen.trained[-1], weights(unwrapped(runner)))
    with averaged(runner):
        assert_close(written_out(seen.trained), weights(unwrapped(runner)))
    assert_close(seen.trained[-1], weights(unwrapped(runner)))


@pytest.mark.parametrize('when', [3, 4])
def test_a_resumed_run_ends_with_the_average_of_one_that_never_stopped(make, tmp_path, when):
    make('whole').train()
    make('resumed', load_from=str(tmp_path / f'whole/iter_{when}.pth'), resume=True).train()
    one, other = (read(tmp_path / name / 'iter_8.pth', allow=SAFE_GLOBALS) for name in ('whole', 'resumed'))
    for key in ('state_dict', 'ema_state_dict'):
        assert all(torch.equal(one[key][name], other[key][name]) for name in one[key])


def test_a_run_with_an_average_is_not_resumed_without(make, tmp_path):
    make().train()
    with pytest.raises(UserError, match=r'average .* --resume needs --ema'):
        make('on', ema=False, load_from=str(tmp_path / 'run/iter_4.pth'), resume=True).train()


def test_a_run_without_an_average_is_resumed_with_one_that_begins_there(make, tmp_path):
    make(ema=False).train()
    seen = Seen()
    runner = make('on', load_from=str(tmp_path / 'run/iter_4.pth'), resume=True)
    runner.register_hook(seen)
    runner.train()
    assert_close(written_out(seen.trained), seen.validated[-1])


def test_an_average_of_the_config_stays(make_runner):
    runner = make_runner(custom_hooks=[dict(type='EMAHook', momentum=0.3)])
    assert not average_weights(runner)
    (hook,) = (hook for hook in runner.hooks if isinstance(hook, EMAHook))
    assert hook.ema_cfg['momentum'] == 0.3


def test_a_sharded_model_has_no_average(make_runner):
    runner = make_runner()
    runner.cfg.shard = True
    with pytest.raises(UserError, match=r'--ema .* shard=True'):
        average_weights(runner)


def test_metrics_are_of_the_average(make):
    """A validation of a model whose answers are known: those of the averaged weights."""
    answers = []

    class Records(Mean):
        def compute_metrics(self, results):
            answers.append(sum(results) / len(results))
            return super().compute_metrics(results)

    seen, runner = Seen(), make(val_evaluator=dict(type=Records))
    runner.register_hook(seen)
    runner.train()
    model = NormedLine().eval()
    model.load_state_dict(seen.trained[-1] | written_out(seen.trained))
    x = torch.tensor([[index / 8, 1 - index / 8] for index in range(8)])
    with torch.no_grad():
        expected = model.backbone(model.norm(x)).mean().item()
    assert answers[-1] == pytest.approx(expected, rel=1e-5)
