"""What a study trains, with which command lines, and that its folder is of this study alone."""

import pytest

from vitdense.errors import UserError
from vitdense.study.plan import Budget, StudyPlan, candidates_of, record_plan

NAMES = ['retinanet_transcnn', 'retinanet_pit:xs']


def plan(out, names=NAMES, seeds=(0,), budget=None, shared=('--sample',), at_once=1, weights=None):
    found = candidates_of(names, weights or {})
    return StudyPlan(out, found, seeds, budget or Budget(), shared, at_once)


def trained(out):
    folder = out / 'retinanet_transcnn-seed0'
    folder.mkdir(exist_ok=True)
    (folder / 'best_iter_1.pth').touch()


def test_every_candidate_is_trained_with_every_seed_in_a_folder_of_its_own(tmp_path):
    runs = plan(tmp_path, seeds=(3, 5)).runs
    assert [run.name for run in runs] == [
        'retinanet_transcnn-seed3',
        'retinanet_pit-xs-seed3',
        'retinanet_transcnn-seed5',
        'retinanet_pit-xs-seed5',
    ]
    assert {run.folder.parent for run in runs} == {tmp_path}


def test_a_command_line_has_what_is_shared_what_is_its_own_and_its_seed(tmp_path):
    shared = ('--sample', '--cfg-options', 'train_cfg.max_iters=7')
    made = plan(tmp_path, seeds=(4,), shared=shared, weights={'retinanet_pit:xs': 'pit.pth'})
    first, second = (made.arguments(run) for run in made.runs)
    assert first == [
        'retinanet_transcnn',
        '--sample',
        '--cfg-options',
        'train_cfg.max_iters=7',
        'randomness.seed=4',
        '--work-dir',
        str(tmp_path / 'retinanet_transcnn-seed4'),
    ]
    assert second[:5] == ['retinanet_pit', '--arch', 'xs', '--weights', 'pit.pth']


def test_the_time_is_shared_by_rounds_and_a_part_is_left_for_the_latencies(tmp_path):
    budget = Budget(minutes=60)
    alone, on_two = (plan(tmp_path, seeds=(0, 1, 2), budget=budget, at_once=count) for count in (1, 2))
    assert budget.per_run(6, 1) == pytest.approx((60 - 5) / 6)
    assert budget.per_run(6, 4) == pytest.approx((60 - 5) / 2)
    assert Budget(minutes=10).per_run(2, 1) == pytest.approx((10 - 1) / 2)
    assert Budget(epochs=3).per_run(6, 1) is None
    assert alone.arguments(alone.runs[0])[2:4] == ['--max-minutes', '9.167']
    assert on_two.arguments(on_two.runs[0])[2:4] == ['--max-minutes', '18.333']


@pytest.mark.parametrize(
    ('names', 'weights', 'said'),
    [
        (['retinanet_transcn'], {}, 'retinanet_transcn: no such config; there is retinanet_transcnn'),
        (['retinanet_vvt', 'retinanet_pit:xxs'], {}, "PiT has no arch 'xxs'"),
        (['retinanet_pit', 'retinanet_pit'], {}, 'retinanet_pit is there already'),
        (['retinanet_pit', 'pspnet_pit'], {}, 'retinanet_pit finds objects, pspnet_pit finds label maps'),
        (['retinanet_pit'], {'retinanet_vvt': 'a.pth'}, '--weights retinanet_vvt=…: expected one of'),
    ],
)
def test_what_cannot_be_compared_is_refused_before_anything_is_trained(names, weights, said):
    with pytest.raises(UserError, match=said):
        candidates_of(names, weights)


def test_the_same_study_is_continued_and_may_grow(tmp_path):
    record_plan(plan(tmp_path / 'out'))
    record_plan(plan(tmp_path / 'out'))
    trained(tmp_path / 'out')
    record_plan(plan(tmp_path / 'out', [*NAMES, 'retinanet_vvt'], seeds=(0, 1)))
    record_plan(plan(tmp_path / 'out', NAMES[:1]))
    with pytest.raises(UserError, match='candidates: '):  # it stays bound to what was asked for once
        record_plan(plan(tmp_path / 'out', ['retinanet_vvt'], weights={'retinanet_vvt': 'vvt.pth'}))


def test_after_a_mistake_with_which_nothing_was_trained_the_folder_is_free(tmp_path):
    record_plan(plan(tmp_path / 'out', shared=('--data', 'phtos'), budget=Budget(minutes=9)))
    (tmp_path / 'out/retinanet_transcnn-seed0').mkdir()
    record_plan(plan(tmp_path / 'out', shared=('--data', 'photos')))
    trained(tmp_path / 'out')
    with pytest.raises(UserError, match='shared: '):
        record_plan(plan(tmp_path / 'out', shared=('--data', 'phtos')))


@pytest.mark.parametrize(
    ('changes', 'said'),
    [
        (dict(shared=('--data', 'photos')), 'shared: '),
        (dict(budget=Budget(epochs=2)), 'budget: '),
        (dict(budget=Budget(minutes=9)), 'budget: '),
        (dict(weights={'retinanet_pit:xs': 'pit.pth'}), 'candidates: '),
    ],
)
def test_a_folder_of_another_study_is_refused(tmp_path, changes, said):
    record_plan(plan(tmp_path / 'out'))
    trained(tmp_path / 'out')
    with pytest.raises(UserError, match=f'another study is there .*{said}'):
        record_plan(plan(tmp_path / 'out', **changes))


def test_within_a_time_each_has_its_part_so_that_none_can_be_added(tmp_path):
    minutes = Budget(minutes=9)
    record_plan(plan(tmp_path / 'out', budget=minutes))
    trained(tmp_path / 'out')
    with pytest.raises(UserError, match=r'another study is there .*runs: '):
        record_plan(plan(tmp_path / 'out', ['retinanet_transcnn'], budget=minutes))


def test_a_folder_with_something_else_is_left_alone(tmp_path):
    (tmp_path / 'notes.txt').write_text('mine')
    with pytest.raises(UserError, match='is not empty, and no study is in it'):
        record_plan(plan(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ['notes.txt']


@pytest.mark.parametrize('contents', ['', '[]', '{', '{"version": 9}'])
def test_a_record_that_is_none_is_refused(tmp_path, contents):
    (tmp_path / 'study.json').write_text(contents)
    with pytest.raises(UserError, match=r'study'):
        record_plan(plan(tmp_path))
