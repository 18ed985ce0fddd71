"""Pages of whole runs, small ones, in a browser: while they run, at their end, and side by side."""

import dataclasses
import json
import os
import re
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from mmengine.hooks import Hook
from runs import Outcome, files, refused
from tiny_runs import heads

from vitdense.analysis.detections import DetectionEvaluation
from vitdense.analysis.files import load_evaluation, save_evaluation
from vitdense.engine.work_dir import PAGE
from vitdense.report import recorder
from vitdense.report.charts import svg
from vitdense.report.facts import FOLDER, read_facts, write_facts
from vitdense.report.page import SECTIONS

LARGEST = 3e6  # bytes, which a mail still takes
DETECTORS = ('boxes', 'masks')
OF_DETECTORS = {'precision', 'errors'}
COMPARED = ['runs', 'curves', 'classes', 'images', 'data', 'settings']
EACH_HEAD = pytest.mark.parametrize(
    'head',
    [
        'boxes',
        'labels',
        pytest.param('masks', marks=pytest.mark.nightly),
        pytest.param('dilated', marks=pytest.mark.nightly),
    ],
)


@pytest.fixture(scope='module')
def kept():
    """Work dirs by what they are runs of."""
    return {}


@pytest.fixture
def run_of(kept, train, tmp_path_factory, monkeypatch):
    """The work dir of a finished run, which tests share; beside it `versions` of its page."""

    def run_of(head, *options):
        if (head, options) not in kept:
            folder = heads(tmp_path_factory.mktemp(head)) / f'{head}-{len(kept)}'
            with monkeypatch.context() as own:
                own.setattr(recorder, 'write_page', keeping(folder.with_name('versions')))
                done = train(folder.parent, head, folder.name, *options)
            assert (done.code, done.err) == (0, '')
            assert 'not written' not in done.out
            kept[head, options] = folder
        return kept[head, options]

    return run_of


def keeping(folder, write=recorder.write_page):
    """`write_page`, which copies what it has written into a folder."""
    folder.mkdir()

    def keep(facts, work_dir, file):
        write(facts, work_dir, file)
        scored = '-scored' if facts.evaluated else ''
        shutil.copy(file, folder / f'{len(list(folder.iterdir())):03}-{facts.state}{scored}.html')

    return keep


def check(look, file, sections, width):
    """What holds of every page at any time; what was seen of it."""
    seen = look(file, width)
    assert seen.messages == []
    assert seen.fetched == []
    assert seen.found['sections'] == sections
    assert seen.found['headless'] == 0
    assert seen.found['canvases'] == seen.found['alive'] > 0
    assert seen.found['undecoded'] == []
    assert seen.found['overflow'] <= 0
    assert seen.found['static_shown'] == 0  # not beside the drawn ones
    assert file.stat().st_size <= LARGEST
    return seen


def sections_of(head):
    left_out = {'dials', 'looks'} | (set() if head in DETECTORS else OF_DETECTORS)  # of other runs
    return [name for name, _ in SECTIONS if name not in left_out]


@EACH_HEAD
def test_a_page_is_whole_at_every_time_of_a_run_on_a_screen_and_on_a_phone(run_of, look, head):
    folder = run_of(head)
    versions = sorted(folder.with_name('versions').iterdir())
    # once the start, both validations and the end, and whatever there was time for in between
    assert [file.stem.split('-')[1] for file in versions[:-1]] == ['running'] * (len(versions) - 1)
    assert versions[-1].stem.endswith('finished-scored')
    assert versions[0].stem == '000-running'
    first_scored = next(file for file in versions if file.stem.endswith('scored'))
    for file in (versions[0], first_scored, versions[-1]):
        for width in (1400, 390):
            seen = check(look, file, sections_of(head), width)
            assert (seen.found['photos'] > 0) == file.stem.endswith('scored')
    assert (folder / PAGE).read_bytes() == versions[-1].read_bytes()


@EACH_HEAD
def test_without_scripts_and_on_paper_the_static_charts_are_shown(run_of, look, head):
    file = run_of(head) / PAGE
    seen = look(file, script=False)
    assert seen.messages == seen.fetched == seen.found['undecoded'] == []
    assert seen.found['canvases_shown'] == 0
    assert seen.found['static_shown'] == seen.found['canvases'] > 4
    printed = look(file, paper=True)
    assert printed.found['static_shown'] == seen.found['canvases']
    assert printed.found['canvases_shown'] == 0  # what is drawn for the screen is not printed, too
    assert printed.pdf.startswith(b'%PDF-')


def test_the_facts_of_a_run_are_those_of_its_log_and_its_files(run_of):
    folder = run_of('boxes')
    facts = read_facts(folder)
    assert (facts.state, facts.reason, facts.iteration, facts.total) == ('finished', '', 4, 4)
    assert [step for step, _ in facts.validations] == [2, 4]
    assert facts.evaluated.monitored == 'coco/bbox_mAP'
    best = max(score for _, score in facts.validations)
    assert facts.evaluated.scores['coco/bbox_mAP'] == best
    assert facts.checkpoint.endswith('.pth')
    assert min(facts.seconds.values()) > 0
    evaluation = load_evaluation(folder / FOLDER / facts.evaluated.files['bbox'])
    assert evaluation.score() == pytest.approx(best, abs=6e-4)  # MMDetection rounds to three decimals
    assert facts.evaluated.images == len(evaluation.images)
    pictures = json.loads((folder / FOLDER / 'pictures.json').read_text())
    assert [one['group'] for one in pictures] == ['best'] * 2 + ['middle'] * 2 + ['worst'] * 2
    assert len({one['name'] for one in pictures}) == 6  # the images of the validation


def test_a_page_made_again_is_the_page_that_the_run_has_written(run_of, call_tool, monkeypatch, no_looks):
    folder = run_of('labels')
    before = (folder / PAGE).read_bytes()
    (folder / PAGE).unlink()
    monkeypatch.chdir(folder.parent)
    code, out, err = call_tool('report', folder.name)
    assert (code, err) == (0, '')
    assert f'{folder.name}/{PAGE}' in out
    assert (folder / PAGE).read_bytes() == before


@pytest.mark.parametrize('head', ['boxes', pytest.param('labels', marks=pytest.mark.nightly)])
def test_a_test_has_a_page_of_what_it_has_scored(
    run_of, call_tool, look, tmp_path, no_pictures, monkeypatch, head
):
    run = run_of(head)
    monkeypatch.setattr('vitdense.report.page.svg', svg)
    monkeypatch.chdir(tmp_path)
    options = ['--cfg-options', 'test_dataloader.num_workers=0', 'test_dataloader.persistent_workers=False']
    options.append('test_dataloader.dataset.indices=6')
    words = [run.parent / f'{head}.py', run / 'iter_4.pth', '--sample', '--work-dir', 'out', *options]
    done = Outcome(*call_tool('test', *words))
    assert (done.code, done.err) == (0, '')
    assert 'not written' not in done.out
    sections = [name for name in sections_of(head) if name not in ('curves', 'recipe')]
    assert check(look, tmp_path / 'out' / PAGE, sections, 1400).found['photos'] > 0
    facts, trained = read_facts(tmp_path / 'out'), read_facts(run)
    assert (facts.state, facts.trains, facts.checkpoint) == ('finished', False, str(run / 'iter_4.pth'))
    assert facts.evaluated.monitored == trained.evaluated.monitored
    assert facts.evaluated.scores[trained.evaluated.monitored] == pytest.approx(
        trained.validations[-1][1], abs=0.05
    )
    assert facts.data['val']['images'] == 6


# ---- how a run ended --------------------------------------------------------------------------------------


class ReportTestHook(Hook):
    """Ends a run at its third iteration."""

    def __init__(self, how):
        self.how = how

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == 2:
            getattr(self, self.how)(runner)

    def signal(self, runner):
        os.kill(os.getpid(), signal.SIGTERM)

    def spoil(self, runner):
        for parameter in runner.model.parameters():
            torch.nn.init.constant_(parameter, float('nan'))

    def fail(self, runner):
        raise RuntimeError('the <b>roof</b> fell in')


@pytest.mark.parametrize(
    ('how', 'code', 'state', 'iteration', 'reason'),
    [
        ('signal', 143, 'stopped', 3, 'by SIGTERM after iteration 3'),
        ('spoil', 3, 'failed', 2, 'iteration 3: the loss'),
        ('fail', None, 'failed', 2, 'RuntimeError: the <b>roof</b> fell in'),
    ],
)
def test_a_page_says_how_a_run_ended(train, place, look, how, code, state, iteration, reason):
    with (place / 'boxes.py').open('a') as config:
        config.write(f'custom_hooks = [dict(type="test_pages.ReportTestHook", how={how!r})]\n')
    if code is None:
        with pytest.raises(RuntimeError):
            train(place, 'boxes', 'run')
    else:
        assert train(place, 'boxes', 'run').code == code
    facts = read_facts(place / 'run')
    assert (facts.state, facts.iteration) == (state, iteration)
    assert facts.reason.startswith(reason)
    seen = look(place / 'run' / PAGE)
    assert seen.messages == []
    assert f'{state.capitalize()} at iteration {iteration} of 4: {reason}' in seen.found['text']
    assert seen.found['late'] == []  # it is known how it stands


def test_a_run_whose_page_cannot_be_written_goes_on_and_warns_once(train, place):
    (place / 'run' / PAGE).mkdir(parents=True)  # in the way of the file
    done = train(place, 'boxes', 'run')
    assert (done.code, done.err) == (0, '')
    assert done.out.count('warning: not written: ') == 1
    assert PAGE in done.out
    assert (place / 'run/iter_4.pth').is_file()
    assert list((place / 'run').glob(f'.{PAGE}*')) == []  # no half one keeps a full disk full


def test_a_resumed_run_continues_the_facts(train, place, look):
    assert train(place, 'boxes', 'run').code == 0
    before = read_facts(place / 'run')
    before.validations = [[2, 0.25], [4, 0.75]]
    before.seconds['data'] += 1000
    before.events = [[1, 'kept'], [3, 'replaced']]
    before.evaluated.iteration, before.evaluated.scores['coco/bbox_mAP'] = 4, 0.75
    write_facts(before, place / 'run')
    options = ['train_cfg.max_iters=6', 'train_cfg.val_interval=2']
    done = train(place, 'boxes', 'run', *options, words=['--resume', 'run/iter_2.pth'])
    assert (done.code, done.err) == (0, '')
    facts = read_facts(place / 'run')
    assert [step for step, _ in facts.validations] == [2, 4, 6]
    assert facts.validations[0] == [2, 0.25]
    assert facts.validations[1][1] != 0.75
    assert facts.evaluated.scores['coco/bbox_mAP'] == max(score for _, score in facts.validations[1:])
    assert facts.started == before.started
    for part, seconds in before.seconds.items():
        assert facts.seconds[part] > seconds
    assert facts.events[0] == [1, 'kept']
    assert [step for step, _ in facts.events] == [1, 2]
    assert (facts.state, facts.iteration, facts.total) == ('finished', 6, 6)
    check(look, place / 'run' / PAGE, sections_of('boxes'), 1400)


def rewrite(file, **changes):
    """An evaluation, changed."""
    save_evaluation(dataclasses.replace(load_evaluation(file), **changes), file)


# ---- the model card ---------------------------------------------------------------------------------------


def test_the_card_has_the_scores_and_every_class_and_is_written_once(run_of, tmp_path, call_tool, no_looks):
    folder = tmp_path / 'run'
    shutil.copytree(run_of('boxes'), folder)
    facts = read_facts(folder)
    facts.classes[0] = 'tug|boat'
    for kind, rows in facts.evaluated.per_class.items():
        rows['tug|boat'] = rows.pop('boat')
        file = folder / FOLDER / facts.evaluated.files[kind]
        rewrite(file, classes=tuple(facts.classes))
    write_facts(facts, folder)
    code, _, err = call_tool('report', folder, '--card')
    assert (code, err) == (0, '')
    text = (folder / 'MODEL_CARD.md').read_text()
    _, front, body = text.split('---\n', 2)
    assert yaml.safe_load(front)['tags'] == ['object-detection']
    rows = [line for line in body.splitlines() if line.startswith('|')]
    tables = {}
    for row in rows:
        cells = [cell.strip() for cell in row.replace(r'\|', '\0').strip('|').split('|')]
        tables[cells[0].replace('\0', '|')] = cells[1:]
    for name, score in facts.evaluated.scores.items():
        if score >= 0:
            assert tables[name.removeprefix('coco/').replace('_', ' ')] == [f'{score:.3f}']
    for name, row in facts.evaluated.per_class['bbox'].items():
        assert tables[name] == [str(row['objects']), str(row['detections']), f'{row["AP"]:.3f}']
    # as many cells in each row as in its heading
    for block in body.split('\n\n'):
        lines = [line for line in block.splitlines() if line.startswith('|')]
        assert len({line.replace(r'\|', '').count('|') for line in lines}) <= 1
    before = files(folder)
    code, _, err = call_tool('report', folder, '--card')
    assert code == 2
    assert err.startswith('error: ')
    assert 'MODEL_CARD.md' in err
    assert (folder / 'MODEL_CARD.md').read_text() == text
    assert before.keys() == files(folder).keys()


# ---- runs compared ----------------------------------------------------------------------------------------


@EACH_HEAD
def test_runs_are_compared_on_one_page(run_of, call_tool, look, tmp_path, monkeypatch, head):
    runs = [run_of(head), run_of(head, 'optim_wrapper.optimizer.lr=0.02')]
    monkeypatch.chdir(tmp_path)
    if head == 'masks':  # of which neither finds any in four iterations: the images are all alike
        worth = iter((0.25, 0.75))
        monkeypatch.setattr(
            DetectionEvaluation, 'image_scores', lambda found: np.full(len(found.images), next(worth))
        )
    done = Outcome(*call_tool('compare', *runs))
    assert (done.code, done.err) == (0, '')
    page = tmp_path / 'compare.html'
    for width in (1400, 390):
        seen = check(look, page, COMPARED, width)
        assert seen.found['photos'] > 0
    for text in (*(run.name for run in runs), 'optim_wrapper.optimizer.lr', '0.02'):
        assert text in seen.found['text']
    one, other = (load_evaluation(next((run / FOLDER).glob('*.npz'))).score() for run in runs)
    (said,) = [line for line in done.out.splitlines() if '95 %' in line]
    better, worse = runs[::-1] if other > one else runs
    assert said.index(better.name) < said.index(worse.name)
    gap = float(re.search(r'(\d+\.\d) (?:bbox AP|mIoU)', said)[1])
    assert gap == pytest.approx(100 * abs(one - other), abs=0.06)


def test_what_cannot_be_compared_is_refused_and_nothing_is_written(run_of, call_tool, tmp_path, monkeypatch):
    run = run_of('boxes')
    monkeypatch.chdir(tmp_path)
    Path('empty').mkdir()
    Path('mine.html').write_text('mine')
    before = files(tmp_path)
    for words, about in (
        ([run], 'two'),
        ([run, run], 'twice'),
        ([run, run / '..' / run.name], 'twice'),
        ([run, 'empty'], 'empty'),
        ([run, 'absent'], 'absent'),
        ([run, 'empty', '--out', 'mine.html'], '--overwrite'),
        ([run, 'empty', '--out', 'mine.txt'], '.html'),
    ):
        assert about in refused(Outcome(*call_tool('compare', *words)))
        assert files(tmp_path) == before


def test_an_earlier_comparison_is_overwritten_when_that_is_asked_for(
    run_of, call_tool, tmp_path, monkeypatch
):
    runs = run_of('boxes'), run_of('boxes', 'optim_wrapper.optimizer.lr=0.02')
    monkeypatch.chdir(tmp_path)
    Path('mine.html').write_text('mine')
    assert 'mine.html' in refused(Outcome(*call_tool('compare', *runs, '--out', 'mine.html')))
    monkeypatch.setattr('vitdense.report.compare.predicted', lambda *words: [])  # drawn in another test
    assert call_tool('compare', *runs, '--out', 'mine.html', '--overwrite')[0] == 0
    assert Path('mine.html').read_text().startswith('<!doctype html>')


@pytest.mark.parametrize('first', [0, 1])
def test_runs_of_other_classes_have_a_sentence_and_no_interval(run_of, call_tool, look, tmp_path, first):
    """Fewer classes than the other's, and other names."""
    other = tmp_path / 'other'
    shutil.copytree(run_of('boxes'), other)
    facts = read_facts(other)
    facts.classes, facts.palette = ['thing'], [[1, 2, 3]]
    write_facts(facts, other)
    rewrite(other / FOLDER / facts.evaluated.files['bbox'], classes=tuple('abcde'))
    runs = [run_of('boxes', 'optim_wrapper.optimizer.lr=0.02'), other]
    page = tmp_path / 'out.html'
    done = Outcome(*call_tool('compare', runs[first], runs[1 - first], '--out', page))
    assert (done.code, done.err) == (0, '')
    assert 'different classes' in done.out
    assert '95 %' not in done.out
    check(look, page, COMPARED, 1400)
