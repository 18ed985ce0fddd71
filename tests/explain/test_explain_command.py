"""`explain`: which pictures it writes, of every backbone, what it refuses, and what it leaves alone."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from runs import files, refused
from small_backbones import SMALL

from vitdense.backbones.pyramid import Pyramid
from vitdense.errors import UserError
from vitdense.explain.choose import places_found
from vitdense.explain.explainer import Explainer
from vitdense.explain.view import Place, View
from vitdense.predict.result import Result
from vitdense.predict.sources import Photo

KINDS = {'SuperViT': {'tokens'}, 'VVT': {'distance'}}


@pytest.fixture
def explain(predictor, photo, call, tmp_path, monkeypatch):
    """Call the command with a small model, in a folder with two photos."""
    (tmp_path / 'photos/sub').mkdir(parents=True)
    Image.fromarray(photo.image).save(tmp_path / 'photos/a.png')
    Image.fromarray(photo.image[:40, ::-1]).save(tmp_path / 'photos/sub/a.jpg')
    for name in SMALL:
        (tmp_path / f'{name}.pth').touch()
    monkeypatch.setattr(
        'vitdense.predict.load.load', lambda checkpoint, config, device: predictor(checkpoint.stem)
    )
    return lambda name, *words: call('explain', f'{name}.pth', *words)


def written(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob('*') if path.is_file()}


@pytest.mark.parametrize('name', SMALL)
def test_of_every_backbone_all_pictures_that_fit_are_written(explain, tmp_path, predictor, name):
    network = predictor(name).model.backbone
    before = {key: value.clone() for key, value in network.state_dict().items()}
    done = explain(name, 'photos', '--out', 'out')
    assert (done.code, done.err) == (0, '')
    kinds = KINDS.get(name, set())
    each = {'attention', *(kinds & {'tokens'})}
    expected = {f'{image}/{kind}.png' for image in ('a', 'sub/a') for kind in each}
    expected |= {f'{kind}.png' for kind in ('receptive_field', *(kinds & {'distance'}))}
    assert written(tmp_path / 'out') == expected
    for file in expected:
        drawn = np.asarray(Image.open(tmp_path / 'out' / file).convert('RGB'))
        assert drawn.shape[1] > 600
        assert drawn.std() > 10
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert not any(one._forward_hooks or one._forward_pre_hooks for one in network.modules())


def test_one_kind_from_some_places_in_other_formats(explain, tmp_path):
    words = ['--what', 'attention', '--at', '3', '4', '--at', '60', '20', '--format', 'pdf', 'svg']
    done = explain('HATNet', 'photos/a.png', '--out', 'out', *words)
    assert (done.code, done.err) == (0, '')
    assert written(tmp_path / 'out') == {'a/attention.pdf', 'a/attention.svg'}
    text = (tmp_path / 'out/a/attention.svg').read_text()
    assert all(
        label in text for label in ('1 to its grid', '2 to its grid', 'pooled')
    )  # long ones are wrapped


def test_the_dials_that_are_asked_for_are_drawn(explain, tmp_path):
    words = ['--what', 'tokens', '--dials', '1:0.5', '4/7:0.9', '--format', 'svg']
    assert explain('SuperViT', 'photos/a.png', '--out', 'out', *words).code == 0
    text = (tmp_path / 'out/a/tokens.svg').read_text()
    assert all(rate in text for rate in ('0.5<', '0.9<'))
    assert 'of 96 patches' in text  # 122 × 180 pixels after the resize


def test_nothing_is_overwritten_unless_asked(explain, tmp_path):
    words = ['PiT', 'photos/a.png', '--out', 'out', '--what', 'attention']
    assert explain(*words).code == 0
    before = files(tmp_path / 'out')
    assert '--overwrite' in refused(explain(*words))
    assert files(tmp_path / 'out') == before
    assert explain(*words, '--overwrite').code == 0
    assert 'photos/a.png' in refused(explain('PiT', 'photos/a.png', '--out', 'photos', '--overwrite'))


@pytest.mark.parametrize(
    ('words', 'said'),
    [
        (['PiT', 'photos/a.png', '--what', 'tokens'], '--what tokens'),
        (['PiT', 'photos/a.png', '--dials', '1:0.5'], '--dials'),
        (['SuperViT', 'photos/a.png', '--dials', '2:0.5'], '--dials 2:0.5'),
        (['PiT', 'photos/a.png', '--at', '5', '5', '--what', 'receptive_field'], '--at'),
        (['absent', 'photos/a.png'], 'absent.pth'),
        (['PiT', 'absent.png'], 'absent.png'),
    ],
    ids=str,
)
def test_what_cannot_be_drawn_is_refused_by_its_name(explain, tmp_path, words, said):
    assert said in refused(explain(*words, '--out', 'out'))
    assert not (tmp_path / 'out').exists()


def test_a_pyramid_of_ones_own_is_refused():
    class Own(Pyramid):
        pass

    model = SimpleNamespace(backbone=Own.__new__(Own))
    with pytest.raises(UserError, match='own: its backbone is a Own'):
        Explainer(SimpleNamespace(model=model, name='own'))


def test_a_place_outside_of_an_image_is_refused(explain, tmp_path):
    done = explain('PiT', 'photos/a.png', '--at', '90', '3', '--out', 'out')
    assert done.code == 2
    assert done.err.startswith('error: --at 90 3: not in photos/a.png')
    assert not (tmp_path / 'out').exists()


def test_an_exported_file_is_refused(call, tmp_path):
    (tmp_path / 'model.onnx').touch()
    assert 'model.onnx' in refused(call('explain', 'model.onnx', 'a.png', '--out', 'out'))


def test_an_unreadable_image_is_named_and_left_out(explain, tmp_path):
    (tmp_path / 'photos/b.png').write_text('no image')
    done = explain('PiT', 'photos', '--out', 'out', '--what', 'receptive_field')
    assert done.code == 1
    assert done.err.startswith('warning: photos/b.png')
    assert written(tmp_path / 'out') == {'receptive_field.png'}


@pytest.mark.parametrize('name', SMALL)
@pytest.mark.parametrize('size', [(1, 1), (7, 300), (200, 33)], ids=str)
def test_images_of_any_size_are_drawn(predictor, name, size):
    image = np.random.default_rng(0).integers(0, 256, (*size, 3)).astype(np.uint8)
    explainer = Explainer(predictor(name))
    view = explainer.view(Photo('image', image))
    corners = [Place(0, 0), Place(size[1] - 1, size[0] - 1)]
    figure = explainer.attention(view, explainer.record(view), corners)
    assert len(figure.axes) > 4
    explainer.receptive_field([view], draws=1)
    if 'tokens' in explainer.kinds:
        explainer.tokens(view)


def test_a_place_is_where_the_photo_has_it_after_the_resize(predictor, photo):
    view = View.of(predictor('PiT'), photo)
    height, width = view.shown.shape[:2]
    assert (height, width) == (122, 180)
    assert (view.size[0] % 32, view.size[1] % 32) == (0, 0)  # padded as a detector pads
    assert view.unpadded.shape[2:] == (122, 180)
    assert view.cell(Place(0, 0), (16, 24), 8) == (0, 0)
    assert view.cell(Place(45, 30), (16, 24), 8) == (61 // 8, 91 // 8)
    with pytest.raises(UserError, match='90'):
        view.check(Place(90, 0))


def test_it_is_looked_from_what_is_found():
    def result(**found):
        nothing = dict(
            boxes=np.zeros((0, 4), np.float32), scores=np.zeros(0), labels=np.zeros(0, int), palette=()
        )
        return Result('image', np.zeros((20, 30, 3), np.uint8), ('a', 'b'), **(nothing | found))

    assert places_found(result()) == [(15, 10)]
    boxes = np.array([[2, 4, 6, 8], [0, 0, 9, 11], [-9, 0, 1, 2], [20, 0, 22, 9]], np.float32)
    assert places_found(result(boxes=boxes), 2) == [(4, 6), (0, 1)]  # the second one is in the first
    labels = np.zeros((20, 30), np.uint8)
    labels[5:10, 20:25] = 1
    labels[:, :10] = 255
    first, second = places_found(result(label_map=labels), 2)
    assert labels[first[1], first[0]] == 0
    assert second == (22, 7)
