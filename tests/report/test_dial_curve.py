"""The curve of SuperViT's dials: over the scales, whatever the clock said; the best ones are marked."""

from tiny_runs import scored, some_facts

from vitdense.report.dial_curve import dial_chart, dial_rows
from vitdense.report.facts import Dial

FACTS = some_facts(
    trains=False,
    evaluated=scored(0.5),
    dials=[
        Dial(1.0, 1.0, 0.5, 0.8, 2, 1_460_000_000),
        Dial(4 / 7, 1.0, 0.3, 0.6, 2, 585_000_000),  # slower than a larger image, by chance
        Dial(5 / 7, 1.0, 0.4, 0.4, 2, 828_000_000),
        Dial(1.0, 0.5, 0.45, 0.5, 2, 761_000_000),
    ],
)


def test_a_curve_runs_over_the_scales():
    half, whole = dial_chart(FACTS).series
    assert [half.name, whole.name] == ['keep rate 0.5', 'keep rate 1']
    assert (whole.y, whole.x) == ((0.3, 0.4, 0.5), (300.0, 200.0, 400.0))  # milliseconds of an image
    assert half.y == (0.45,)


def test_settings_that_no_other_beats_are_marked():
    found = {cells[0]: best for best, cells in dial_rows(FACTS)}
    assert found == {'5/7:1': True, '1:0.5': True, '4/7:1': False, '1:1': True}


def test_a_run_without_dials_has_no_curve():
    assert dial_chart(some_facts()) is None
