"""What the model looks at, on the page: drawn at the end of a longer run, or later, and never in its way."""

import json
from pathlib import Path

import pytest
from runs import Outcome
from test_pages import check, sections_of

from vitdense.engine.work_dir import PAGE
from vitdense.report import recorder
from vitdense.report.explained import BUDGET, FILE, chosen_paths, read_explained
from vitdense.report.facts import FOLDER


@pytest.fixture
def sections():
    """Of a page of a detector that has them."""
    names = sections_of('boxes')
    at = names.index('images') + 1
    return [*names[:at], 'looks', *names[at:]]


def test_a_longer_run_draws_them_at_its_end_and_report_leaves_them(
    train, place, call_tool, look, sections, monkeypatch
):
    monkeypatch.setattr(recorder, 'EXPLAINED', 0.0)  # short as it is
    monkeypatch.setattr(recorder, 'SHARE', 100.0)
    done = train(place, 'boxes', 'run')
    assert (done.code, done.err) == (0, '')
    assert 'not written' not in done.out
    found = read_explained(place / 'run')
    assert (place / 'run' / found.checkpoint).is_file()
    assert [one.caption.split(':')[0] for one in found.pictures] == [
        'Attention',
        'Effective receptive field',
        'Attention',
    ]
    assert sum(len(one.image) for one in found.pictures) <= BUDGET
    for width in (1400, 390):
        check(look, place / 'run' / PAGE, sections, width)
    before = (place / 'run' / PAGE).read_bytes()
    monkeypatch.setattr('vitdense.report.explained.explain_run', lambda *words: 1 / 0)
    done = Outcome(*call_tool('report', place / 'run'))
    assert (done.code, done.err) == (0, '')
    assert (place / 'run' / PAGE).read_bytes() == before


def test_report_draws_them_for_a_short_run_and_has_its_page_without(
    train, place, call_tool, look, sections, monkeypatch
):
    assert train(place, 'boxes', 'run').code == 0
    assert read_explained(place / 'run') is None
    with monkeypatch.context() as own:
        own.setattr('vitdense.explain.explainer.Explainer.record', lambda *words: 1 / 0)
        done = Outcome(*call_tool('report', place / 'run'))
    assert (done.code, done.err) == (0, '')
    assert 'warning: not drawn' in done.out
    check(look, place / 'run' / PAGE, sections_of('boxes'), 1400)
    done = Outcome(*call_tool('report', place / 'run'))
    assert (done.code, done.err) == (0, '')
    check(look, place / 'run' / PAGE, sections, 1400)


def test_a_failure_to_draw_never_ends_a_run(train, place, monkeypatch):
    monkeypatch.setattr(recorder, 'EXPLAINED', 0.0)
    monkeypatch.setattr(recorder, 'explain_run', lambda *words: 1 / 0)
    done = train(place, 'boxes', 'run')
    assert (done.code, done.err) == (0, '')
    assert done.out.count('warning: not written: ZeroDivisionError') == 1
    assert (
        'Finished' in (place / 'run' / PAGE).read_text() or 'finished' in (place / 'run' / PAGE).read_text()
    )


def test_a_short_run_draws_none(train, place, monkeypatch):
    monkeypatch.setattr(recorder, 'explain_run', lambda *words: 1 / 0)
    done = train(place, 'boxes', 'run')
    assert 'not written' not in done.out


def test_the_best_images_are_shown_and_else_some_that_are_spread(tmp_path):
    paths = [f'/data/{number}.png' for number in range(10)]
    assert chosen_paths(tmp_path, paths) == ['/data/2.png', '/data/7.png']
    assert chosen_paths(tmp_path, []) == []
    (tmp_path / FOLDER).mkdir()
    picture = dict(worth=1.0, width=1, height=1, image='', truth=[], prediction=[])
    pictures = [dict(picture, name='worst.png', group='worst'), dict(picture, name='4.png', group='best')]
    (tmp_path / FOLDER / 'pictures.json').write_text(json.dumps(pictures))
    assert chosen_paths(Path(tmp_path), paths) == ['/data/4.png', '/data/2.png']


def test_a_damaged_file_is_named(tmp_path):
    from vitdense.errors import UserError

    (tmp_path / FOLDER).mkdir()
    (tmp_path / FOLDER / FILE).write_text('[{')
    with pytest.raises(UserError, match=FILE):
        read_explained(tmp_path)
