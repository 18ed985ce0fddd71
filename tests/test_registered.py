"""`import vitdense` registers names; a class is imported when it is built."""

import subprocess
import sys
from importlib import import_module

import pytest
from mmengine.registry import MODELS

import vitdense
from vitdense import registered


def run_python(code):
    """The lines that `code` prints in a fresh interpreter."""
    command = [sys.executable, '-W', 'ignore', '-c', code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


REGISTRIES = """
import sys, vitdense
print(sorted({'torch', 'torchvision', 'timm', 'mmcv', 'mmdet', 'mmseg'} & sys.modules.keys()))

import mmdet.registry, mmengine.registry, mmseg.registry
built = {
    'TransCNN': mmengine.registry.MODELS.build(dict(type='TransCNN', arch='tiny')),
    'PiT': mmdet.registry.MODELS.build(dict(type='PiT', arch='ti')),
    'VVT': mmseg.registry.MODELS.build(dict(type='VVT', arch='tiny')),
}
for name, network in built.items():
    kind = getattr(vitdense.backbones, name)
    assert type(network) is kind
    assert mmengine.registry.MODELS.get(name) is kind, 'still the placeholder'
    assert mmdet.registry.MODELS.get(name) is mmseg.registry.MODELS.get(name) is kind
neck = dict(type='ExtraLevelFPN', in_channels=[8, 16, 32], out_channels=8, num_outs=5)
print(type(mmdet.registry.MODELS.build(neck)) is vitdense.necks.ExtraLevelFPN)
"""


def test_names_are_registered_without_torch_and_build_from_every_librarys_registry():
    assert [line for line in run_python(REGISTRIES) if line in ('[]', 'True')] == ['[]', 'True']


ALONE = """
import sys
sys.modules.update(mmcv=None, mmdet=None, mmseg=None)  # from here on as if they were not installed
import torch, vitdense.backbones
from mmengine.registry import MODELS
for name in vitdense.backbones.__all__:
    kind = getattr(vitdense.backbones, name)
    with torch.device('meta'):
        print(type(MODELS.build(dict(type=name, arch=next(iter(kind.archs))))) is kind)
"""


@pytest.mark.nightly  # import-linter's contract says the same of what is written
def test_the_backbones_need_none_of_the_openmmlab_libraries_but_mmengine():
    assert run_python(ALONE) == ['True'] * len(vitdense.backbones.__all__)


def test_every_registered_class_takes_its_placeholders_place():
    registered.import_all()
    for registry, names in registered.NAMES.items():
        for name, module in names.items():
            found = registry.get(name)
            assert vars(import_module(found.__module__))[found.__name__] is found  # no placeholder
            assert found.__module__.startswith(module)
    assert all(MODELS.get(name) is getattr(vitdense.backbones, name) for name in vitdense.backbones.__all__)


def test_another_class_of_a_name_is_an_error():
    with pytest.raises(KeyError, match='TransCNN'):
        registered.register()


def test_an_unknown_name_of_the_package_is_an_attribute_error():
    for module in (vitdense, vitdense.backbones):
        with pytest.raises(AttributeError, match='nothing'):
            _ = module.nothing
