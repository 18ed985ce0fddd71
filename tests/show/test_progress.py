"""Bars on a terminal, lines at intervals elsewhere, and a table of scores."""

import io
import re

import pytest
from line import Line, Mean, loader
from mmengine.hooks import EarlyStoppingHook
from rich.console import Console

from vitdense.show import progress
from vitdense.show.progress import ProgressHook


@pytest.fixture(params=[False, True], ids=['a file', 'a terminal'])
def terminal(request):
    return request.param


@pytest.fixture
def shown(make_runner):
    """What a run shows, on a terminal or elsewhere."""

    def show(terminal=False, **changes):
        stream = io.StringIO()
        console = Console(
            file=stream, force_terminal=terminal, width=160, highlight=False, soft_wrap=True, _environ={}
        )
        runner = make_runner(**changes)
        hook = ProgressHook(console)
        runner.register_hook(hook)
        runner.train()
        hook.close()
        return re.sub(r'\x1b\[[\d;]*m', '', stream.getvalue())

    return show


def test_a_run_is_announced_once_with_what_it_is_about_to_do(shown, terminal):
    text = shown(terminal)
    for line in (
        '    model  Line on Linear\n',
        '     size  0.0 M parameters: backbone 0.0 M\n',
        '  weights  random initialization\n',
        ' schedule  4 iterations, batch size 1, validation every 2 iterations\n',
        'optimizer  SGD, learning rate 0.1, weight decay 0\n',
    ):
        assert text.count(line) == 1
    (data,) = re.findall(r'\n    train  (\d+ images.+)\n', text)
    assert data == '8 images, 6 classes (point, line, plane, space, time and 1 more), points'


def test_without_a_terminal_lines_come_at_intervals(shown, monkeypatch):
    lines = re.findall(r'^    (train|  val)  (\d+/\d+)  \d', shown(), re.MULTILINE)
    assert lines == [('train', '4/4')]  # the last in any case
    monkeypatch.setattr(progress, 'SECONDS_BETWEEN_LINES', 0)
    lines = re.findall(r'^    (train|  val)  (\d+/\d+)  \d', shown(), re.MULTILINE)
    validation = [('  val', f'{done}/4') for done in range(1, 5)]
    first, last = [('train', '1/4'), ('train', '2/4')], [('train', '3/4'), ('train', '4/4')]
    assert lines == first + validation + last + validation


def test_a_terminal_has_bars_and_no_lines_and_gets_its_cursor_back(shown):
    text = shown(terminal=True)
    assert re.search(r'    train ━+ 4/4 \d:\d\d:\d\d eta \d:\d\d:\d\d loss ', text)
    assert re.search(r'      val [━╸╺]+ \d/4 ', text)
    assert 's/it' not in text
    after_the_last_scores = text[text.rindex('└') :]
    assert '    train ━' in after_the_last_scores
    assert '      val ' not in after_the_last_scores[after_the_last_scores.rindex('    train ━') :]
    assert text.count('\x1b[?25l') == text.count('\x1b[?25h') == 1
    assert text.rindex('\x1b[?25h') > text.rindex('\x1b[?25l')


def test_the_loss_is_shown_with_its_parts_and_the_learning_rate(shown, terminal):
    total, part = re.findall(r'loss (\d\.\d{3}) \(line (\d\.\d{3})\)  lr 1\.0e-01', shown(terminal))[-1]
    assert total == part


def test_epochs_are_counted_where_the_run_counts_them(shown, terminal):
    text = shown(terminal, train_cfg=dict(by_epoch=True, max_epochs=2), log_processor=dict(by_epoch=True))
    assert ' schedule  2 epochs of 8 iterations, batch size 1, validation every 1 epoch\n' in text
    assert 'epoch 2/2  loss ' in text
    assert text.index('validation after epoch 1\n') < text.index('validation after epoch 2\n')


def test_scores_are_a_table_in_which_a_missing_score_is_a_dash(shown, terminal):
    text = shown(terminal)
    assert text.index('validation after iteration 2\n') < text.index('validation after iteration 4\n')
    rows = re.findall(r'│ ([a-z ]+?) +│ +(\S+) │', text)
    assert len(rows) == 6
    (mean, value), *others = rows[3:]
    assert mean == 'whole mean'
    assert re.fullmatch(r'\d\.\d{3}', value)
    assert others == [('nothing', '–'), ('count', '8')]


def test_the_eta_of_a_resumed_run_is_from_its_own_iterations_and_may_be_days(monkeypatch):
    stream, clock = io.StringIO(), [0.0]
    monkeypatch.setattr(progress.time, 'monotonic', lambda: clock[0])
    hook = ProgressHook(Console(file=stream, width=160))
    hook._open('train', 100_000, 90_000)
    clock[0] = 100.0
    hook._advance('train', 90_010, 100_000, 'loss 1.000')
    assert stream.getvalue() == '    train  90010/100000  10.00 s/it  eta 1 day, 3:45:00  loss 1.000\n'


def test_a_validation_in_between_does_not_reset_the_eta_of_the_training(monkeypatch):
    stream, clock = io.StringIO(), [0.0]
    monkeypatch.setattr(progress.time, 'monotonic', lambda: clock[0])
    hook = ProgressHook(Console(file=stream, width=160))
    hook._open('train', 100)
    clock[0] = 100.0
    hook._open('val', 4)
    clock[0] = 120.0
    hook._advance('val', 2, 4)
    clock[0] = 200.0
    hook._advance('train', 50, 100)
    paces = re.findall(r'(train|val)  \S+  (\S+) s/it  eta (\S+)', stream.getvalue())
    assert paces == [('val', '10.00', '0:00:20'), ('train', '4.00', '0:03:20')]


def test_the_learning_rates_are_those_that_the_optimizer_steps_with(shown, monkeypatch):
    monkeypatch.setattr(progress, 'SECONDS_BETWEEN_LINES', 0)
    halved = [dict(type='MultiStepLR', by_epoch=False, milestones=[2], gamma=0.5)]
    backbone = dict(custom_keys={'backbone.bias': dict(lr_mult=0.1)})
    optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.1), paramwise_cfg=backbone)
    text = shown(param_scheduler=halved, optim_wrapper=optim_wrapper)
    assert 'optimizer  SGD, learning rate 0.01 to 0.1, weight decay 0\n' in text
    rates = re.findall(r'train  \d/4 .* lr (\S+ to \S+)$', text, re.MULTILINE)
    assert rates == ['1.0e-02 to 1.0e-01'] * 2 + ['5.0e-03 to 5.0e-02'] * 2


def test_accumulated_batches_are_part_of_the_batch_size(shown):
    optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.1), accumulative_counts=2)
    assert ', batch size 2 (2 batches accumulated), ' in shown(optim_wrapper=optim_wrapper)


class Names(Mean):
    def compute_metrics(self, results):
        return {'truck/bus AP': 0.1, 'car/bus AP': 0.2, '[b]AP': 0.3}


def test_classes_keep_their_names_in_the_table(shown):
    text = shown(val_evaluator=dict(type=Names))
    for name in ('truck/bus AP', 'car/bus AP', '[b]AP'):
        assert f'│ {name} ' in text


class Silent(Mean):
    def compute_metrics(self, results):
        return {}


def test_an_evaluator_without_scores_is_not_said_to_have_detected_nothing(shown):
    text = shown(val_evaluator=dict(type=Silent))
    assert 'validation after iteration 4: the evaluator returned no scores\n' in text


def test_a_training_that_ends_early_says_why(shown):
    hook = EarlyStoppingHook('line/count', patience=1, rule='greater', min_delta=0.1)
    text = shown(train_cfg=dict(by_epoch=True, max_epochs=9), custom_hooks=[hook])
    assert re.search(r' ended  after iteration 16 of 72: line/count .* 1 ', text)


EPOCHS = dict(by_epoch=True, max_epochs=2)


@pytest.mark.parametrize(
    ('batches', 'iterations'), [((2, 1), 12), ((1, 4), 10)], ids=['smaller batches', 'larger batches']
)
def test_a_run_resumed_with_another_batch_size_ends_with_its_epochs(
    shown, tmp_path, monkeypatch, batches, iterations
):
    monkeypatch.setattr('time.sleep', lambda seconds: None)
    first, second = batches
    shown(train_cfg=dict(EPOCHS, max_epochs=1), train_dataloader=loader(first))
    checkpoint = str(tmp_path / f'run/iter_{8 // first}.pth')
    text = shown(train_cfg=EPOCHS, train_dataloader=loader(second), load_from=checkpoint, resume=True)
    assert re.findall(r'^    train  (\d+/\d+)  \d', text, re.MULTILINE) == [f'{iterations}/{iterations}']
    assert ' ended ' not in text


@pytest.mark.parametrize(
    ('cfg', 'said'),
    [
        (dict(EPOCHS, val_begin=100), 'no validation (val_begin=100 is after the end)'),
        (dict(EPOCHS, val_begin=2), 'validation every 1 epoch from epoch 2 on'),
        (dict(by_epoch=False, max_iters=4, val_interval=2, val_begin=5), 'no validation (val_begin=5 is'),
        (dict(by_epoch=False, max_iters=4, val_interval=9), 'validation every 9 iterations'),
    ],
)
def test_a_validation_that_begins_after_the_end_is_none(shown, monkeypatch, cfg, said):
    monkeypatch.setattr('time.sleep', lambda seconds: None)
    text = shown(train_cfg=cfg)
    (schedule,) = re.findall(r'^ schedule  (.*)$', text, re.MULTILINE)
    assert f', batch size 1, {said}' in schedule
    assert ('\nvalidation after' in text) is (not said.startswith('no '))


def test_the_weights_are_those_that_the_modules_name(shown):
    """As MMSegmentation's `pretrained`, which a model hands on to its backbone."""
    model = Line()
    model.backbone.init_cfg = dict(type='Pretrained', checkpoint='r18.pth')
    assert '  weights  backbone from r18.pth\n' in shown(model=model)
