"""`--recipe emov2`: EMOv2's schedule for any head, as its authors' configs have it."""

import math
import shutil

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import PARAM_SCHEDULERS
from restarts import COMMON
from restarts import CONFIGS as RESTARTED
from runs import files, refused
from small import CONFIGS
from torch import nn

from vitdense.config.read import load_config
from vitdense.config.recipe import set_recipe, sources_of
from vitdense.data import sample
from vitdense.engine.work_dir import PAGE
from vitdense.errors import UserError
from vitdense.report.facts import read_facts

PUBLISHED = {  # learning rate, images per GPU, length, how long the rate is flat, a validation every
    'retinanet': (2e-4, 4, 12, 6, 1),
    'mask_rcnn': (2e-4, 4, 12, 6, 1),
    'deeplabv3': (1.2e-4, 8, 80_000, 40_000, 8000),
    'pspnet': (1.2e-4, 8, 80_000, 40_000, 8000),
}
each_head = pytest.mark.parametrize('head', PUBLISHED)


def recipe_of(head, backbone='transcnn'):
    cfg = load_config(str(CONFIGS / f'{head}_{backbone}.py'))
    set_recipe(cfg, 'emov2')
    return cfg


@each_head
def test_every_number_is_the_published_one(head):
    rate, images, length, _, every = PUBLISHED[head]
    cfg = recipe_of(head)
    optimizer = cfg.optim_wrapper.optimizer
    assert (optimizer.lr, optimizer.weight_decay) == (rate, 0.05)
    assert cfg.optim_wrapper.clip_grad == dict(max_norm=0.1)
    assert cfg.train_dataloader.batch_size == images
    assert cfg.auto_scale_lr == dict(enable=False, base_batch_size=32)
    assert length in (cfg.train_cfg.get('max_epochs'), cfg.train_cfg.get('max_iters'))
    assert cfg.train_cfg.val_interval == cfg.default_hooks.checkpoint.interval == every


@each_head
def test_what_is_of_the_backbone_stays(head):
    before = load_config(str(CONFIGS / f'{head}_pit.py'))
    cfg = recipe_of(head, 'pit')
    assert cfg.optim_wrapper.paramwise_cfg == before.optim_wrapper.paramwise_cfg
    assert cfg.model.to_dict() == before.model.to_dict()


@each_head
def test_the_rate_warms_up_is_flat_and_falls_along_a_cosine_to_zero(head):
    rate, _, length, flat, _ = PUBLISHED[head]
    cfg = recipe_of(head)
    by_epoch = 'max_epochs' in cfg.train_cfg
    per_epoch = 1000 if by_epoch else 1
    optimizer = build_optim_wrapper(nn.Linear(2, 2), dict(cfg.optim_wrapper, paramwise_cfg=None)).optimizer
    schedulers = [PARAM_SCHEDULERS.build(dict(one, optimizer=optimizer)) for one in cfg.param_scheduler]
    rates = []
    for step in range(length * per_epoch):
        rates.append(optimizer.param_groups[0]['lr'])
        for scheduler in schedulers:
            if not scheduler.by_epoch or (step + 1) % per_epoch == 0:
                scheduler.step()
    rates.append(optimizer.param_groups[0]['lr'])
    assert rates[0] == pytest.approx(1e-5 * rate)
    assert rates[250] == pytest.approx(rate / 2, rel=0.01)
    assert rates[500] == rates[flat * per_epoch - 1] == pytest.approx(rate)
    middle = (flat + (length - flat) // 2) * per_epoch
    assert rates[middle] == pytest.approx(rate / 2)
    last = rate * (1 + math.cos(5 / 6 * math.pi)) / 2 if by_epoch else 0  # of the last of six epochs
    assert rates[-1] == pytest.approx(last, abs=1e-12)


@each_head
def test_the_text_that_it_is_dumped_to_is_the_same_config(head, tmp_path):
    cfg = recipe_of(head)
    cfg.dump(tmp_path / 'dumped.py')
    text = Config.fromfile(tmp_path / 'dumped.py')
    assert text.to_dict() == cfg.to_dict()
    assert text.recipe == 'emov2'


@pytest.mark.parametrize('head', ['retinanet', 'pspnet'])
def test_a_config_of_ones_own_that_reads_the_fragment_has_the_same_schedule(head, tmp_path):
    shutil.copytree(CONFIGS, tmp_path / 'configs')
    kind = 'detector' if head == 'retinanet' else 'segmentor'
    own = tmp_path / 'configs/own.py'
    own.write_text(
        'from mmengine.config import read_base\n'
        'with read_base():\n'
        f'    from .{head}_transcnn import *\n'
        f'    from ._base_.schedules.emov2_{kind} import *\n'
        'optim_wrapper.update(paramwise_cfg=paramwise_cfg)\n'
        'train_dataloader.update(batch_size=batch_size)\n'
    )
    ours, cfg = load_config(str(own)).to_dict(), recipe_of(head).to_dict()
    for key in ('train_cfg', 'optim_wrapper', 'param_scheduler', 'auto_scale_lr', 'train_dataloader'):
        assert ours[key] == cfg[key]


@pytest.mark.parametrize('head', ['retinanet', 'pspnet'])
def test_where_its_numbers_are_from_takes_the_place_of_the_schedules_own(head):
    cfg = load_config(str(CONFIGS / f'{head}_vvt.py'))
    before = dict(sources_of(cfg))
    set_recipe(cfg, 'emov2')
    after = dict(sources_of(cfg))
    gone, new = before.keys() - after.keys(), after.keys() - before.keys()
    assert all(name.startswith('schedules/') for name in gone | new)
    assert len(gone) == len(new) == 1
    assert 'zhangzjn/EMOv2@582a96f' in after[new.pop()]


@pytest.mark.parametrize(
    ('changes', 'about'),
    [
        (dict(train_cfg=dict(type='IterBasedTrainLoop', max_iters=9)), 'iterations'),
        (dict(optim_wrapper=dict(constructor='Own', generator={}, discriminator={})), 'one optimizer'),
        (dict(train_cfg=None), 'no train_cfg'),
    ],
)
def test_what_it_does_not_fit_is_refused(changes, about):
    cfg = load_config(str(CONFIGS / 'retinanet_transcnn.py'))
    for key, value in changes.items():
        cfg[key] = value
    with pytest.raises(UserError, match=f'--recipe emov2: .*{about}'):
        set_recipe(cfg, 'emov2')


def test_the_schedule_of_the_sample_is_its_own(call, tmp_path):
    before = files(tmp_path)
    assert '--recipe emov2' in refused(call('train', 'tiny.py', '--recipe', 'emov2', '--sample'))
    assert files(tmp_path) == before


def test_a_run_notes_its_recipe_in_its_config_and_on_its_page(call, no_pictures, tmp_path):
    """On the sample's files, as the config's own data."""
    (tmp_path / 'own.py').write_text(
        RESTARTED['detector'] + COMMON + 'train_dataloader.update(num_workers=0, persistent_workers=False)\n'
    )
    options = ['train_cfg.max_epochs=1', 'optim_wrapper.optimizer.lr=1e-3', 'default_hooks.logger.interval=1']
    done = call(
        *('train', 'own.py', '--data-root', f'{sample.root()}/coco', '--recipe', 'emov2'),
        *('--work-dir', 'run', '--cfg-options', *options),
    )
    assert done.code == 0, done.err
    cfg = Config.fromfile(tmp_path / 'run/own.py')
    assert (cfg.recipe, cfg.optim_wrapper.optimizer.lr, cfg.train_cfg.max_epochs) == ('emov2', 1e-3, 1)
    assert cfg.optim_wrapper.clip_grad.max_norm == 0.1
    saved = torch.load(next((tmp_path / 'run').glob('*.pth')), weights_only=False)
    assert 'emov2' in saved['meta']['cfg']
    facts = read_facts(tmp_path / 'run')
    assert ['recipe', 'emov2'] in facts.recipe
    assert ['batch size', '4 per process'] in facts.recipe
    assert ['stochastic depth', '0.5 at the last block'] in facts.recipe
    assert 'schedules/emov2_detector.py' in dict(facts.sources)
    assert 'zhangzjn/EMOv2@582a96f' in (tmp_path / 'run' / PAGE).read_text()
