"""The learning rate over a run, computed ahead, is that of the run; what is odd about it is a warning."""

import pytest
from line import LineOfTwo, TwoOptimizers, loader
from mmengine.hooks import Hook

from vitdense.findings import Level
from vitdense.preflight.origin import batch_size, resumable, resumed_epochs
from vitdense.preflight.schedule import learning_rates, schedule
from vitdense.preflight.step import step

LINEAR = dict(type='LinearLR', by_epoch=False, start_factor=0.25, begin=0, end=4)
COSINE = dict(type='CosineAnnealingLR', by_epoch=False, begin=4, end=16)


class Seen(Hook):
    """The rates that the steps were taken with, and what the check says before the first."""

    priority = 'LOWEST'

    def __init__(self):
        self.rates, self.ahead, self.found = [], None, []

    def before_train(self, runner):
        schedulers = runner.param_schedulers or []
        if isinstance(schedulers, list) and all(hasattr(one, 'base_values') for one in schedulers):
            optimizer = runner.optim_wrapper.optimizer
            self.ahead = learning_rates(runner, optimizer, schedulers)
        self.found = list(schedule(runner))
        self.resumed = [finding.text for finding in resumed_epochs(runner)]

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.rates.append(runner.optim_wrapper.optimizer.param_groups[0]['lr'])


@pytest.fixture(autouse=True)
def no_pause(monkeypatch):
    """MMEngine sleeps for two seconds after an epoch."""
    monkeypatch.setattr('time.sleep', lambda seconds: None)


@pytest.fixture
def train(make_runner):
    def train(schedulers, iterations=16, **changes):
        seen = Seen()
        cfg = dict(by_epoch=False, max_iters=iterations, val_interval=iterations)
        settings = dict(train_cfg=cfg, param_scheduler=schedulers, custom_hooks=[seen]) | changes
        runner = make_runner(**settings)
        runner.train()
        return seen

    return train


def spelt_out(rates):
    """One rate for each iteration."""
    starts = [start for start, _ in rates.values[1:]] + [rates.total + 1]
    return [rate for (start, rate), end in zip(rates.values, starts, strict=True) for _ in range(start, end)]


EPOCHS = dict(by_epoch=True, max_epochs=2, val_interval=2)


@pytest.mark.parametrize(
    ('schedulers', 'changes'),
    [
        ([LINEAR, COSINE], {}),
        ([dict(type='MultiStepLR', by_epoch=False, milestones=[3, 9], gamma=0.1)], {}),
        ([dict(type='PolyLR', by_epoch=False, power=0.9, begin=0, end=16, eta_min=1e-4)], {}),
        ([dict(type='OneCycleLR', by_epoch=False, total_steps=16, eta_max=0.4)], {}),
        ([LINEAR, dict(type='StepLR', by_epoch=True, step_size=1, gamma=0.5)], dict(train_cfg=EPOCHS)),
        (
            [dict(type='CosineAnnealingLR', by_epoch=True, T_max=2, convert_to_iter_based=True)],
            dict(train_cfg=EPOCHS),
        ),
        (None, {}),
    ],
    ids=['cosine', 'milestones', 'poly', 'one cycle', 'epochs', 'converted', 'none'],
)
def test_the_rates_ahead_are_those_of_the_run(train, schedulers, changes):
    seen = train(schedulers, **changes)
    assert len(seen.rates) == 16
    assert spelt_out(seen.ahead) == seen.rates


def test_the_rates_ahead_of_a_resumed_run_are_those_that_are_left(make_runner, tmp_path):
    cfg = dict(by_epoch=False, max_iters=16, val_interval=16)
    make_runner(tmp_path / 'one', train_cfg=cfg, param_scheduler=[LINEAR, COSINE]).train()
    seen = Seen()
    make_runner(
        tmp_path / 'two',
        train_cfg=cfg,
        param_scheduler=[LINEAR, COSINE],
        custom_hooks=[seen],
        load_from=str(tmp_path / 'one' / 'iter_10.pth'),
        resume=True,
    ).train()
    assert len(seen.rates) == 6
    assert spelt_out(seen.ahead) == seen.rates


def by_epoch(step, **changes):
    return dict(type='StepLR', by_epoch=True, step_size=step, gamma=0.5, **changes)


@pytest.mark.parametrize('at', [2, 4, 6])
@pytest.mark.parametrize('batch', [1, 2, 4])
def test_the_rates_ahead_are_those_of_a_run_resumed_with_another_batch_size(make_runner, tmp_path, batch, at):
    """In the middle of an epoch of 4 iterations, and at its end."""
    cfg = dict(by_epoch=True, max_epochs=3, val_interval=3)
    schedulers = [dict(type='LinearLR', by_epoch=False, start_factor=0.25, end=30), by_epoch(1)]
    settings = dict(train_cfg=cfg, param_scheduler=schedulers)
    make_runner(tmp_path / 'one', train_dataloader=loader(2), **settings).train()
    seen, checkpoint = Seen(), str(tmp_path / f'one/iter_{at}.pth')
    resumed = dict(load_from=checkpoint, resume=True, custom_hooks=[seen])
    make_runner(tmp_path / 'two', train_dataloader=loader(batch), **settings, **resumed).train()
    place, end = at * 2 // batch, 3 * 8 // batch
    assert len(seen.rates) == end - place
    assert seen.ahead.total == at + end - place
    assert spelt_out(seen.ahead) == seen.rates
    if batch == 2:
        assert seen.resumed == []
    else:
        (text,) = seen.resumed
        assert f'at iteration {at}, ' in text
        assert f' with {8 // batch} iterations in an epoch would be {place}:' in text
        assert text.endswith(f'the run ends at iteration {seen.ahead.total}')


def warnings(seen):
    return [finding.text for finding in seen.found if finding.level is Level.WARNING]


@pytest.mark.parametrize(
    ('schedulers', 'iterations', 'numbers'),
    [
        ([dict(type='PolyLR', by_epoch=False, begin=0, end=7, eta_min=0.0)], 16, ['0 for 10 of 16']),
        ([LINEAR | dict(end=40)], 16, ['for 16 of 16']),
        ([LINEAR], 16, ['never decays']),
        ([LINEAR, COSINE | dict(end=60)], 16, ['for 60 iterations, the run has 16']),
        ([LINEAR, COSINE | dict(end=10, eta_min=0.01)], 16, ['ends at iteration 10, the run at 16: 0.01']),
        ([LINEAR, COSINE], 16, []),
        ([dict(type='MultiStepLR', by_epoch=False, milestones=[8, 12], gamma=0.1)], 16, []),
        (None, 16, []),
    ],
    ids=['zero', 'all warm-up', 'constant', 'too long', 'too short', 'sound', 'milestones', 'none'],
)
def test_a_schedule_that_does_not_suit_the_length_is_a_warning(train, schedulers, iterations, numbers):
    found = warnings(train(schedulers, iterations))
    assert len(found) == len(numbers)
    assert all(number in text for number, text in zip(numbers, found, strict=True))


def test_schedulers_that_count_epochs_never_step_in_a_run_of_iterations(train):
    counts = [
        dict(type='LinearLR', start_factor=0.001, end=500),
        dict(type='MultiStepLR', milestones=[8, 11]),
    ]
    seen = train([*counts, dict(type='ConstantMomentum', factor=0.5)], 4)
    assert set(seen.rates) == {1e-4}
    fact, *_ = seen.found
    assert (fact.text, fact.level) == ('0.0001 throughout', Level.FACT)
    linear, steps, momentum = warnings(seen)
    for text, name in ((linear, 'LinearLR'), (steps, 'MultiStepLR'), (momentum, 'ConstantMomentum')):
        assert text.startswith(f'{name} counts epochs, ')
        assert 'by_epoch=False' in text
        assert ('0.1% of' in text) is (text is linear)
    assert '0.1% of the optimizer' in linear


def test_a_warm_up_by_iteration_beside_steps_by_epoch_has_the_full_rate(train):
    found = warnings(train([LINEAR, dict(type='MultiStepLR', milestones=[8, 11])]))
    assert found[0].startswith('MultiStepLR counts epochs')
    assert '%' not in found[0]


@pytest.mark.parametrize(
    ('schedulers', 'said'),
    [
        ([dict(type='MultiStepLR', by_epoch=False, milestones=[600, 900])], 'nothing in 16 iterations'),
        ([dict(type='ConstantLR', by_epoch=False, factor=0.25, end=99)], 'with 25% of the optimizer'),
        ([dict(type='ConstantLR', by_epoch=False, factor=1.0)], None),
        ([dict(type='ConstantMomentum', by_epoch=False, factor=0.5)], None),
        ([], None),
        (None, None),
    ],
    ids=['milestones behind the end', 'a share', 'factor 1', 'momentum', 'empty', 'none'],
)
def test_a_schedule_that_changes_nothing_is_a_warning(train, schedulers, said):
    found = warnings(train(schedulers))
    assert len(found) == (said is not None)
    assert all(said in text for text in found)


def test_a_run_resumed_after_its_last_step_has_a_constant_rate_and_no_warning(make_runner, tmp_path):
    steps = [dict(type='MultiStepLR', by_epoch=False, milestones=[2])]
    settings = dict(train_cfg=dict(by_epoch=False, max_iters=8, val_interval=8), param_scheduler=steps)
    make_runner(tmp_path / 'one', **settings).train()
    seen, checkpoint = Seen(), str(tmp_path / 'one/iter_4.pth')
    make_runner(tmp_path / 'two', **settings, custom_hooks=[seen], load_from=checkpoint, resume=True).train()
    assert len(seen.ahead.values) == 1
    assert warnings(seen) == []


def test_the_line_names_first_highest_and_last_rate(train):
    seen = train([LINEAR, COSINE])
    assert seen.found[0].text == '0.025 at first, 0.1 at iteration 4, ' + f'{seen.rates[-1]:.3g} at last'


def test_a_plateau_is_not_foretold(train):
    plateau = dict(type='ReduceOnPlateauLR', monitor='line/whole_mean', rule='greater')
    seen = train([plateau], train_cfg=EPOCHS)
    assert [finding.level for finding in seen.found] == [Level.FACT]


def test_several_optimizers_have_a_line_each_and_are_tried_as_one(make_runner):
    class Asked(Hook):
        def before_train(self, runner):
            runner.cfg.auto_scale_lr = dict(base_batch_size=16)
            found.extend(list(check(runner)) for check in (schedule, step, batch_size))

    found = []
    own = dict(optim_wrapper=dict(constructor=TwoOptimizers), param_scheduler=dict(weight=[LINEAR], bias=[]))
    make_runner(model=LineOfTwo(), custom_hooks=[Asked()], **own).train()
    (weight, _, bias), (memory,), (recipe,) = found
    assert weight.text.startswith('weight: 0.025 at first, ')
    assert bias.text == 'bias: 0.1 throughout'
    assert memory.label == 'memory'
    assert recipe.text.endswith('learning rate 0.1 → 0.00625')


def test_what_a_resumed_run_would_lack_is_said_at_the_start(make_runner, monkeypatch):
    from mmengine.hooks import EarlyStoppingHook

    found = []

    class Asked(Hook):
        def before_train(self, runner):
            found.append([finding.text for finding in resumable(runner)])

    plateau = dict(type='ReduceOnPlateauLR', monitor='line/whole_mean', rule='greater')
    early = EarlyStoppingHook('line/whole_mean', rule='greater')
    make_runner(custom_hooks=[Asked()]).train()
    make_runner(custom_hooks=[Asked(), early], param_scheduler=[plateau], train_cfg=EPOCHS).train()
    monkeypatch.setattr('vitdense.preflight.origin.get_world_size', lambda: 2)
    accumulated = dict(optimizer=dict(type='SGD', lr=0.1), accumulative_counts=3)
    make_runner(custom_hooks=[Asked()], optim_wrapper=accumulated).train()
    none, (two,), (gradients,) = found
    assert none == []
    assert 'ReduceOnPlateau' in two
    assert 'EarlyStoppingHook' in two
    assert 'up to 2 accumulated batches' in gradients
