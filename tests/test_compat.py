"""What stands in for torch's own where it is too old, tried with the torch that is there."""

import argparse
import pickle
import tarfile
from collections import Counter, OrderedDict

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from small import Hostile

from vitdense import compat
from vitdense.checkpoint import Refused, read
from vitdense.records import SAFE_GLOBALS


@pytest.fixture
def old(monkeypatch):
    """As with torch 2.1."""
    monkeypatch.setattr(compat, 'has_torch', lambda version: False)


def history():
    buffer = HistoryBuffer()
    for value in (3.0, 1.0):
        buffer.update(value)
    return buffer


def test_a_training_is_read(old, tmp_path):
    path, weight = tmp_path / 'iter_1.pth', torch.nn.Parameter(torch.rand(3, 2).bfloat16())
    state = OrderedDict(weight=weight, counts=torch.ones(2, dtype=torch.bool))
    state._metadata = {'': dict(version=1)}
    contents = dict(
        state_dict=state,
        args=argparse.Namespace(lr=0.1),
        milestones=Counter([8, 8, 11]),
        dtype=torch.bfloat16,
        size=torch.Size([2, 3]),
        number=np.float64(0.5),
        history=history(),
    )
    torch.save(contents, path)
    found = read(path, allow=SAFE_GLOBALS)
    assert torch.equal(found['state_dict']['weight'], weight)
    assert found['state_dict']._metadata == state._metadata
    for key in ('args', 'milestones', 'dtype', 'size', 'number'):
        assert found[key] == contents[key]
    assert found['history'].data[0].tolist() == [3.0, 1.0]
    assert found['history'].statistics('min', 2) == 1.0
    with pytest.raises(Refused, match='numpy'):
        read(path)


class Restored:
    """What is built from a state, which a file may not choose."""

    def __setstate__(self, state):
        raise AssertionError('was called')


@pytest.mark.parametrize('protocol', range(5))
@pytest.mark.parametrize('zipped', [True, False])
def test_a_hostile_file_is_refused(old, tmp_path, protocol, zipped):
    path, marker = tmp_path / 'weights.pth', tmp_path / 'marker'
    for number, hostile in enumerate((Hostile(marker), Restored(), getattr)):
        torch.save(
            dict(weight=torch.ones(1), evil=hostile),
            path,
            pickle_protocol=max(protocol, 2),
            _use_new_zipfile_serialization=zipped,
        )
        with pytest.raises(Refused, match='Unsupported global'):
            read(path)
        path.write_bytes(pickle.dumps(hostile, protocol))
        with pytest.raises(ValueError, match=r'refused to load|damaged'):
            read(path)
        assert not marker.exists(), number


OPCODES = {
    'the state of a class': b'\x80\x02cmmengine.logging.history_buffer\nHistoryBuffer\n}b.',
    'the state of a function': b'\x80\x02ctorch._utils\n_rebuild_tensor_v2\n}b.',
    'a call of what a call gave': b'\x80\x02ccollections\nCounter\n)R)R.',
    'an object of a class of torch': b'\x80\x02ctorch\nTensor\n)\x81.',
    'an old instance': b'(icollections\nCounter\n.',
    'an old object': b'(ccollections\nCounter\no.',
    'getattr of anything': b'\x80\x02c__builtin__\ngetattr\n(cnumpy\nndarray\nX\x03\x00\x00\x00mint\x85R.',
}


@pytest.mark.parametrize('what', OPCODES)
def test_it_builds_and_calls_what_is_listed_alone(what, tmp_path):
    names = dict(
        item[::-1] if isinstance(item, tuple) else (compat._name(item), item) for item in SAFE_GLOBALS
    )
    path = tmp_path / 'bytes'
    path.write_bytes(OPCODES[what])
    kind = type('Unpickler', (compat._Unpickler,), dict(allowed=names, known=compat._known_globals() | names))
    with path.open('rb') as file, pytest.raises((pickle.UnpicklingError, TypeError)):
        kind(file).load()


def test_neither_tar_files_nor_torchscript_are_loaded(old, tmp_path):
    path = tmp_path / 'weights.pth'
    with tarfile.open(path, 'w') as archive:
        archive.add(__file__, 'storages')
    with pytest.raises(ValueError, match='refused to load'):
        read(path)
    torch.jit.script(torch.nn.Linear(1, 1)).save(path)
    with pytest.raises(ValueError, match='refused to load'):
        read(path)


def test_the_norm_is_that_of_newer_torch(monkeypatch):
    tensors = [torch.rand(3), 5 * torch.rand(2, 2)]
    expected = compat.total_norm(tensors)
    monkeypatch.setattr(compat, 'has_torch', lambda version: False)
    torch.testing.assert_close(compat.total_norm(tensors), expected)
    assert compat.total_norm([]) == 0


def test_versions_are_compared_as_numbers(monkeypatch):
    monkeypatch.setattr(torch, '__version__', '2.10.0+cpu')
    assert compat.has_torch('2.9')
    assert compat.has_torch('2.10')
    assert not compat.has_torch('2.11')
