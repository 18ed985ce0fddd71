"""The command: files with a proof, or none."""

import errno
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip('onnxscript', reason='vitdense[export]')
import onnx
import onnx_ir
import torch
from PIL import Image
from small import REPOSITORY

import vitdense
from vitdense.errors import UserError
from vitdense.export import requirements, write
from vitdense.exported.certificate import KEY, Certificate
from vitdense.exported.runtimes import open_session

NIGHTLY = pytest.mark.nightly
EXAMPLE = REPOSITORY / 'examples/onnx_boxes.py'


@pytest.fixture(scope='session')
def small(predictors, tmp_path_factory):
    """A folder with checkpoints of small models, which say what they are of."""
    from vitdense.config.description import describe

    folder = tmp_path_factory.mktemp('checkpoints')
    for name, predictor in predictors.items():
        described = dict(version=1, name=name, config=describe(predictor.cfg), undescribed='')
        meta = dict(vitdense=described, dataset_meta=dict(classes=predictor.classes))
        fresh = dict(predictor.model.state_dict())
        torch.save(dict(state_dict=fresh, meta=meta), folder / f'{name}.pth')
    return folder


@pytest.fixture(scope='session')
def exported(small, libraries, tmp_path_factory):
    """The folder of an export in every format, with boxes."""
    folder = tmp_path_factory.mktemp('exported')
    command = [sys.executable, REPOSITORY / 'tools/export.py', small / 'boxes.pth', '--with-boxes']
    words = ['--format', 'onnx', 'openvino', 'pt2', '--max-size', '200', '--sample', '--out', folder]
    done = subprocess.run([*map(str, command), *map(str, words)], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count('certified') == 3
    return folder


FILES = ('boxes.onnx', 'boxes.xml', 'boxes.pt2')


@NIGHTLY
def test_each_file_has_its_certificate_inside_and_beside(exported):
    for name in FILES:
        inside = open_session(exported / name).certificate
        assert inside == (exported / f'{name}.json').read_text().strip()
        one = Certificate.from_json(inside, name)
        assert len(one.comparisons) >= 12
        assert {each['batch'] for each in one.comparisons} == {1, 2}
        assert len({tuple(each['size']) for each in one.comparisons}) >= 6
        assert max(each['tolerances'] for each in one.comparisons) <= 1
        assert sum(each['objects'] for each in one.comparisons) > 50  # there was something to compare
        assert one.heights[0] == 64
        assert one.scores['images'] == 24  # of the small config
        for score, value in one.scores['eager'].items():
            assert abs(one.scores['exported'][score] - value) <= 1e-3
        assert min(one.seconds['torch'], one.seconds['file']) > 0
        assert name in (exported / 'certificates.md').read_text()
    assert sorted(path.name for path in exported.iterdir()) == sorted(
        [*FILES, *(f'{name}.json' for name in FILES), 'boxes.bin', 'certificates.md']
    )


@NIGHTLY
@pytest.mark.parametrize('name', FILES)
def test_a_loaded_file_predicts_as_the_checkpoint(exported, small, name):
    rng = np.random.default_rng(0)
    photos = [
        rng.integers(0, 256, (*size, 3)).astype(np.uint8) for size in ((90, 120), (150, 100), (90, 120))
    ]
    model, own = vitdense.load(exported / name), vitdense.load(small / 'boxes.pth')
    assert model.classes == own.classes
    for batch in (1, 3):
        answers = zip(
            model.predict(photos, batch=batch, score=0.3), own.predict(photos, score=0.3), strict=True
        )
        for found, want in answers:
            assert len(want) > 3
            np.testing.assert_allclose(found.boxes, want.boxes, atol=0.05)
            np.testing.assert_allclose(found.scores, want.scores, atol=1e-3)
            assert (found.labels == want.labels).all()


@NIGHTLY
def test_an_image_that_the_certificate_does_not_cover_is_refused(exported):
    model = vitdense.load(exported / 'boxes.onnx')
    with pytest.raises(UserError, match='the certificate covers 64 to 200 × 64 to 200'):
        model.predict(np.zeros((40, 300, 3), np.uint8))


@NIGHTLY
def test_a_file_is_scored_and_timed_as_it_is(exported, call_tool, tmp_path, monkeypatch, no_pictures):
    monkeypatch.chdir(tmp_path)
    words = ['--sample', '--cfg-options', 'test_dataloader.num_workers=0']
    words += ['test_dataloader.persistent_workers=False', 'test_dataloader.dataset.indices=8']
    code, out, err = call_tool('test', exported / 'boxes.onnx', *words)
    assert (code, err) == (0, '')
    assert 'by ONNX Runtime' in out
    assert 'RetinaNet on TransCNN' in out
    code, _, err = call_tool('test', exported / 'boxes.onnx', '--sample', '--amp')
    assert code == 2
    assert 'without amp' in err
    words = ['--size', '64', '96', '--rounds', '1', '--device', 'cpu']
    code, out, err = call_tool('benchmark', exported / 'boxes.onnx', *words)
    assert code == 0, err
    assert 'boxes.onnx' in out


@NIGHTLY
def test_a_file_that_was_changed_is_recognised(exported, tmp_path):
    for name in FILES:
        for path in exported.iterdir():
            shutil.copy(path, tmp_path)
        if name == 'boxes.onnx':
            model = onnx.load(tmp_path / name)
            weight = next(
                one for one in model.graph.initializer if one.data_type == 1 and len(one.raw_data) > 99
            )
            weight.raw_data = bytes([weight.raw_data[0] ^ 1]) + weight.raw_data[1:]
            onnx.save(model, tmp_path / name)
        elif name == 'boxes.xml':
            weights = bytearray((tmp_path / 'boxes.bin').read_bytes())
            weights[len(weights) // 2] ^= 1
            (tmp_path / 'boxes.bin').write_bytes(weights)
        else:
            program = torch.export.load(tmp_path / name)
            next(iter(program.state_dict.values())).data.add_(1e-3)
            text = (tmp_path / 'boxes.pt2.json').read_text()
            torch.export.save(program, tmp_path / name, extra_files={f'{KEY}.json': text})
        with pytest.raises(UserError, match='not the file that was certified'):
            vitdense.load(tmp_path / name)


@NIGHTLY
def test_weights_that_are_not_beside_a_file_are_missed(exported, tmp_path):
    shutil.copy(exported / 'boxes.xml', tmp_path)
    with pytest.raises(UserError, match=r'boxes\.(xml|bin)'):
        vitdense.load(tmp_path / 'boxes.xml')


@NIGHTLY
def test_the_example_needs_no_torch_and_finds_the_same(exported, small, tmp_path):
    """In a process that finds onnxruntime, numpy and Pillow, and nothing else."""
    found = tmp_path / 'packages'
    found.mkdir()
    for package in ('onnxruntime', 'numpy', 'PIL'):
        place = Path(__import__(package).__file__).parent
        for folder in (place, place.parent / f'{package}.libs', place.parent / 'pillow.libs'):
            if folder.is_dir() and not (found / folder.name).exists():
                (found / folder.name).symlink_to(folder)
    rng = np.random.default_rng(1)
    coarse = Image.fromarray(rng.integers(0, 256, (6, 8, 3)).astype(np.uint8))
    coarse.resize((120, 90), Image.Resampling.BICUBIC).save(tmp_path / 'photo.png')
    code = f'import runpy, sys; sys.argv[1:] = {["boxes.onnx", "photo.png", "found.png"]}; '
    code += f'runpy.run_path({str(EXAMPLE)!r}, run_name="__main__"); assert "torch" not in sys.modules'
    shutil.copy(exported / 'boxes.onnx', tmp_path)
    done = subprocess.run(
        [sys.executable, '-S', '-c', code],
        env=dict(PYTHONPATH=str(found)),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert Image.open(tmp_path / 'found.png').size == (120, 90)
    (want,) = vitdense.load(small / 'boxes.pth').predict(tmp_path / 'photo.png', score=0.4)
    rows = [line.rsplit(maxsplit=5) for line in done.stdout.splitlines()]
    assert len(want) > 3
    # another bilinear resize, by which objects of all but the same score change places
    found = [(row[0], np.array([*map(float, row[1:])])) for row in rows]
    same = [
        any(
            name == own and abs(numbers[0] - score) < 0.02 and np.abs(numbers[1:] - box).max() < 1.5
            for own, numbers in found
        )
        for name, score, box in zip(want.names, want.scores, want.boxes, strict=True)
    ]
    assert np.mean(same) > 0.9


# ---- no file ----------------------------------------------------------------------------------------------


@pytest.fixture
def export(call_tool, small, tmp_path, monkeypatch):
    """The command in an empty folder: exit code, output, error output; what is there afterwards."""
    monkeypatch.chdir(tmp_path)

    def call(model, *words):
        code, out, err = call_tool(
            'export', small / f'{model}.pth', '--max-size', '100', '--out', 'out', *words
        )
        left = (
            sorted(str(path.relative_to('out')) for path in Path('out').rglob('*'))
            if Path('out').exists()
            else []
        )
        return code, out, err, left

    return call


@NIGHTLY
def test_a_file_that_differs_is_not_written_and_the_node_is_named(export, monkeypatch):
    nodes = []

    def altered(program, file):
        model = onnx.ModelProto()
        model.CopyFrom(program.model_proto)
        convolutions = [node for node in model.graph.node if node.op_type == 'Conv']
        weight = next(one for one in model.graph.initializer if one.name == convolutions[3].input[1])
        weight.CopyFrom(onnx.numpy_helper.from_array(2 * onnx.numpy_helper.to_array(weight), weight.name))
        onnx.save(model, file)
        program.model = onnx_ir.from_proto(model)
        nodes.append(convolutions[3].output[0])

    monkeypatch.setattr('vitdense.export.run.write_onnx', altered)
    code, _, err, left = export('segmentor')
    assert code == 2
    assert 'not written: ONNX Runtime' in err
    assert '× 64 × 64' in err
    assert f'first at {nodes[0]}: ' in err
    assert left == []


@NIGHTLY
def test_a_full_disk_leaves_nothing(export, monkeypatch):
    def full(program, file):
        file.write_bytes(b'half')
        raise OSError(errno.ENOSPC, 'No space left on device')

    monkeypatch.setattr('vitdense.export.run.write_onnx', full)
    code, _, err, left = export('segmentor')
    assert (code, left) == (2, [])
    assert 'No space left on device' in err


@pytest.mark.parametrize(
    ('words', 'said'),
    [
        (['--opset', '9'], 'opset'),
        (['--precision', 'int8', '--format', 'pt2'], 'onnx and openvino'),
        (['--precision', 'bfloat16'], 'openvino'),
        (['--fixed', '0', '64'], 'whole number'),
    ],
)
def test_what_cannot_be_asked_for_is_one_line(export, words, said):
    code, _, err, left = export('segmentor', *words)
    assert (code, left) == (2, [])
    assert said in err.splitlines()[-1]


def test_a_missing_package_is_named_with_the_line_that_installs_it(export, monkeypatch):
    monkeypatch.setattr(requirements, 'find_spec', lambda name: None if name == 'onnxscript' else True)
    code, _, err, _ = export('segmentor')
    assert code == 2
    assert "onnxscript: pip install 'vitdense[export]'" in err


@NIGHTLY
def test_an_operator_that_onnx_lacks_is_one_line(export, monkeypatch):
    monkeypatch.setattr(write, '_onnx_nms', lambda *words: 1 / 0)
    code, _, err, left = export('boxes', '--with-boxes')
    assert (code, left) == (2, [])
    assert 'cannot be written as ONNX' in err


def test_files_of_the_same_name_are_left_alone(export):
    Path('out').mkdir()
    Path('out/segmentor.onnx').write_text('mine')
    code, _, err, left = export('segmentor')
    assert code == 2
    assert '--overwrite' in err
    assert Path('out/segmentor.onnx').read_text() == 'mine'
    assert left == ['segmentor.onnx']


def test_a_segmentor_of_one_size_is_certified_for_it_alone(export, tmp_path):
    code, _, err, left = export('segmentor', '--fixed', '64', '96')
    assert code == 0, err
    assert left == ['certificates.md', 'segmentor.onnx', 'segmentor.onnx.json']
    one = json.loads((tmp_path / 'out/segmentor.onnx.json').read_text())
    assert (one['heights'], one['widths']) == ([64, 64], [96, 96])
    assert open_session(tmp_path / 'out/segmentor.onnx').input_shape == (None, 64, 96, 3)


@NIGHTLY
def test_a_file_of_the_last_opset_is_certified_in_both_runtimes(export, tmp_path):
    code, _, err, left = export('boxes', '--with-boxes', '--format', 'onnx', 'openvino', '--opset', '21')
    assert code == 0, err
    assert {'boxes.onnx', 'boxes.xml', 'boxes.bin'} <= {*left}
    assert {one.version for one in onnx.load('out/boxes.onnx').opset_import if not one.domain} == {21}
    assert json.loads(Path('out/boxes.onnx.json').read_text())['versions']['opset'] == '21'


@NIGHTLY
def test_a_backbone_alone_is_certified_and_finds_nothing(export):
    code, _, err, left = export('segmentor', '--backbone')
    assert code == 0, err
    assert 'segmentor-backbone.onnx' in left
    session = open_session('out/segmentor-backbone.onnx')
    finest = session.run(np.zeros((1, 64, 96, 3), np.uint8))[0]
    assert finest.shape[2:] == (16, 24)
    with pytest.raises(UserError, match='feature maps'):
        vitdense.load('out/segmentor-backbone.onnx')


@NIGHTLY
@pytest.mark.parametrize('precision', ['int8', 'bfloat16'])
def test_a_lower_precision_has_its_price_and_is_refused_beyond_the_drop(export, precision):
    words = ['--sample', '--format', 'openvino', '--precision', precision, '--max-size', '200']
    code, _, err, left = export('segmentor', *words, '--max-drop', '1')
    assert code == 0, err
    one = json.loads(Path(f'out/segmentor-{precision}.xml.json').read_text())
    assert one['precision'] == precision
    assert one['price'].keys() == {'drop', 'float32', 'bytes', 'float32_bytes', 'float32_seconds'}
    assert one['scores']['images'] > 10
    code, _, err, again = export('segmentor', *words, '--max-drop', '-2', '--overwrite')
    assert code == 2
    assert '--max-drop -2' in err
    assert again == left


def test_images_of_other_classes_are_no_data_for_a_score(export, tmp_path, small):
    checkpoint = torch.load(small / 'segmentor.pth', weights_only=False)
    checkpoint['meta']['dataset_meta']['classes'] = tuple(f'thing {n}' for n in range(9))
    torch.save(checkpoint, tmp_path / 'other.pth')
    code, _, err, left = export(tmp_path / 'other', '--sample')
    assert (code, left) == (2, [])
    assert 'thing 0' in err
