"""Chart.js as its authors released it, and nothing that is fetched from elsewhere."""

import hashlib
import re
from importlib.resources import files
from urllib.parse import unquote

from tiny_runs import scored, some_facts

from vitdense.report.page import CHART_JS, page_text

SHA256 = '87364cc2b2a76a6684929e7d6b80b18a897794db38400caff1fcf1791c6925d2'  # of 4.6.1's chart.umd.min.js
PAGE = files('vitdense.report') / 'templates'


def test_the_library_is_the_released_one_with_its_licence_beside_it():
    library = (PAGE / CHART_JS).read_bytes()
    assert hashlib.sha256(library).hexdigest() == SHA256
    licence = (PAGE / f'{CHART_JS}.LICENSE.md').read_text()
    assert 'MIT License' in licence
    assert 'Chart.js Contributors' in licence


def test_a_page_refers_to_nothing_outside_itself(tmp_path):
    text = page_text(some_facts(evaluated=scored(0.5)), tmp_path)
    assert (PAGE / CHART_JS).read_text(encoding='utf-8').partition('\n//# sourceMapping')[0] in text
    own = re.sub('<script>.*?</script>', '', unquote(text), flags=re.DOTALL)
    assert re.search(r'src="data:', own)
    assert not re.findall(r'(?:src|href|url)\s*[=(]\s*["\']?(?!#|data:)[^\s"\']+', own)
    assert 'sourceMappingURL' not in text  # which a browser's tools would fetch
