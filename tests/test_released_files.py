"""The authors' own files, of every backbone that has some: in as they are, or not at all.

`tests/reference` holds state dicts under the authors' names. `test_checkpoint.py` goes through every wrapping
and every damage on one backbone; here each backbone meets each kind once.
"""

import argparse
from collections.abc import Mapping
from itertools import permutations
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from small import Hostile
from small_backbones import SMALL
from torch import Tensor

from vitdense.checkpoint import load_released
from vitdense.convert import convert

REFERENCE = Path(__file__).parent / 'reference'
RELEASED = [name for name, row in SMALL.items() if row.released_arch]

each_backbone = pytest.mark.parametrize('name', RELEASED)


def network(name: str, **changes) -> torch.nn.Module:
    torch.manual_seed(0)
    row = SMALL[name]
    return row.backbone(row.released_arch | changes)


def released(name: str) -> dict[str, Tensor]:
    tensors = load_file(REFERENCE / f'{name.lower()}.safetensors')
    return {k.removeprefix('state_dict.'): v for k, v in tensors.items() if k.startswith('state_dict.')}


def moved(network: torch.nn.Module, before: Mapping[str, Tensor]) -> list[str]:
    """The tensors that are not as they were."""
    return [key for key, tensor in network.state_dict().items() if not torch.equal(tensor, before[key])]


def refused(name: str, source, **changes) -> str:
    """The message with which a source is refused, by a backbone that stays as it was, bit for bit."""
    backbone = network(name, **changes)
    before = {key: tensor.clone() for key, tensor in backbone.state_dict().items()}
    with pytest.raises(ValueError) as error:  # noqa: PT011 (its words are what the tests look at)
        load_released(backbone, source)
    assert moved(backbone, before) == []
    return str(error.value)


WRAPPINGS = {
    'bare': lambda state: state,
    'model': lambda state: {'model': state, 'epoch': 299, 'args': argparse.Namespace(lr=1e-3)},
    'state_dict': lambda state: {'state_dict': state},
    'model_ema': lambda state: {'model_ema': state},
    'module.': lambda state: {'model': {f'module.{key}': tensor for key, tensor in state.items()}},
}


@each_backbone
@pytest.mark.parametrize('wrapping', WRAPPINGS)
def test_every_wrapping_gives_the_same_weights(tmp_path, name, wrapping):
    plain, wrapped = network(name), network(name)
    random = {key: tensor.clone() for key, tensor in plain.state_dict().items()}
    load_released(plain, released(name))
    assert moved(plain, random)
    torch.save(WRAPPINGS[wrapping](released(name)), tmp_path / 'weights.pth')
    load_released(wrapped, tmp_path / 'weights.pth')
    assert moved(wrapped, plain.state_dict()) == []


@each_backbone
def test_safetensors_give_the_same_weights(tmp_path, name):
    plain, file = network(name), network(name)
    load_released(plain, released(name))
    save_file(released(name), tmp_path / 'weights.safetensors')
    load_released(file, tmp_path / 'weights.safetensors')
    assert moved(file, plain.state_dict()) == []


@each_backbone
def test_the_weights_of_another_variant_are_refused(name):
    message = refused(name, released(name), **SMALL[name].other_arch)
    assert all(part in message for part in (name, 'nothing was loaded', '`arch`'))


@pytest.mark.parametrize(('name', 'other'), permutations(RELEASED, 2))
def test_the_weights_of_another_backbone_are_refused(name, other):
    message = refused(name, released(other))
    assert 'missing (' in message
    assert 'left over (' in message


@each_backbone
def test_half_of_the_weights_are_refused_with_every_missing_key(name):
    whole = released(name)
    half = dict(list(whole.items())[::2])
    message = refused(name, half)
    some = network(name)
    load_released(some, whole)
    listed = message.split('missing (')[1].split('): ')[1].split('; ')[0].split(', ')
    assert len(listed) > len(some.state_dict()) // 4
    assert set(listed) < some.state_dict().keys()


@each_backbone
@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
def test_a_truncated_file_is_refused_by_name(tmp_path, name, suffix):
    path = tmp_path / f'weights{suffix}'
    (save_file if suffix == '.safetensors' else torch.save)(released(name), path)
    path.write_bytes(path.read_bytes()[:-1000])
    assert refused(name, path).startswith(f'{path}: damaged')


@each_backbone
def test_a_file_that_would_execute_code_is_refused_by_name(tmp_path, name):
    path, marker = tmp_path / 'weights.pth', tmp_path / 'marker'
    torch.save({'model': released(name), 'args': Hostile(marker)}, path)
    assert refused(name, path).startswith(f'{path}: refused')
    assert not marker.exists()


@each_backbone
def test_converted_to_safetensors_it_gives_the_same_weights(tmp_path, name):
    plain, converted = network(name), network(name)
    load_released(plain, released(name))
    torch.save(WRAPPINGS['model'](released(name)), tmp_path / 'old.pth')
    convert(tmp_path / 'old.pth', tmp_path / 'new.safetensors')
    load_released(converted, tmp_path / 'new.safetensors')
    assert moved(converted, plain.state_dict()) == []
