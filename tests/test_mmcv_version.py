"""MMDetection's assertion about MMCV's version, on packages that are stubs of theirs."""

import subprocess
import sys

import pytest

STUB = """
import mmcv
{before}
assert mmcv.__version__ < '2.2.0', f'MMCV=={{mmcv.__version__}} is used but incompatible'
seen = mmcv.__version__
"""


@pytest.mark.parametrize('library', ['mmdet', 'mmseg'])
@pytest.mark.parametrize(
    ('version', 'before', 'last'),
    [
        ('2.2.0', '', '2.1.0 2.2.0'),
        ('2.1.0', '', '2.1.0 2.1.0'),
        ('2.2.0', "assert False, 'MMEngine==0.1 is used'", 'AssertionError: MMEngine==0.1 is used'),
        ('2.2.0', 'import absent', "ModuleNotFoundError: No module named 'absent'"),
    ],
)
def test_a_newer_mmcv_passes_and_nothing_else_does(library, version, before, last, tmp_path):
    for name, text in (('mmcv', f"__version__ = '{version}'"), (library, STUB.format(before=before))):
        (tmp_path / name).mkdir()
        (tmp_path / name / '__init__.py').write_text(text)
    code = (
        f'import sys; sys.path.insert(0, {str(tmp_path)!r})\n'
        f'import vitdense, mmcv, {library}; print({library}.seen, mmcv.__version__)'
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, timeout=60)
    assert (done.stdout + done.stderr).splitlines()[-1] == last
