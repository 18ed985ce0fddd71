"""A config does what it does in MMEngine's own runner, bit for bit, or is refused in a sentence."""

import mmdet
import mmdet.utils
import mmseg.utils
import pytest
from cases import CASES, UNTRIED, table
from mmengine import registry
from mmengine.dataset import BaseDataset
from mmengine.utils import digit_version
from small import REPOSITORY
from stock_and_ours import compare

import vitdense.engine.precision  # noqa: F401 (registers ScaledOptimWrapper)

REGISTRIES = {
    'hook': registry.HOOKS,
    'dataset': registry.DATASETS,
    'sampler': registry.DATA_SAMPLERS,
    'schedule': registry.PARAM_SCHEDULERS,
    'optimizer wrapper': registry.OPTIM_WRAPPERS,
    'constructor': registry.OPTIM_WRAPPER_CONSTRUCTORS,
    'loop': registry.LOOPS,
}


@pytest.fixture
def quick(monkeypatch, tmp_path, no_pictures):
    """Without what takes long on both sides and changes nothing."""
    # the best checkpoint, which the command keeps also where a config does not ask for it
    monkeypatch.setattr('vitdense.engine.best.keep_best', lambda cfg: None)
    # the latency for the page, for which the model is run once more
    monkeypatch.setattr('vitdense.report.recorder.ReportHook._measure', lambda *words: None)
    monkeypatch.setattr('time.sleep', lambda seconds: None)  # MMEngine's two seconds between epochs
    monkeypatch.setattr('gc.collect', lambda *words: 0)  # a third of a second for each dataset
    monkeypatch.setattr('yapf.yapflib.yapf_api.FormatCode', lambda text, **style: (text, True))
    monkeypatch.setattr('mmengine.runner.runner.collect_env', dict)
    monkeypatch.chdir(tmp_path)


@pytest.mark.filterwarnings('ignore')
@pytest.mark.parametrize(
    'name', [pytest.param(name, marks=[pytest.mark.nightly] * case.nightly) for name, case in CASES.items()]
)
def test_a_run_is_mmengines_own(name, quick, tmp_path, call_tool):
    case = CASES[name]
    sentence, found = compare(case.config(), tmp_path, call_tool, case.test, case.refused)
    assert case.refused in sentence
    assert bool(sentence) == bool(case.refused), sentence
    assert found == []


def registered():
    """What the installed libraries register, by the names of the cases."""
    mmdet.utils.register_all_modules(init_default_scope=False)
    mmseg.utils.register_all_modules(init_default_scope=False)
    for what, root in REGISTRIES.items():
        for one in (root, *root.children.values()):
            scope = '' if one.scope == 'mmengine' else f'{one.scope}.'
            for name, kind in one.module_dict.items():
                # a dataset with files of its own is another format, and no other way to train
                if not (what == 'dataset' and issubclass(kind, BaseDataset)):
                    yield f'{what}: {scope}{name}'


@pytest.mark.skipif(
    digit_version(mmdet.__version__) < digit_version('3.4'), reason='cases are of the onedl packages'
)
def test_every_registered_class_that_changes_a_run_is_tried_or_says_why_not():
    tried = {name.partition(',')[0].replace('batch sampler', 'sampler') for name in CASES}
    own = {'hook: SeedIteration', 'hook: Trace'}
    assert {name for name in registered() if name not in tried | UNTRIED.keys() | own} == set()
    assert UNTRIED.keys() <= set(registered()), 'no longer registered'
    assert not UNTRIED.keys() & tried


def test_the_table_in_the_documentation_is_of_these_cases():
    page = (REPOSITORY / 'docs/reliability.md').read_text()
    section = page.partition('## As MMEngine')[2].partition('\n## ')[0]
    assert [line for line in section.splitlines() if line.startswith('|')] == [
        line for line in table() if line
    ]
