"""An old pickle becomes safetensors; what it would execute, it executes for those alone who ask for that."""

import os
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from small import Hostile

from vitdense.backbones import PiT


@pytest.fixture
def weights():
    torch.manual_seed(0)
    tensors = PiT('ti').state_dict()
    tensors['stem.position'] = tensors['stem.position'].transpose(-1, -2)  # lies otherwise in memory
    tensors['norm'] = tensors['twin'] = torch.randn(3)  # the same memory
    return tensors


@pytest.fixture
def tool(call_tool, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return partial(call_tool, 'convert')


@pytest.mark.parametrize('wrapping', [None, 'state_dict', 'model'])
def test_every_tensor_is_in_the_new_file(tool, weights, wrapping):
    torch.save({wrapping: weights, 'epoch': 3} if wrapping else weights, 'old.pth')
    code, out, err = tool('old.pth', 'new.safetensors')
    assert (code, err) == (0, '')
    numbers = sum(tensor.numel() for tensor in weights.values()) / 1e6
    assert out == f'new.safetensors: {len(weights)} tensors, {numbers:.1f} M numbers\n'
    new = load_file('new.safetensors')
    assert new.keys() == weights.keys()
    assert all(torch.equal(new[name], tensor) for name, tensor in weights.items())


def test_what_would_execute_code_does_so_only_when_it_is_trusted_and_elsewhere(tool, weights, tmp_path):
    marker = tmp_path / 'marker'
    torch.save(dict(model=weights, by=Hostile(marker)), 'old.pth')
    code, out, err = tool('old.pth', 'new.safetensors')
    assert (code, out) == (2, '')
    assert err.startswith('error: old.pth: refused to load: Unsupported ')
    assert err.endswith('; --trust executes it, in a process of its own\n')
    assert not marker.exists()
    assert not list(tmp_path.glob('new*'))

    code, _, err = tool('old.pth', 'new.safetensors', '--trust')
    assert (code, err) == (0, '')
    assert int(marker.read_text()) != os.getpid()
    assert load_file('new.safetensors').keys() == weights.keys()


@pytest.mark.parametrize('trust', [[], ['--trust']])
@pytest.mark.parametrize(
    ('source', 'sentence'),
    [
        ('none.pth', 'none.pth: no such checkpoint file'),
        ('damaged.pth', 'damaged.pth: '),
        ('numbers.pth', 'numbers.pth: '),
    ],
)
def test_what_holds_no_weights_is_one_line(tool, tmp_path, source, sentence, trust):
    Path('damaged.pth').write_bytes(b'PK\x03\x04 and then nothing')
    torch.save([1, 2, 3], 'numbers.pth')
    code, out, err = tool(source, 'new.safetensors', *trust)
    assert (code, out) == (2, '')
    assert err.startswith(f'error: {sentence}')
    assert err.count('\n') == 1
    assert not list(tmp_path.glob('new*'))


def test_a_folder_that_is_not_there_is_named(tool, weights):
    torch.save(weights, 'old.pth')
    for trust in ([], ['--trust']):
        code, _, err = tool('old.pth', 'nowhere/new.safetensors', *trust)
        assert (code, err) == (2, 'error: nowhere: no such folder to write new.safetensors to\n')


def test_nothing_is_written_over(tool, weights):
    torch.save(weights, 'old.pth')
    Path('new.safetensors').write_text('mine')
    code, _, err = tool('old.pth', 'new.safetensors')
    assert (code, err) == (2, 'error: new.safetensors: is there already, and stays as it is\n')
    assert Path('new.safetensors').read_text() == 'mine'
    code, _, err = tool('old.pth', 'new.pth')
    assert (code, err) == (2, 'error: new.pth: expected the name of a .safetensors file\n')
