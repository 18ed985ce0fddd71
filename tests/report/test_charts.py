"""A chart in both of its drawings, and what a name in it may not do."""

import json
import re
from urllib.parse import unquote
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_runs import some_facts

from vitdense.engine.work_dir import PAGE
from vitdense.report.charts import POINTS, Chart, Series, chart_js, line, svg
from vitdense.report.page import page_text, write_page

# a browser has fonts of its own
pytestmark = pytest.mark.filterwarnings('ignore:Glyph .* missing')
EVIL = [
    '</script><b>$x_1$',
    '<img src=x onerror=alert(1)>',
    '"&\'`${x}',
    r'$\frac{',
    '_hidden',
    '图 é',
    '{{ 1 }}',
]
STEPS = Series('loss', (3.0, 2.0, 1.0), (1.0, 2.0, 3.0))


def drawn(chart):
    """The SVG of a chart, parsed."""
    address = svg(chart)
    head, comma, text = address.partition(',')
    assert (head, comma) == ('data:image/svg+xml', ',')
    assert not set('"#%<>') & set(re.sub('%[0-9A-F]{2}', '', text)) - set('<>')  # safe in an attribute
    return ElementTree.fromstring(unquote(text))


def words(chart):
    return {text for node in drawn(chart).iter('{http://www.w3.org/2000/svg}text') if (text := node.text)}


@pytest.mark.parametrize('kind', ['bars', 'columns'])
def test_names_are_written_as_they_are(kind):
    chart = Chart('evil', kind, 'title', 'x', 'y', (Series('a', (1.0,) * len(EVIL)),), tuple(EVIL))
    assert set(EVIL) <= words(chart)
    assert json.loads(json.dumps(chart_js(chart)))['data']['labels'] == EVIL


@pytest.mark.parametrize('kind', ['lines', 'points'])
def test_names_in_a_legend_are_written_as_they_are(kind):
    series = tuple(Series(name, (1.0, 2.0), (0.0, 1.0)) for name in EVIL)
    found = words(Chart('legend', kind, 'title', 'x', 'y', series))
    for name in EVIL:
        assert name.replace('_', ' ') in found  # matplotlib hides what begins with a line
    assert '1.0' in found or '1.00' in found  # the numbers of its axes


def test_text_in_a_page_is_no_markup(look, tmp_path):
    """In every place of a page that has one."""
    facts = some_facts(classes=EVIL, palette=[[9, 9, 9]] * len(EVIL), name=EVIL[0], reason=EVIL[1])
    counted = dict.fromkeys(EVIL, 3)
    facts.data = {'train': dict(images=9, looked=9, kind='objects', classes=counted, boxes=[], sizes=[])}
    facts.findings = [['labels', EVIL[0], 'warning'], ['rate', EVIL[1], 'ok'], ['model', EVIL[2], 'ok']]
    facts.lines = [['model', EVIL[0]], ['weights', EVIL[1]], ['device', EVIL[2]]]
    facts.events, facts.changes, facts.sources = [[1, EVIL[0]]], [EVIL[1]], [[EVIL[0], EVIL[6]]]
    facts.command = facts.config = EVIL[0]
    write_page(facts, tmp_path, tmp_path / PAGE)
    seen = look(tmp_path / PAGE)
    assert seen.messages == seen.fetched == seen.found['undecoded'] == []
    assert seen.found['canvases'] == seen.found['alive'] == 2
    for text in (EVIL[0], EVIL[1], EVIL[2]):
        assert text in seen.found['text']
    assert page_text(facts, tmp_path).count('</script>') == 2 + 2  # the library, ours, and one for each chart


@given(st.dictionaries(st.integers(0, 10**6), st.floats(-1e6, 1e6), min_size=1, max_size=3 * POINTS))
def test_a_curve_is_thinned_and_keeps_its_ends_and_its_order(values):
    values = dict(sorted(values.items()))
    thinned = line('loss', values)
    assert len(thinned.x) <= POINTS + 1
    assert (thinned.x[0], thinned.x[-1]) == (min(values), max(values))
    assert list(thinned.x) == sorted(set(thinned.x))
    assert all(values[x] == y for x, y in zip(thinned.x, thinned.y, strict=True))
    if len(values) <= POINTS:
        assert len(thinned.x) == len(values)


@pytest.mark.parametrize('length', [POINTS, POINTS + 1, 10 * POINTS, 10 * POINTS + 1])
def test_a_long_curve_has_as_many_points_as_a_screen_can_show(length):
    thinned = line('loss', {step: float(step) for step in range(length)})
    assert POINTS / 2 <= len(thinned.x) <= POINTS + 1
    assert thinned.x[-1] == length - 1


def test_a_curve_without_values_has_none():
    assert line('loss', {}).y == ()


@pytest.mark.parametrize(
    ('kind', 'own'),
    [('lines', 'line'), ('steps', 'line'), ('points', 'scatter'), ('bars', 'bar'), ('columns', 'bar')],
)
def test_each_kind_is_a_configuration_and_a_picture(kind, own):
    bars = kind in ('bars', 'columns')
    series = Series('some', (3.0, 2.0, 1.0)) if bars else STEPS
    categories = ('a', 'b', 'c') if bars else ()
    chart = Chart(
        f'of-{kind}', kind, 'title', 'below', 'beside', (series, series), categories, y_range=(0, 4)
    )
    made = chart_js(chart)
    assert made['type'] == own
    values = 'x' if kind == 'bars' else 'y'
    assert (made['options']['scales'][values]['min'], made['options']['scales'][values]['max']) == (0, 4)
    titles = {axis: scale['title']['text'] for axis, scale in made['options']['scales'].items()}
    assert titles == dict(x='below', y='beside')
    points = made['data']['datasets'][0]['data']
    assert [one if bars else one['y'] for one in points] == [3.0, 2.0, 1.0]
    assert {'below', 'beside', *categories} <= words(chart)


@pytest.mark.parametrize('spoilt', [{3}, {1, 2, 3, 4}], ids=['one', 'all'])
def test_losses_that_are_not_finite_leave_a_page_whose_charts_are_drawn(look, tmp_path, spoilt):
    """As where steps were skipped for them."""
    losses = {step: 'NaN' if step % 2 else '-Infinity' for step in spoilt}
    rows = [f'{{"loss": {losses.get(step, step)}, "lr": 0.1, "step": {step}}}' for step in (1, 2, 3, 4)]
    log = tmp_path / '20300101_000000/vis_data/scalars.json'
    log.parent.mkdir(parents=True)
    log.write_text('\n'.join(rows))
    write_page(some_facts(), tmp_path, tmp_path / PAGE)
    seen = look(tmp_path / PAGE)
    assert seen.messages == seen.found['undecoded'] == []
    assert seen.found['canvases'] == seen.found['alive'] == 3 - (len(spoilt) == 4)  # losses, rates, time
