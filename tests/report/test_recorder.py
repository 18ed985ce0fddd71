"""What a run notes when parts of it are odd: each part by itself, and of this run alone."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from mmengine.config import ConfigDict
from rich.console import Console
from tiny_runs import scored, some_facts

from vitdense.engine.work_dir import PAGE, new_test_dir
from vitdense.errors import UserError
from vitdense.report.charts import Chart, Series, chart_js
from vitdense.report.evaluate import EACH, evaluate, read_evaluation, read_pictures, short_names
from vitdense.report.facts import FOLDER, write_facts
from vitdense.report.images import Picture
from vitdense.report.recorder import ReportHook
from vitdense.report.start import recipe
from vitdense.report.verdict import verdict


def resumed(work_dir, checkpoint, iteration=6):
    """What a run that is resumed from a checkpoint takes over, into this folder."""
    hook, facts = ReportHook(Console()), some_facts(events=[])
    runner = SimpleNamespace(
        iter=iteration, work_dir=str(work_dir), cfg=ConfigDict(load_from=str(checkpoint))
    )
    hook._continue(runner, facts)
    return facts


def test_a_resumed_run_takes_over_what_lies_beside_its_checkpoint_and_nothing_else(tmp_path):
    write_facts(some_facts(validations=[[3, 0.2]], evaluated=scored(0.2, iteration=3)), tmp_path / 'own')
    write_facts(some_facts(validations=[[2, 0.9]], evaluated=scored(0.9, iteration=2)), tmp_path / 'other')
    into_other = resumed(tmp_path / 'other', tmp_path / 'own/iter_6.pth')
    assert into_other.validations == [[3, 0.2]]
    assert into_other.evaluated is None  # whose files lie elsewhere
    own = resumed(tmp_path / 'own', tmp_path / 'own/iter_6.pth')
    assert own.evaluated.scores['coco/bbox_mAP'] == 0.2
    assert resumed(tmp_path / 'new', tmp_path / 'no/iter_6.pth').events == [[40, 'resumed']]


def test_a_test_is_no_earlier_session_of_a_training(tmp_path):
    write_facts(some_facts(trains=False, evaluated=scored(0.9, iteration=0)), tmp_path)
    assert resumed(tmp_path, tmp_path / 'iter_6.pth').evaluated is None


def test_a_latency_of_another_device_is_measured_anew(tmp_path):
    write_facts(some_facts(latency=0.1), tmp_path / 'here')
    write_facts(some_facts(latency=0.1, lines=[['device', 'another']]), tmp_path / 'there')
    assert resumed(tmp_path, tmp_path / 'here/iter_6.pth').latency == 0.1
    assert resumed(tmp_path, tmp_path / 'there/iter_6.pth').latency == 0


def test_a_test_does_not_write_into_the_folder_of_a_training(tmp_path):
    (tmp_path / PAGE).write_text('of a training')
    with pytest.raises(UserError, match='--work-dir'):
        new_test_dir(str(tmp_path), 'tiny')


def test_the_recipe_of_several_optimizers_names_each():
    own = dict(type='OptimWrapper', optimizer=dict(type='AdamW', lr=0.1))
    other = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.2))
    cfg = ConfigDict(
        optim_wrapper=dict(constructor='Own', a=own, b=other),
        param_scheduler=dict(a=[dict(type='LinearLR', end=3)], b=[dict(type='StepLR', step_size=2)]),
        train_dataloader=dict(dataset=dict(type='D', pipeline=[])),
    )
    rows = [tuple(row) for row in recipe(cfg)]
    assert [text.split()[0] for name, text in rows if name == 'optimizer'] == ['AdamW', 'SGD']
    assert [text.split()[0] for name, text in rows if name == 'schedule'] == ['LinearLR', 'StepLR']


def test_a_metric_of_another_kind_has_its_numbers_and_the_number_of_images():
    evaluator = SimpleNamespace(metrics=[SimpleNamespace()])
    found = evaluate(evaluator, range(12), {'own/score': 0.5, 'own/of_each': [0.1, 0.2]}, [])
    assert (found.scores, found.images, found.evaluations, found.pictures) == ({'own/score': 0.5}, 12, {}, [])


@pytest.mark.parametrize('size', [1_000, 150_000, 2_000_000])
def test_pictures_that_a_page_has_no_room_for_are_left_out_of_every_group_alike(size):
    from vitdense.report.evaluate import BUDGET, _within_budget

    pictures = [
        Picture(f'{group}{number}', group, 0.5, 9, 9, 'x' * size, [], [])
        for group in ('best', 'middle', 'worst')
        for number in range(EACH)
    ]
    kept = _within_budget(pictures)
    assert sum(2 * len(one.image) for one in kept) <= BUDGET
    counts = [sum(one.group == group for one in kept) for group in ('best', 'middle', 'worst')]
    assert len(set(counts)) == 1
    assert counts[0] == {1_000: EACH, 150_000: 2, 2_000_000: 0}[size]


def test_images_of_one_name_in_several_folders_are_told_apart():
    assert short_names(['/d/a/1.png', '/d/b/1.png', '/d/b/2.png']) == ['a/1.png', 'b/1.png', 'b/2.png']
    assert short_names(['/d/a/1.png', '/d/a/2.png']) == ['1.png', '2.png']


def test_damaged_files_of_a_run_are_a_user_error_that_names_them(tmp_path):
    (tmp_path / FOLDER).mkdir()
    (tmp_path / FOLDER / 'bbox.npz').write_bytes(b'PK')
    (tmp_path / FOLDER / 'pictures.json').write_text('[{')
    with pytest.raises(UserError, match=r'bbox\.npz'):
        read_evaluation(tmp_path / FOLDER / 'bbox.npz')
    with pytest.raises(UserError, match=r'pictures\.json'):
        read_pictures(Path(tmp_path))


def test_values_that_are_not_finite_are_gaps_of_a_chart():
    bars = Chart('a', 'columns', '', '', '', (Series('', (1.0, np.nan)),), ('x', 'y'))
    lines = Chart('b', 'lines', '', '', '', (Series('', (1.0, np.inf), (1.0, 2.0)),))
    assert chart_js(bars)['data']['datasets'][0]['data'] == [1.0, None]
    assert chart_js(lines)['data']['datasets'][0]['data'] == [dict(x=1.0, y=1.0)]
    json.dumps([chart_js(bars), chart_js(lines)], allow_nan=False)


def test_a_score_of_which_less_is_better_is_not_called_low():
    low = scored(0.03, higher=False)
    assert 'Hardly' not in verdict(some_facts(evaluated=low))
    assert 'Hardly' in verdict(some_facts(evaluated=scored(0.03)))
    assert 'nothing to find' in verdict(some_facts(evaluated=scored(-1)))
