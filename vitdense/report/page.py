"""`report.html`: the facts of a run as one file that needs no other, on a screen, on a phone and in print."""

import json
import time
from collections.abc import Iterator, Mapping
from datetime import timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from .. import __version__
from ..show.curves import run_curves
from ..show.scores import number, score_names
from . import details
from .charts import Chart, Series, chart_js, line, svg
from .dial_curve import dial_chart, dial_rows
from .evaluate import read_evaluation, read_pictures
from .explained import read_explained
from .facts import FOLDER, RunFacts, write_whole
from .published import published_curve, published_sentence, published_series
from .verdict import headline_score, verdict

CHART_JS = 'chart.umd.min.js'
SECTIONS = [
    ('curves', 'Curves'),
    ('time', 'Time'),
    ('dials', 'Dials'),
    ('scores', 'Scores'),
    ('classes', 'Classes'),
    ('precision', 'Precision'),
    ('confusion', 'Confusion'),
    ('errors', 'Errors'),
    ('images', 'Images'),
    ('looks', 'Looks'),
    ('data', 'Data'),
    ('weights', 'Weights'),
    ('model', 'Model'),
    ('run', 'Run'),
    ('recipe', 'Recipe'),
    ('repeat', 'Repeat'),
]
OF_TRAININGS, OF_DETECTORS = ('curves', 'recipe'), ('precision', 'errors')


def write_page(facts: RunFacts, work_dir: Path, file: Path) -> None:
    """Write the page of a run, in place of an earlier one."""
    write_whole(file, page_text(facts, work_dir))


def page_text(facts: RunFacts, work_dir: Path) -> str:
    """The page of a run whose work dir this is."""
    evaluated = facts.evaluated
    evaluations = {
        kind: read_evaluation(work_dir / FOLDER / name)
        for kind, name in (evaluated.files if evaluated else {}).items()
        if (work_dir / FOLDER / name).is_file()
    }
    curves = run_curves(work_dir) if facts.trains else {}
    explained = read_explained(work_dir)
    published = published_curve(facts)
    return render(
        'run.html',
        facts=facts,
        title=facts.name,
        verdict=verdict(facts),
        tiles=list(_tiles(facts)),
        curves=list(_curve_charts(curves, published_series(published, facts) if published else None)),
        beside=published_sentence(published, facts) if published else '',
        findings=details.findings_by_section(facts.findings),
        time_chart=details.time_chart(facts.seconds),
        score_rows=_score_rows(evaluated.scores) if evaluated else [],
        dial_chart=dial_chart(facts),
        dial_rows=list(dial_rows(facts)),
        size_chart=details.size_chart(evaluated.scores) if evaluated else None,
        class_tables=list(details.class_tables(facts, evaluations)),
        precision_charts=list(details.precision_charts(evaluations, facts)),
        confusion=details.confusion(evaluations, facts),
        errors=list(details.error_splits(evaluations)),
        pictures=read_pictures(work_dir) if evaluated else [],
        explained=explained,
        data_charts=list(details.data_charts(facts)),
        costs=details.cost_rows(facts),
        sections=[(id, name) for id, name in SECTIONS if _has(facts, id) and (id != 'looks' or explained)],
        clock=clock,
        duration=duration,
        number=number,
    )


def render(template: str, **context: Any) -> str:
    """A page of a template, with Chart.js, the style and the script in it."""
    own = files('vitdense.report') / 'templates'
    library = (own / CHART_JS).read_text(encoding='utf-8').partition('\n//# sourceMappingURL')[0]
    script, style = ((own / name).read_text(encoding='utf-8') for name in ('page.js', 'page.css'))
    return fill(
        template, chart_js=_chart_json, svg=svg, library=library, script=script, style=style, **context
    )


def fill(template: str, **context: Any) -> str:
    """A template of this package; in HTML all that comes from a run is escaped."""
    environment = Environment(
        loader=PackageLoader('vitdense.report', 'templates'),
        autoescape=select_autoescape(),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(version=__version__, **context)


def _chart_json(chart: Chart) -> str:
    """For a script element, which no text in it may end."""
    return json.dumps(chart_js(chart), separators=(',', ':'), allow_nan=False).replace('<', '\\u003c')


def clock(seconds: float) -> str:
    """A moment, with the time zone of this machine."""
    return time.strftime('%Y-%m-%d %H:%M %Z', time.localtime(seconds))


def duration(seconds: float) -> str:
    """Such as 0:03:20."""
    return f'{seconds:.1f} s' if seconds < 60 else str(timedelta(seconds=round(seconds)))


def _has(facts: RunFacts, section: str) -> bool:
    if section == 'dials':
        return bool(facts.dials)
    return not (
        (section in OF_TRAININGS and not facts.trains) or (section in OF_DETECTORS and facts.segments)
    )


def _tiles(facts: RunFacts) -> Iterator[tuple[str, str, str]]:
    """Label, value, and a remark."""
    if score := headline_score(facts):
        name, value = score
        evaluated = facts.evaluated
        when = f'after iteration {evaluated.iteration}' if evaluated and facts.trains else 'of this test'
        yield name, number(value), f'{when}, {evaluated.images if evaluated else 0} images'
    if facts.trains:
        yield 'iterations', f'{facts.iteration}', f'of {facts.total}'
    yield (
        'time',
        duration(sum(facts.seconds.values())),
        'on ' + facts.line('device').partition(' (')[0],
    )
    if facts.costs:
        size = ' × '.join(map(str, facts.size))
        adds = f'{facts.multiply_adds / 1e9:.2f} G multiply-adds at {size}'
        yield 'parameters', f'{facts.parameters / 1e6:.1f} M', adds
    if facts.latency:
        yield (
            'latency',
            f'{1000 * facts.latency:.0f} ms',
            f'one image of {" × ".join(map(str, facts.size))}, here',
        )


def _curve_charts(
    curves: Mapping[str, Mapping[str, Mapping[int, float]]], published: Series | None = None
) -> Iterator[Chart]:
    units = {'loss': 'loss', 'learning rate': 'learning rate', 'validation score': 'score'}
    for part in ('validation score', 'loss', 'learning rate'):
        if found := curves.get(part):
            lines = (
                line(
                    'all losses' if name == 'sum' else name, dict(values), '#333333' if name == 'sum' else ''
                )
                for name, values in found.items()
            )
            series = tuple(one for one in lines if one.y)
            if not series:
                continue
            if published and part == 'validation score':
                series += (published,)
            least = min(value for one in series for value in one.y)
            yield Chart(
                part.replace(' ', '-'),
                'lines',
                {'loss': 'Losses', 'learning rate': 'Learning rate', 'validation score': 'Validation scores'}[
                    part
                ],
                'iteration',
                units[part],
                series,
                height=0.32 if part == 'learning rate' else 0.5,
                y_range=None
                if least < 0
                else (0, 1.05 * max(value for one in series for value in one.y) or 1),
            )


def _score_rows(scores: Mapping[str, float]) -> list[tuple[str, str]]:
    names = score_names(scores)
    return [(names[name], number(value)) for name, value in scores.items()]
