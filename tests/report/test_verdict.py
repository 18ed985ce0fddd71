"""The sentence on top of a page: how a run stands, and what a person should look at."""

import pytest
from tiny_runs import scored, some_facts

from vitdense.report.verdict import headline_score, verdict

LONGER, WORSE, NOTHING = 'longer training', 'was worse', 'Nothing is found'


@pytest.mark.parametrize('state', ['running', 'stopped', 'failed', 'killed'])
def test_it_begins_with_the_state_and_the_iteration(state):
    said = verdict(some_facts(state=state, iteration=17, reason='for this reason'))
    assert said.startswith(state.capitalize())
    assert 'iteration 17 of 40' in said
    assert ('for this reason' in said) == (state in ('stopped', 'failed'))


def test_a_finished_run_ends_with_its_schedule_or_says_why_it_did_not():
    assert verdict(some_facts()).startswith('Finished: iteration 40 of 40.')
    assert verdict(some_facts(reason='ended early')).startswith('Finished: ended early.')
    assert verdict(some_facts(trains=False)).startswith('Tested.')


def test_without_a_validation_nothing_is_known_but_while_it_runs_one_may_come():
    assert 'No validation' in verdict(some_facts())
    assert 'No validation' not in verdict(some_facts(state='running'))
    assert headline_score(some_facts()) is None


def test_the_score_by_which_the_best_is_chosen_is_named():
    facts = some_facts(evaluated=scored(0.4321))
    assert headline_score(facts) == ('bbox mAP', 0.4321)
    assert 'bbox mAP 0.432, best after iteration 20.' in verdict(facts)
    assert 'best after' not in verdict(some_facts(evaluated=scored(0.4321), trains=False))


@pytest.mark.parametrize(
    ('scores', 'said'),
    [
        ((0.375, 0.4), {LONGER}),
        ((0.385, 0.4), set()),  # by less than two hundredths
        ((0.5, 0.47), {WORSE}),
        ((0.5, 0.48), set()),  # by less than a twentieth
        ((0.4,), set()),
        ((0.0, 0.0), {NOTHING}),
    ],
)
def test_it_says_whether_the_last_validation_was_better_or_worse(scores, said):
    validations = [[10 * number, score] for number, score in enumerate(scores)]
    facts = some_facts(evaluated=scored(max(scores)), validations=validations)
    assert {text for text in (LONGER, WORSE, NOTHING) if text in verdict(facts)} == said
    facts.state = 'stopped'  # of which it is no wonder that it was still rising
    assert {text for text in (WORSE, NOTHING) if text in verdict(facts)} == said - {LONGER}
    assert LONGER not in verdict(facts)


@pytest.mark.parametrize(
    ('scores', 'hardly'),
    [
        ({'coco/bbox_mAP': 0.04, 'coco/bbox_mAP_50': 0.09}, True),
        ({'coco/bbox_mAP': 0.06, 'coco/bbox_mAP_50': 0.09}, False),
        ({'mIoU': 0.7, 'aAcc': 31.0}, True),  # in percent
        ({'mIoU': 4.0, 'aAcc': 31.0}, True),
        ({'mIoU': 6.0, 'aAcc': 31.0}, False),
    ],
)
def test_a_score_of_less_than_a_twentieth_is_hardly_anything(scores, hardly):
    facts = some_facts(evaluated=scored(0.5, scores=scores, monitored=next(iter(scores))))
    assert ('Hardly anything' in verdict(facts)) == hardly


def test_classes_of_which_nothing_is_found_are_counted_and_a_single_one_is_named():
    rows = dict(boat=0.0, fish=0.5, house=-1)  # of which there is none to find
    per_class = dict(bbox={name: dict(objects=1, AP=score) for name, score in rows.items()})
    assert 'boat had a score of 0' in verdict(some_facts(evaluated=scored(0.25, per_class=per_class)))
    per_class['bbox']['fish']['AP'] = 0.0
    assert '2 classes had a score of 0' in verdict(some_facts(evaluated=scored(0.25, per_class=per_class)))


@pytest.mark.parametrize('count', [0, 1, 2])
def test_warnings_of_the_preflight_check_are_counted(count):
    findings = [['rate', 'well', 'ok']] + [['scored', 'hm', 'warning']] * count
    said = verdict(some_facts(evaluated=scored(0.5), findings=findings))
    assert (f'{count} warning' in said) == bool(count)
