"""A resumed run has its own seed, and what differs from the config of its start is named."""

from pathlib import Path

import pytest
import torch
from line import loader
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
