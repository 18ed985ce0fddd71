"""A resumed run has its own seed, and what differs from the config of its start is named."""

from pathlib import Path

import pytest
import torch
from line import Line, LineOfTwo, TwoOptimizers, loader
from mmengine.config import Config
from small import CONFIGS

from vitdense.checkpoint import SAFE_GLOBALS, read
from vitdense.config.text import differences
from vitdense.engine.resume import resume_from
from vitdense.errors import UserError


def end(folder):
    return read(folder / 'iter_8.pth', allow=SAFE_GLOBALS)['state_dict']


def test_without_a_seed_in_the_config_a_run_resumes_with_the_one_that_was_drawn(make_runner, tmp_path):
    shuffled = loader(1)
    shuffled['sampler']['shuffle'] = True
    drawn = dict(
        train_dataloader=shuffled,
        train_cfg=dict(by_epoch=False, max_iters=8, val_interval=8),
        randomness=dict(seed=None),
    )
    make_runner(tmp_path / 'straight', **drawn).train()
    checkpoint = tmp_path / 'straight/iter_3.pth'
    cfg = Config(dict(randomness=dict(seed=None, deterministic=False)))
    resume_from(cfg, checkpoint)
    assert (cfg.resume, cfg.load_from) == (True, str(checkpoint))
    assert isinstance(cfg.randomness.seed, int)
    assert cfg.randomness.deterministic is False
    drawn['randomness'] = dict(cfg.randomness)
    make_runner(tmp_path / 'on', **drawn, load_from=str(checkpoint), resume=True).train()
    straight, on = end(tmp_path / 'straight'), end(tmp_path / 'on')
    assert all(torch.equal(straight[name], on[name]) for name in straight)

    with pytest.raises(UserError, match=r'iter_3\.pth: .* seed \d+, .*; randomness\.seed is -1$'):
        resume_from(Config(dict(randomness=dict(seed=-1))), checkpoint)


@pytest.mark.parametrize('contents', [dict(state_dict={}), dict(meta=3), [1], dict(meta=dict(seed='x'))])
def test_a_checkpoint_without_a_seed_changes_no_seed(tmp_path, contents):
    torch.save(contents, tmp_path / 'iter_1.pth')
    cfg = Config(dict(randomness=dict(seed=3)))
    resume_from(cfg, tmp_path / 'iter_1.pth')
    assert cfg.randomness.seed == 3


def test_differences_of_two_configs_are_named_with_both_values():
    cfg = Config.fromfile(CONFIGS / 'mask_rcnn_vvt.py')
    before = cfg.pretty_text
    assert list(differences(before, before)) == []
    cfg.work_dir = cfg.load_from = 'elsewhere'
    assert list(differences(before, cfg.pretty_text)) == []
    cfg.model.backbone.norm_eval = True
    cfg.model.neck.in_channels[1] = 7
    cfg.train_cfg.max_epochs = 24
    assert sorted(differences(before, cfg.pretty_text)) == [
        'model.backbone.norm_eval is True, was not set',
        'model.neck.in_channels.1 is 7, was 160',
        'train_cfg.max_epochs is 24, was 12',
    ]


def test_differences_do_not_run_the_text_of_a_config(tmp_path):
    marker = tmp_path / 'marker'
    text = f'model = dict(type=__import__("pathlib").Path({str(marker)!r}).touch())\n'
    (reported,) = differences(text, 'model = dict(type=3)\n')
    assert reported.startswith('model.type is 3, was __import__(')
    assert not Path(marker).exists()


MOMENTUM = dict(type='SGD', lr=0.1, momentum=0.9)


OPTIONS = {
    'accumulated batches': dict(optim_wrapper=dict(optimizer=MOMENTUM, accumulative_counts=3)),
    'accumulated batches that the run does not end with': dict(
        optim_wrapper=dict(optimizer=MOMENTUM, accumulative_counts=5)
    ),
    'clipped gradients': dict(optim_wrapper=dict(optimizer=MOMENTUM, clip_grad=dict(max_norm=0.01))),
    'one cycle': dict(
        optim_wrapper=dict(optimizer=MOMENTUM),
        param_scheduler=[dict(type='OneCycleLR', by_epoch=False, total_steps=8, eta_max=0.4)],
    ),
    'momentum and weight decay by schedule': dict(
        optim_wrapper=dict(optimizer=MOMENTUM),
        param_scheduler=[
            dict(type='CosineAnnealingLR', by_epoch=False, T_max=8),
            dict(type='LinearMomentum', by_epoch=False, start_factor=0.5, end=6),
        ],
    ),
    'stochastic weight average': dict(
        custom_hooks=[dict(type='EMAHook', ema_type='StochasticWeightAverage', begin_iter=1)]
    ),
    'momentum annealing': dict(custom_hooks=[dict(type='EMAHook', ema_type='MomentumAnnealingEMA')]),
    'epochs': dict(train_cfg=dict(by_epoch=True, max_epochs=1, val_interval=1)),
    'several optimizers': dict(
        model=LineOfTwo,
        optim_wrapper=dict(constructor=TwoOptimizers),
        param_scheduler=dict(
            weight=[dict(type='LinearLR', by_epoch=False, end=6)],
            bias=[dict(type='StepLR', by_epoch=False, step_size=3)],
        ),
    ),
}


@pytest.mark.parametrize('options', OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize('when', [2, 4, 7])
def test_a_resumed_run_is_one_that_never_stopped_with_every_option(make_runner, tmp_path, options, when):
    """From the checkpoint of any iteration: weights, optimizer state and averages, bit for bit."""
    settings = dict(train_cfg=dict(by_epoch=False, max_iters=8, val_interval=8)) | options

    def make(name, **more):
        torch.manual_seed(0)
        model = settings.get('model', Line)()
        return make_runner(tmp_path / name, **settings | dict(model=model) | more)

    make('whole').train()
    make('resumed', load_from=str(tmp_path / f'whole/iter_{when}.pth'), resume=True).train()
    one, other = (read(tmp_path / name / 'iter_8.pth', allow=SAFE_GLOBALS) for name in ('whole', 'resumed'))
    for key in {'state_dict', 'optimizer', 'ema_state_dict', 'param_schedulers', 'gradients'} & one.keys():
        assert_equal(one[key], other[key])
    start = read(tmp_path / 'whole' / f'iter_{when}.pth', allow=SAFE_GLOBALS)['state_dict']
    assert any(not torch.equal(start[name], one['state_dict'][name]) for name in start)


def assert_equal(one, other):
    """Trees of dicts and lists with equal tensors."""
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_equal(one[key], other[key])
    elif isinstance(one, (list, tuple)):
        assert len(one) == len(other)
        for mine, theirs in zip(one, other, strict=True):
            assert_equal(mine, theirs)
    elif isinstance(one, torch.Tensor):
        assert torch.equal(one, other)
    else:
        assert one == other
