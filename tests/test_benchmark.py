"""A benchmark runs models in turns, names what it ran, and computes what it shows. No time is judged here."""

import json
import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from small import CONFIGS
from small_backbones import SMALL

from vitdense import backbones
from vitdense.benchmark.models import PEERS, _backbone, _fused, timed_model
from vitdense.benchmark.results import results
from vitdense.benchmark.setting import RunSetting
from vitdense.benchmark.timing import PRODUCT, WARM_UP, Load, Timing, _timing, matrix_product, time_in_turns
from vitdense.complexity import _Count, cost
from vitdense.memory import peak_memory
from vitdense.other_work import OtherWork

CPU = torch.device('cpu')


def setting(**changes):
    words = dict(batch=2, size=(64, 96), device=CPU, dtype=torch.float32, training=False, compiled=False)
    return RunSetting(**words | changes)


def test_models_run_in_turns_and_the_first_rounds_do_not_count():
    ran = []
    runs = {name: lambda name=name: ran.append(name) for name in 'abc'}
    timings = time_in_turns(runs, 5, CPU)
    assert ran == list('abc') * (WARM_UP + 5)
    assert list(timings) == list('abc')
    assert all(0 <= timing.low <= timing.median <= timing.high for timing in timings.values())


def test_a_timing_is_the_median_and_the_quartiles():
    cpu = [9.0, 2.0, 6.0, 4.0, 8.0, 14.0, 12.0]
    assert _timing([5.0, 1.0, 3.0, 2.0, 4.0, 7.0, 6.0], cpu) == Timing(4.0, 2.5, 5.5, 8.0)
    assert _timing([2.0], [3.0]) == Timing(2.0, 2.0, 2.0, 3.0)


def test_cpu_seconds_are_of_all_threads_and_not_of_a_wait():
    work = matrix_product(CPU, torch.float32)
    timings = time_in_turns(dict(wait=lambda: time.sleep(0.05), work=work), 1, CPU)
    assert timings['wait'].median >= 0.05 > timings['wait'].cpu
    assert timings['work'].cpu > 10 * timings['wait'].cpu  # its wall time depends on other work


@pytest.mark.parametrize(('others', 'quiet'), [(0.0, True), (0.1, True), (0.9, False)])
def test_a_machine_is_quiet_where_little_else_runs(others, quiet):
    assert Load(3.0, 2.0, others).quiet is quiet  # whatever ran before


def test_work_of_other_processes_is_seen_and_ones_own_is_not(monkeypatch):
    others = OtherWork()
    other = subprocess.Popen([sys.executable, '-c', 'while True: pass'])
    time.sleep(0.5)
    cores = others.cores()
    other.kill()
    assert 0.2 < cores <= os.cpu_count() + 0.5
    # one second, in which all cores worked for 1.5, this process for 1.2 of them
    clocks = iter([(0.0, 10.0, 4.0), (1.0, 11.5, 5.2)])
    monkeypatch.setattr('vitdense.other_work._clocks', lambda: next(clocks))
    assert OtherWork().cores() == pytest.approx(0.3)


def test_the_matrix_product_is_what_its_rate_is_computed_from():
    assert matrix_product(CPU, torch.bfloat16)().shape == (PRODUCT, PRODUCT)


@pytest.mark.parametrize('name', ['PiT:ti', 'DualTokenViT:t,token_grid=0', 'resnet50', 'timm:resnet18'])
@pytest.mark.parametrize('training', [False, True])
@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16], ids=str)
def test_a_model_is_run_as_it_is_set(name, training, dtype):
    entry = timed_model(name, setting(training=training, dtype=dtype))
    entry.run()
    assert entry.name == name
    assert entry.cost.multiply_adds > 1e7


@pytest.mark.parametrize('name', PEERS)
def test_a_peer_has_its_published_parameters(name):
    """As MMDetection builds them."""
    million = dict(resnet50=23.5, swin_t=27.5, pvtv2_b2=24.8)[name]
    assert timed_model(name, setting()).cost.parameters / 1e6 == pytest.approx(million, abs=0.06)


def test_a_missing_device_is_one_line(tool):
    code, out, err = tool('PiT:ti', '--device', 'foo')
    assert (code, out) == (2, '')
    assert err.startswith('error: --device foo: ')


def test_arguments_of_a_backbone_may_be_lists():
    entry = timed_model('PiT:ti,out_indices=(0, 1),with_cp=True', setting())
    assert entry.cost.parameters < timed_model('PiT:ti', setting()).cost.parameters


@pytest.mark.parametrize('name', ['TransCNN:tiny', 'resnet50'])
def test_in_a_training_step_every_norm_takes_the_batchs_statistics(name):
    """So that a ratio compares like with like."""
    backbone = _backbone(name)
    backbone.train()  # of which MMDetection's return nothing
    norms = [module for module in backbone.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    assert norms
    assert all(norm.training for norm in norms)


def test_a_fused_peer_gives_the_same_maps_without_norms():
    backbone, image = _backbone('resnet50'), torch.randn(1, 3, 64, 64)
    backbone.eval()
    norms = [module for module in backbone.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2)
    with torch.no_grad():
        plain = backbone(image)
        fused = _fused('resnet50', backbone)
        for one, other in zip(plain, fused(image), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3 * one.std().item())
    assert norms
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in fused.modules())


def test_the_cost_is_that_of_one_image():
    with torch.device('meta'):
        backbone, image = backbones.VVT('tiny').eval(), torch.empty(1, 3, 64, 96)
    assert timed_model('VVT:tiny', setting()).cost == cost(backbone, image)[0]


@pytest.mark.parametrize('name', ['retinanet_pit.py', 'pspnet_dualtoken_vit.py'])
def test_a_whole_model_predicts(name):
    entry = timed_model(str(CONFIGS / name), setting())
    entry.run()
    assert entry.cost.parameters > 1e7


def test_the_cost_of_a_detector_is_that_of_what_runs(tmp_path):
    cfg = Config.fromfile(CONFIGS / 'mask_rcnn_pit.py')
    cfg.model.test_cfg.rpn.update(nms_pre=100, max_per_img=20)
    cfg.model.test_cfg.rcnn.max_per_img = 7
    cfg.dump(tmp_path / 'few.py')
    entry = timed_model(str(tmp_path / 'few.py'), setting(batch=1, size=(256, 256)))
    with _Count() as ran:
        entry.run()
    assert ran.whole.multiply_adds == entry.cost.multiply_adds


def test_ratios_and_shares_are_computed_from_what_was_timed():
    models = [timed_model('PiT:ti', setting(training=True)), timed_model('resnet50', setting(training=True))]
    timings = {'PiT:ti': Timing(0.5, 0.4, 0.6, 0.9), 'resnet50': Timing(2.0, 1.9, 2.2, 3.8)}
    memory = {'PiT:ti': 3, 'resnet50': 4}
    product, load = Timing(0.1, 0.1, 0.1, 0.2), Load(0.1, 9.0, 1.5)
    found = results(setting(training=True), models, timings, memory, product, load, 'resnet50')
    assert found['load'] == dict(start=0.1, end=9.0, others=1.5)
    assert not found['quiet']
    rate = 2 * 2048**3 / 0.1
    assert found['matrix_product_rate'] == rate
    assert (found['task'], found['batch'], found['size']) == ('training step', 2, [64, 96])
    for entry, seconds in zip(models, (0.5, 2.0), strict=True):
        row = found['models'][entry.name]
        assert row['ratio'] == seconds / 2.0
        assert row['memory'] == memory[entry.name]
        # forward and twice as much backward, of two images
        assert row['share'] == pytest.approx(2 * 3 * 2 * entry.cost.multiply_adds / seconds / rate)


@pytest.fixture
def tool(call_tool, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    threads = torch.get_num_threads()
    yield partial(call_tool, 'benchmark')
    torch.set_num_threads(threads)


def test_the_tool_shows_a_table_and_writes_what_it_measured(tool):
    words = ['--size', 64, 96, '--device', 'cpu', '--threads', 1, '--rounds', 2, '--baseline', 'PiT:ti']
    code, out, err = tool('PiT:ti', 'PiT:xs', *words, '--json', 'found.json', '--picture', 'found.png')
    assert (code, err) == (0, '')
    assert 'forward, 1×3×64×96, float32' in out
    assert '× PiT:ti' in out
    found = json.loads(Path('found.json').read_text())
    (run,) = found['runs']
    assert list(run['models']) == ['PiT:ti', 'PiT:xs']
    assert run['models']['PiT:ti']['ratio'] == 1
    assert cv2.imread('found.png').std() > 10


def test_several_sizes_show_how_a_model_grows(tool):
    words = ['--size', 64, 64, '--size', 128, 128, '--device', 'cpu', '--threads', 1, '--rounds', 1]
    code, out, err = tool(
        'VVT:tiny', *words, '--keep-memory', '--json', 'found.json', '--picture', 'found.png'
    )
    assert (code, err) == (0, '')
    assert 'forward, 1×3×64×64, float32, memory kept' in out
    assert 'scaling from 64×64' in out
    small, large = (run['models']['VVT:tiny'] for run in json.loads(Path('found.json').read_text())['runs'])
    for key, times in (('multiply_adds', 4), ('memory', 4)):  # of a backbone that is linear in pixels
        assert large[key] / small[key] == pytest.approx(times, rel=0.05)
    assert f'{large["memory"] / small["memory"]:.1f} ×' in out
    assert cv2.imread('found.png').std() > 10


@pytest.mark.parametrize(
    'name',
    [
        pytest.param(name, marks=[pytest.mark.nightly] if name in ('HATNet', 'VVT', 'SuperViT') else [])
        for name in SMALL
    ],
)
def test_activation_checkpointing_takes_less_memory(name):
    def taken(with_cp):
        words = f'{name}:{SMALL[name].smallest},with_cp={with_cp}'
        entry = timed_model(words, setting(training=True, size=(256, 256)))
        return peak_memory(entry.run, CPU)

    assert taken(True) < 0.65 * taken(False)


@pytest.mark.parametrize(
    ('words', 'option', 'said'),
    [
        (['PiT:xxl'], 'PiT:xxl', "'xxl'; known: ti, xs, s, b"),
        (['PiT:ti,depth=3'], 'PiT:ti,depth=3', 'depth'),
        (['PiT:ti,padded'], 'PiT:ti,padded', "KEY=VALUE, got 'padded'"),
        (['resnet5'], 'resnet5', 'TransCNN'),
        (['timm:pit_xxl'], 'timm:pit_xxl', 'timm'),
        (['timm:pit_s_224', '--size', '64', '64'], 'timm:pit_s_224', '64 × 64'),
        (['PiT:ti', '--baseline', 'VVT:tiny'], '--baseline VVT:tiny', 'PiT:ti'),
        (['PiT:ti', '--json', 'nowhere/a.json'], '--json nowhere/a.json', 'folder'),
        (['PiT:ti', '--picture', 'a.foo'], '--picture a.foo', '.png'),
        (['no.py'], 'no.py', 'no such config'),
        (['PiT:ti', '--fuse', '--train'], '--fuse --train', 'cannot be trained'),
        (['timm:mobilenetv2_050', '--fuse'], 'timm:mobilenetv2_050', '--fuse'),
        ([str(CONFIGS / 'retinanet_pit.py'), '--train'], f'{CONFIGS}/retinanet_pit.py', 'inference'),
    ],
)
def test_a_model_that_cannot_be_timed_is_one_line(tool, words, option, said):
    code, out, err = tool(*words, '--device', 'cpu')
    assert (code, out) == (2, '')
    assert err.startswith(f'error: {option}: ')
    assert said in err
    assert err.count('\n') == 1


# ---- exported files ---------------------------------------------------------------------------------------


@pytest.fixture(params=['.onnx', '.xml'])
def file(request, tmp_path):
    """A convolution, for images of any size, batch size 2."""
    openvino, onnx = pytest.importorskip('openvino'), pytest.importorskip('onnx')
    pytest.importorskip('onnxruntime')
    path = tmp_path / f'convolution{request.param}'
    weight = np.random.default_rng(0).standard_normal((4, 3, 3, 3), dtype=np.float32)
    image, map = (
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [2, channels, 'h', 'w'])
        for name, channels in (('image', 3), ('map', None))
    )
    node = onnx.helper.make_node('Conv', ['image', 'weight'], ['map'], pads=[1, 1, 1, 1])
    graph = onnx.helper.make_graph(
        [node], 'convolution', [image], [map], [onnx.numpy_helper.from_array(weight, 'weight')]
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid('', 18)], ir_version=10)
    onnx.save(model, tmp_path / 'convolution.onnx')
    if request.param == '.xml':
        openvino.save_model(openvino.convert_model(tmp_path / 'convolution.onnx'), path)
    return path.name  # in the folder where the tool runs


def test_an_exported_file_runs_beside_a_model(file, tool):
    code, out, _ = tool(
        file, 'PiT:ti', '--size', '64', '96', '--batch', '2', '--rounds', '1', '--json', 'found.json'
    )
    assert code == 0
    row = json.loads(Path('found.json').read_text())['runs'][0]['models'][file]
    assert row.keys() == {'median', 'low', 'high', 'cpu', 'ratio'}
    assert file in out


@pytest.mark.parametrize(
    ('words', 'said'),
    [
        (['--batch', '1'], 'does not run on 1 × 3 × 64 × 96'),
        (['--batch', '2', '--train'], 'without --train'),
        (['--batch', '2', '--dtype', 'bfloat16', '--compile'], 'without --compile, --dtype'),
    ],
)
def test_an_exported_file_that_cannot_run_so_is_one_line(file, tool, words, said):
    code, _, err = tool(file, '--size', '64', '96', *words)
    assert code == 2
    assert err.startswith(f'error: {file}: ')
    assert said in err
    assert err.count('\n') == 1


def test_files_alone_have_no_picture_and_are_left_out_of_one(file, tool):
    words = ['--size', '64', '96', '--batch', '2', '--rounds', '1', '--picture', 'found.png']
    code, _, err = tool(file, *words)
    assert code == 2
    assert err.startswith('error: --picture found.png: ')
    assert tool(file, 'PiT:ti', *words)[0] == 0
    assert cv2.imread('found.png') is not None
