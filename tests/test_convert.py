"""An old pickle becomes safetensors; code in it is executed only with --trust."""

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
    assert out.startswith('new.safetensors: ')
    assert all(part in out for part in (f'{len(weights)} tensors', f'{numbers:.1f} M'))
    new = load_file('new.safetensors')
    assert new.keys() == weights.keys()
    assert all(torch.equal(new[name], tensor) for name, tensor in weights.items())


def test_code_in_a_pickle_is_executed_only_with_trust_and_in_another_process(tool, weights, tmp_path):
    marker = tmp_path / 'marker'
    torch.save(dict(model=weights, by=Hostile(marker)), 'old.pth')
    code, out, err = tool('old.pth', 'new.safetensors')
    assert (code, out) == (2, '')
    assert err.startswith('error: old.pth: ')
    assert '--trust' in err
    assert not marker.exists()
    assert not list(tmp_path.glob('new*'))

    code, _, err = tool('old.pth', 'new.safetensors', '--trust')
    assert (code, err) == (0, '')
    assert int(marker.read_text()) != os.getpid()
    assert load_file('new.safetensors').keys() == weights.keys()


@pytest.mark.parametrize(
    ('source', 'trust'),
    [
        ('none.pth', []),
        ('damaged.pth', []),
        ('numbers.pth', []),
        ('none.pth', ['--trust']),
        pytest.param('damaged.pth', ['--trust'], marks=pytest.mark.nightly),
        pytest.param('numbers.pth', ['--trust'], marks=pytest.mark.nightly),
    ],
)
def test_a_file_without_weights_is_one_line(tool, tmp_path, source, trust):
    Path('damaged.pth').write_bytes(b'PK\x03\x04 and then nothing')
    torch.save([1, 2, 3], 'numbers.pth')
    code, out, err = tool(source, 'new.safetensors', *trust)
    assert (code, out) == (2, '')
    assert err.startswith(f'error: {source}: ')
    assert err.count('\n') == 1
    assert not list(tmp_path.glob('new*'))


def test_a_missing_folder_is_named(tool, weights):
    torch.save(weights, 'old.pth')
    for trust in ([], ['--trust']):
        code, _, err = tool('old.pth', 'nowhere/new.safetensors', *trust)
        assert code == 2
        assert err.startswith('error: nowhere: ')


def test_nothing_is_overwritten(tool, weights):
    torch.save(weights, 'old.pth')
    Path('new.safetensors').write_text('mine')
    code, _, err = tool('old.pth', 'new.safetensors')
    assert code == 2
    assert err.startswith('error: new.safetensors: ')
    assert Path('new.safetensors').read_text() == 'mine'
    code, _, err = tool('old.pth', 'new.pth')
    assert code == 2
    assert err.startswith('error: new.pth: ')
    assert '.safetensors' in err
