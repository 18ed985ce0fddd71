"""A browser that looks at pages, and runs small enough to have some."""

import shutil
from typing import NamedTuple

import pytest
from runs import Outcome
from tiny_runs import SHORT, heads

from vitdense.report.charts import svg

ARGUMENTS = [
    f'--{name}'
    for name in (
        'no-sandbox',
        'disable-gpu',
        'disable-quic',
        'no-first-run',
        'disable-background-networking',
        'disable-component-update',
        'disable-sync',
    )
]

LOOK = """async () => {
  const images = [...document.images];
  images.forEach((image) => (image.loading = 'eager'));
  const decoded = await Promise.allSettled(images.map((image) => image.decode()));
  const canvases = [...document.querySelectorAll('canvas')];
  return {
    images: images.length,
    undecoded: images.filter((_, i) => decoded[i].status !== 'fulfilled').map((image) => image.alt),
    photos: document.querySelectorAll('.picture img').length,
    static_shown: [...document.querySelectorAll('.chart img')].filter((i) => i.clientHeight > 20).length,
    canvases: canvases.length,
    canvases_shown: canvases.filter((one) => one.parentElement.clientHeight).length,
    alive: canvases.filter((one) => one.chart && Chart.getChart(one) && one.clientHeight).length,
    overflow: document.documentElement.scrollWidth - innerWidth,
    sections: [...document.querySelectorAll('section')].map((section) => section.id),
    headless: [...document.querySelectorAll('section')].filter((one) => !one.querySelector('h2')).length,
    text: document.body.innerText,
    late: [...document.querySelectorAll('#late')].map((one) => one.clientHeight > 0),
  };
}"""


class Seen(NamedTuple):
    """What a browser made of a page.

    messages: on its console, and errors of scripts.
    fetched: addresses that are neither of the page nor inside it.
    found: what `LOOK` returns.
    """

    messages: list
    fetched: list
    found: dict
    pdf: bytes


@pytest.fixture(scope='session')
def browser():
    sync_api = pytest.importorskip('playwright.sync_api', reason='playwright is not installed')
    names = ('chromium', 'chromium-browser', 'google-chrome', 'chrome')
    path = next(filter(None, map(shutil.which, names)), None)
    with sync_api.sync_playwright() as playwright:
        try:
            found = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        except sync_api.Error as error:  # none of playwright's own either
            pytest.skip(f'no Chromium: {str(error).splitlines()[0]}')
        yield found
        found.close()


@pytest.fixture
def look(browser):
    """Open a page; `now`, in seconds since 1970, is what the browser takes for the time.

    With `paper` it is seen as it is printed, and printed.
    """

    def look(file, width=1400, script=True, now=None, paper=False):
        context = browser.new_context(viewport=dict(width=width, height=900), java_script_enabled=script)
        page, messages, requests = context.new_page(), [], []
        page.on('console', lambda message: messages.append(message.text))
        page.on('pageerror', lambda error: messages.append(str(error)))
        page.on('request', lambda request: requests.append(request.url[:80]))
        if now is not None:
            page.clock.set_fixed_time(now)
        page.goto(file.resolve().as_uri())
        page.wait_for_load_state('load')
        if paper:
            page.emulate_media(media='print')
        found = page.evaluate(LOOK)
        printed = page.pdf(format='A4', print_background=True) if paper else b''
        context.close()
        outside = [url for url in requests if not url.startswith(('file:', 'data:', 'blob:'))]
        return Seen(messages, outside, found, printed)

    return look


@pytest.fixture
def no_looks(monkeypatch):
    """`vitdense report` draws nothing of what the model looks at."""
    monkeypatch.setattr('vitdense.report.explained.explain_run', lambda *words: False)


@pytest.fixture
def place(tmp_path):
    """A folder with a small config for each head: `boxes.py`, `masks.py`, `labels.py`, `dilated.py`."""
    return heads(tmp_path)


@pytest.fixture
def train(call_tool, no_pictures, monkeypatch):
    """Train a head of a folder for four iterations, validated every two."""
    monkeypatch.setattr('vitdense.report.page.svg', svg)  # which are looked at here

    def train(folder, head, work_dir, *options, words=()):
        monkeypatch.chdir(folder)
        command = [f'{head}.py', '--sample', '--work-dir', work_dir, *words]
        return Outcome(*call_tool('train', *command, '--cfg-options', *SHORT, *options))

    return train
