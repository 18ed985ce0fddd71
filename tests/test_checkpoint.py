"""Released weights load whole or not at all, and nothing in a file is ever executed."""

import argparse
import functools
import http.server
import logging
import pickle
import random
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.logging import MMLogger
from mmengine.registry import MODELS
from safetensors.torch import save_file
from small import Hostile
from small_backbones import SMALL
from torch import Tensor

from vitdense.backbones import TransCNN
from vitdense.checkpoint import load_released, read

ARCH = SMALL['TransCNN'].arch

# Ours on the left, the authors' on the right.
AUTHORS_NAMES = [
    (r'^stem\.', 'patch_embed.'),
    (r'^stages\.(\d)\.blocks\.', r'blocks.\1.'),
    (r'^stages\.(\d)\.downsample\.', lambda m: f'ds{int(m[1]) + 1}.'),
    (r'^(ds\d)\.conv_norm\.', r'\1.norm1.'),
    (r'^(ds\d)\.pool_conv\.', r'\1.residual.'),
    (r'^(ds\d)\.pool_norm\.', r'\1.norm2.'),
    (r'\.attn\.pool_norm\.', '.attn.ds_norm.'),
    (r'^(blocks\.\d\.\d)\.conv\.(\d)\.', lambda m: f'{m[1]}.conv.conv{int(m[2]) // 3 + 1}.{int(m[2]) % 3}.'),
]


def released(seed: int = 1, arch: dict | str = ARCH) -> dict[str, Tensor]:
    """What the authors of a network would have released: other numbers, their names, their classifier."""
    torch.manual_seed(seed)
    state = {}
    for key, tensor in TransCNN(arch).state_dict().items():
        for pattern, replacement in AUTHORS_NAMES:
            key = re.sub(pattern, replacement, key)
        state[key] = torch.rand(tensor.shape) if tensor.is_floating_point() else torch.tensor(seed)
    state['classifier.1.weight'] = torch.rand(1000, 32)
    state['classifier.1.bias'] = torch.rand(1000)
    return state


def network(**arguments: Any) -> TransCNN:
    torch.manual_seed(0)
    return TransCNN(**{'arch': ARCH, **arguments})


def holds(backbone: TransCNN, state: dict[str, Tensor]) -> bool:
    """Whether every tensor of the backbone is the authors'."""
    for key, ours in backbone.state_dict().items():
        for pattern, replacement in AUTHORS_NAMES:
            key = re.sub(pattern, replacement, key)
        if not torch.equal(ours, state[key].reshape(ours.shape)):
            return False
    return True


def snapshot(backbone: TransCNN) -> dict[str, Tensor]:
    return {key: tensor.clone() for key, tensor in backbone.state_dict().items()}


def refused(source: Any, match: str, **arguments: Any) -> str:
    """The message with which a source is refused, by a backbone that stays as it was, bit for bit."""
    backbone = network(**arguments)
    before = snapshot(backbone)
    with pytest.raises(ValueError, match=match) as error:
        load_released(backbone, source)
    after = backbone.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[key], before[key]) for key in before)
    return str(error.value)


# ---- in ----------------------------------------------------------------------------------------------------

WRAPPINGS: dict[str, Callable[[dict], dict]] = {
    'bare': lambda state: state,
    'model': lambda state: {'model': state},
    'state_dict': lambda state: {'state_dict': state},
    'model_ema': lambda state: {'model_ema': state},
    'nested': lambda state: {'state_dict': {'model': state}},
    'module.': lambda state: {f'module.{key}': tensor for key, tensor in state.items()},
    'model and module.': lambda state: {'model': {f'module.{key}': t for key, t in state.items()}},
    'with a training record': lambda state: {
        'model': state,
        'epoch': 299,
        'args': argparse.Namespace(lr=1e-3, output='runs', betas=(0.9, 0.999)),
        'optimizer': {'state': {0: {'step': 3, 'exp_avg': torch.ones(2)}}, 'param_groups': [{'lr': 0.1}]},
    },
}


@pytest.mark.parametrize('wrapping', WRAPPINGS)
def test_weights_are_found_in_every_wrapping(wrapping):
    backbone, state = network(), released()
    assert not holds(backbone, state)
    load_released(backbone, WRAPPINGS[wrapping](state))
    assert holds(backbone, state)


@pytest.mark.parametrize('wrapping', WRAPPINGS)
@pytest.mark.parametrize('zipped', [True, False], ids=['zip', 'legacy'])
def test_weights_are_found_in_a_torch_file_of_every_wrapping(tmp_path, wrapping, zipped):
    backbone, state, path = network(), released(), tmp_path / 'weights.pth'
    torch.save(WRAPPINGS[wrapping](state), path, _use_new_zipfile_serialization=zipped)
    load_released(backbone, path)
    assert holds(backbone, state)


@pytest.mark.parametrize('wrapping', ['bare', 'module.'])
def test_weights_are_found_in_a_safetensors_file(tmp_path, wrapping):
    backbone, state, path = network(), released(), tmp_path / 'weights.safetensors'
    save_file(WRAPPINGS[wrapping](state), path)
    load_released(backbone, str(path))
    assert holds(backbone, state)


@pytest.mark.parametrize('out_indices', [(0,), (1, 2), (0, 3)])
def test_a_network_of_fewer_stages_takes_what_it_needs(out_indices):
    backbone, state = network(out_indices=out_indices), released()
    load_released(backbone, state)
    assert holds(backbone, state)


def test_the_source_is_left_alone():
    state = released()
    before = {key: tensor.clone() for key, tensor in state.items()}
    backbone = network()
    load_released(backbone, state)
    with torch.no_grad():
        for parameter in backbone.parameters():
            parameter.zero_()
    assert state.keys() == before.keys()
    assert all(torch.equal(state[key], before[key]) for key in before)


def test_the_classifier_is_dropped_by_its_name_only():
    state = released()
    state['classifier2.weight'] = torch.rand(1000, 32)
    message = refused(state, r'left over \(1\): classifier2\.weight')
    assert 'classifier.1' not in message


def test_a_linear_layer_takes_the_weights_of_a_pointwise_convolution():
    """The authors' first projection is either, by release."""
    state = released()
    key = 'blocks.0.0.attn.qkv.weight'
    as_convolution = {**state, key: state[key][:, :, None, None]}
    backbone = network()
    load_released(backbone, as_convolution)
    assert holds(backbone, state)


# ---- or not ------------------------------------------------------------------------------------------------


def test_missing_left_over_and_misshapen_parameters_are_all_named():
    state = released()
    lost = ['patch_embed.0.weight', 'blocks.2.1.attn.ds_norm.bias', 'ds3.residual.weight']
    for key in lost:
        del state[key]
    state['extra.weight'] = state['blocks.0.7.attn.proj.weight'] = torch.ones(1)
    state['ds2.norm1.bias'] = torch.ones(17)
    state['patch_embed.0.bias'] = torch.ones(2, 8)
    message = refused(state, 'the state dict does not hold the weights of this TransCNN; nothing was loaded')
    assert (
        'missing (3): stages.2.blocks.1.attn.pool_norm.bias, stages.2.downsample.pool_conv.weight, '
        'stem.0.weight; '
    ) in message
    assert 'left over (2): extra.weight, stages.0.blocks.7.attn.proj.weight' in message
    assert 'misshapen (2): ' in message
    assert 'stages.1.downsample.conv_norm.bias (17,) instead of (16,)' in message
    assert 'stem.0.bias (2, 8) instead of (16,)' in message


def test_the_message_names_the_file(tmp_path):
    state = released()
    del state['patch_embed.0.weight']
    path = tmp_path / 'weights.pth'
    torch.save(state, path)
    assert str(path) in refused(path, r'missing \(1\): stem\.0\.weight')


def test_half_of_the_parameters_are_not_enough():
    state = released()
    half = dict(list(state.items())[::2])
    missing = {key for key in state if not key.startswith('classifier')} - half.keys()
    refused(half, rf'missing \({len(missing)}\)')


def test_weights_of_another_variant_are_refused():
    deeper = {**ARCH, 'depths': (1, 1, 3, 1)}
    refused(released(arch=deeper), r'left over \(\d+\): stages\.2\.blocks\.2\.')
    refused(released(), r'missing \(\d+\): stages\.2\.blocks\.2\.', arch=deeper)
    refused(released(arch={**ARCH, 'kernel_sizes': (3, 3, 3, 3)}), r'misshapen \(3\): ')
    refused(released(arch={**ARCH, 'dims': (8, 16, 32, 32)}), 'Is `arch` the variant of the file')


@pytest.mark.parametrize(
    ('source', 'match'),
    [
        ({}, 'expected a state dict'),
        ({'model': {}}, 'expected a state dict'),
        ({'patch_embed.0.weight': 'heavy'}, "'patch_embed.0.weight'"),
        ({**released(), 'epoch': 3}, "not a state dict: 'epoch' name no tensors"),
        (
            {**released(), 'blocks.0.0.attn.q.bias': [0.0] * 8},
            r"'blocks\.0\.0\.attn\.q\.bias' name no tensors",
        ),
        ({**released(), 7: torch.ones(1)}, 'not a state dict: 7 name no tensors'),
    ],
    ids=['nothing', 'nothing wrapped', 'a word', 'a number', 'a list', 'a nameless tensor'],
)
def test_what_is_no_state_dict_is_refused(source, match):
    refused(source, match)


@pytest.mark.parametrize('contents', [torch.ones(3), [torch.ones(3)], 3, None, 'words'], ids=repr)
def test_a_file_that_holds_something_else_is_refused(tmp_path, contents):
    path = tmp_path / 'weights.pth'
    torch.save(contents, path)
    assert str(path) in refused(path, 'expected a state dict, got')


# ---- damaged files -----------------------------------------------------------------------------------------


def save(path: Path, contents: Any) -> None:
    if path.suffix == '.safetensors':
        save_file(contents, path)
    else:
        torch.save(contents, path, _use_new_zipfile_serialization=path.stem != 'legacy')


FILES = ['zip.pth', 'legacy.pth', 'weights.safetensors']


@pytest.mark.parametrize('name', FILES)
@pytest.mark.parametrize('kept', [0.0, 0.01, 0.5, 0.99])
def test_a_truncated_file_is_refused_by_name(tmp_path, name, kept):
    path = tmp_path / name
    save(path, released())
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole))])
    assert str(path) in refused(path, 'damaged or not a checkpoint')


TEXTS = {
    'an LFS pointer': 'version https://git-lfs.github.com/spec/v1\n',
    'an error page': '<!DOCTYPE html><title>404</title>',
    'JSON': '{"a": 1}',
    'opcodes of a pickle': '(((',
    'the end of a pickle': '.',
}


@pytest.mark.parametrize('suffix', ['.pth', '.safetensors', ''])
@pytest.mark.parametrize('text', TEXTS)
def test_a_text_file_is_refused_by_name(tmp_path, suffix, text):
    path = tmp_path / f'weights{suffix}'
    path.write_text(TEXTS[text])
    assert str(path) in refused(path, 'damaged or not a checkpoint')


@pytest.mark.parametrize('name', FILES)
@pytest.mark.filterwarnings('ignore:Detected pickle protocol')
def test_a_file_with_broken_bytes_is_read_or_refused_by_name(tmp_path, name):
    """Whatever the bytes are: no other error, and none without the file's name."""
    path = tmp_path / name
    save(path, {'weight': torch.rand(3, 4), 'bias': torch.rand(4), 'count': torch.tensor(3)})
    whole, rng, seen = path.read_bytes(), random.Random(0), 0
    for _ in range(300):
        broken = bytearray(whole)
        for _ in range(rng.choice([1, 2, 5])):
            broken[rng.randrange(len(broken))] = rng.randrange(256)
        path.write_bytes(bytes(broken))
        try:
            read(path)
        except ValueError as error:
            assert str(error).startswith(f'{path}: ')  # noqa: PT017 (most, but not all, are refused)
            seen += 1
    assert seen > 30


def test_a_weight_that_is_not_as_it_was_written_is_refused_by_name(tmp_path):
    """Torch alone would load it: it does not look at its own checksums."""
    path = tmp_path / 'weights.pth'
    weight = torch.rand(100)
    torch.save({'weight': weight}, path)
    whole = path.read_bytes()
    place = whole.index(weight.numpy().tobytes()) + 200
    path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
    assert not torch.equal(torch.load(path)['weight'], weight)
    with pytest.raises(ValueError, match='has another checksum than') as error:
        read(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize('name', [*FILES, 'folder'])
def test_a_path_without_a_file_is_said_to_have_none(tmp_path, name):
    (tmp_path / 'folder').mkdir()
    path = tmp_path / name
    backbone = network()
    before = snapshot(backbone)
    with pytest.raises(FileNotFoundError, match=re.escape(f'{path}: no such checkpoint file')):
        load_released(backbone, path)
    assert all(torch.equal(tensor, before[key]) for key, tensor in backbone.state_dict().items())


# ---- hostile files -----------------------------------------------------------------------------------------


HOSTILE: dict[str, Callable[[Path, Path], None]] = {
    'torch': lambda path, marker: torch.save({**released(), 'evil': Hostile(marker)}, path),
    'legacy': lambda path, marker: torch.save(
        {'model': released(), 'evil': Hostile(marker)}, path, _use_new_zipfile_serialization=False
    ),
    'pickle': lambda path, marker: path.write_bytes(pickle.dumps(Hostile(marker))),
    'options': lambda path, marker: torch.save(
        {'model': released(), 'args': argparse.Namespace(output=Hostile(marker))}, path
    ),
}


@pytest.mark.filterwarnings('ignore:Detected pickle protocol')
@pytest.mark.parametrize('kind', HOSTILE)
def test_a_hostile_file_is_refused_and_nothing_in_it_runs(tmp_path, kind):
    path, marker = tmp_path / 'weights.pth', tmp_path / 'marker'
    HOSTILE[kind](path, marker)
    assert str(path) in refused(path, 'refused to load')
    assert not marker.exists()
    if kind != 'pickle':  # the trap works: without care it springs
        torch.load(path, weights_only=False)
        assert marker.exists()


@pytest.mark.filterwarnings('ignore:Detected pickle protocol')
@pytest.mark.parametrize('kind', HOSTILE)
def test_a_hostile_file_is_refused_through_init_cfg_too(tmp_path, kind):
    path, marker = tmp_path / 'weights.pth', tmp_path / 'marker'
    HOSTILE[kind](path, marker)
    backbone = network(init_cfg=dict(type='Released', checkpoint=str(path)))
    with pytest.raises(ValueError, match='refused to load'):
        backbone.init_weights()
    assert not marker.exists()


def test_a_type_passes_only_where_it_is_allowed(tmp_path):
    path = tmp_path / 'weights.pth'
    torch.save({'weight': torch.ones(2), 'name': logging.NullHandler}, path)
    with pytest.raises(ValueError, match=r'Unsupported global: GLOBAL logging\.NullHandler'):
        read(path)
    assert read(path, allow=[logging.NullHandler])['name'] is logging.NullHandler
    with pytest.raises(ValueError, match='Unsupported global'):  # once allowed is not always allowed
        read(path)


# ---- through MMEngine --------------------------------------------------------------------------------------


def test_init_cfg_loads_the_weights(tmp_path):
    state, path = released(), tmp_path / 'weights.pth'
    torch.save({'model': state}, path)
    init_cfg = dict(type='Released', checkpoint=str(path))
    backbone = MODELS.build(dict(type='TransCNN', arch=ARCH, init_cfg=init_cfg))
    assert not holds(backbone, state)  # not before it is asked to
    backbone.init_weights()
    assert holds(backbone, state)


def test_init_cfg_of_a_part_of_a_model_loads_the_weights(tmp_path):
    from mmengine.model import BaseModule

    state, path = released(), tmp_path / 'weights.pth'
    torch.save(state, path)
    model = BaseModule()
    model.backbone = network(init_cfg=dict(type='Released', checkpoint=str(path)))
    model.init_weights()
    assert holds(model.backbone, state)


def test_the_record_of_initialisation_says_where_the_weights_came_from(tmp_path):
    path, record = tmp_path / 'weights.pth', tmp_path / 'record.log'
    torch.save(released(), path)
    MMLogger.get_instance('record', log_file=str(record))
    try:
        network(init_cfg=dict(type='Released', checkpoint=str(path))).init_weights()
    finally:
        MMLogger._instance_dict.pop('record')
    text = record.read_text()
    assert f'TransCNN: loaded all {len(network().state_dict())} tensors from {path}' in text
    parameters = len(list(network().parameters()))
    assert text.count(f'ReleasedInit: loaded from {path}') == parameters


def test_init_cfg_does_not_fall_back_on_random_weights(tmp_path):
    state, path = released(), tmp_path / 'weights.pth'
    del state['patch_embed.0.weight']
    torch.save(state, path)
    backbone = network(init_cfg=dict(type='Released', checkpoint=str(path)))
    with pytest.raises(ValueError, match=r'missing \(1\): stem\.0\.weight'):
        backbone.init_weights()


# ---- from an address ---------------------------------------------------------------------------------------


@pytest.fixture
def server(tmp_path, monkeypatch) -> Iterator[tuple[str, Path, list[str]]]:
    """An address, the folder that it serves, and what has been asked of it; torch's cache is empty."""
    folder, asked = tmp_path / 'served', []
    folder.mkdir()
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'torch'))
    monkeypatch.setenv('no_proxy', '*')

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args: Any) -> None:
            asked.append(self.path)

    handler = functools.partial(Handler, directory=str(folder))
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, daemon=True)
        thread.start()
        yield f'http://127.0.0.1:{httpd.server_port}', folder, asked
        httpd.shutdown()
        thread.join()


@pytest.mark.parametrize('name', FILES)
def test_an_address_is_downloaded_once(server, tmp_path, name):
    address, folder, asked = server
    state = released()
    save(folder / name, state)
    for _ in range(2):
        backbone = network(init_cfg=dict(type='Released', checkpoint=f'{address}/{name}?download=true'))
        backbone.init_weights()
        assert holds(backbone, state)
    assert asked == [f'/{name}?download=true']
    (kept,) = (tmp_path / 'torch/hub/checkpoints').iterdir()
    assert kept.suffix == Path(name).suffix
    assert kept.read_bytes() == (folder / name).read_bytes()


def test_files_of_one_name_at_two_addresses_are_two_files(server):
    address, folder, asked = server
    for number, place in enumerate(('small', 'large')):
        (folder / place).mkdir()
        state = released(seed=number + 1)
        save(folder / place / 'checkpoint.pth', state)
        backbone = network()
        load_released(backbone, f'{address}/{place}/checkpoint.pth')
        assert holds(backbone, state)
    assert len(asked) == 2


def test_what_no_stage_of_the_variant_holds_is_left_over():
    state = released()
    assert 'stages.9.nonsense' in refused({**state, 'stages.9.nonsense': torch.ones(1)}, 'left over')


def test_one_parameter_under_two_names_is_refused():
    state = released()
    ours = network().state_dict()
    twice = next(key for key in ours if key not in state)
    said = refused({**state, twice: ours[twice]}, f'holds {re.escape(twice)} twice, under ')
    assert said


def test_whole_numbers_are_no_weights():
    state = released()
    key = next(key for key, value in state.items() if value.ndim == 4)
    refused({**state, key: state[key].long()}, r'misshapen \(1\): .* of torch\.int64 instead of ')


def test_a_backbone_without_memory_is_refused():
    with torch.device('meta'):
        backbone = network()
    with pytest.raises(ValueError, match='on the meta device'):
        load_released(backbone, released())


def test_an_address_without_a_file_is_refused_by_name(server, tmp_path):
    address, _, _ = server
    assert f'{address}/absent.pth' in refused(f'{address}/absent.pth', 'could not be downloaded .*404')
    assert not list((tmp_path / 'torch').rglob('absent.pth*'))


def test_an_address_that_nobody_serves_is_refused_by_name(server):
    server_address, _, _ = server
    address = server_address.rsplit(':', 1)[0] + ':9/weights.pth'
    assert address in refused(address, 'could not be downloaded')
