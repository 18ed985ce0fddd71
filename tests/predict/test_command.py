"""`predict`: what it writes, what it leaves alone, and how it ends."""

import json

import cv2
import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO
from runs import files, refused


@pytest.fixture
def predict(models, photo, call, tmp_path, monkeypatch):
    """Call the command with one of the small models, in a folder with photos."""
    (tmp_path / 'photos/sub').mkdir(parents=True)
    for name in ('a.png', 'b.jpg', 'sub/a.png', 'sub/a.bmp'):
        Image.fromarray(photo).save(tmp_path / 'photos' / name)
    kinds = {'boxes.pth': 'boxes', 'masks.pth': 'masks', 'maps.pth': 'segmentor'}
    monkeypatch.setattr('vitdense.predict.load.load', lambda model, config, device: models[kinds[model]])
    return lambda model, *words: call('predict', f'{model}.pth', *words)


def test_objects_are_written_as_coco_and_drawn(predict, tmp_path):
    done = predict('masks', 'photos', '--out', 'out', '--score', '0', '--batch', '3')
    assert (done.code, done.err) == (0, '')
    drawn = {path.relative_to(tmp_path / 'out').as_posix() for path in (tmp_path / 'out').rglob('*.*')}
    assert drawn == {'a.png', 'b.jpg', 'sub/a.png', 'sub/a-2.png', 'predictions.json'}
    coco = COCO(tmp_path / 'out/predictions.json')
    assert [one['file_name'] for one in coco.imgs.values()] == [
        f'photos/{name}' for name in ('a.png', 'b.jpg', 'sub/a.bmp', 'sub/a.png')
    ]
    assert len(coco.anns) > 4
    one = coco.anns[1]
    assert coco.annToMask(one).shape == (90, 120)
    assert one['area'] == coco.annToMask(one).sum()
    assert len(coco.loadRes(list(coco.anns.values())).anns) == len(coco.anns)


def test_label_maps_are_written_so_that_they_can_be_read_again(predict, photo, tmp_path):
    done = predict('maps', 'photos/a.png', 'photos/b.jpg', '--out', 'out', '--no-pictures')
    assert (done.code, done.err) == (0, '')
    written = sorted(
        path.relative_to(tmp_path / 'out').as_posix() for path in (tmp_path / 'out').rglob('*.png')
    )
    assert written == ['label_maps/a.png', 'label_maps/b.png']
    assert np.asarray(Image.open(tmp_path / 'out/label_maps/a.png')).shape == (90, 120)


def test_a_video_becomes_a_video(predict, photo, tmp_path):
    writer = cv2.VideoWriter(str(tmp_path / 'clip.avi'), cv2.VideoWriter.fourcc(*'MJPG'), 8, (120, 90))
    for _ in range(3):
        writer.write(photo)
    writer.release()
    done = predict('boxes', 'clip.avi', '--out', 'out', '--score', '0')
    assert (done.code, done.err) == (0, '')
    video = cv2.VideoCapture(str(tmp_path / 'out/clip.mp4'))
    assert [video.read()[0] for _ in range(4)] == [True, True, True, False]
    assert video.get(cv2.CAP_PROP_FPS) == 8
    images = json.loads((tmp_path / 'out/predictions.json').read_text())['images']
    assert [one['frame'] for one in images] == [0, 1, 2]


def test_an_unreadable_file_is_named_and_the_exit_code_says_so(predict, tmp_path):
    (tmp_path / 'photos/c.jpg').write_text('no image')
    done = predict('boxes', 'photos', '--out', 'out', '--no-pictures')
    assert done.code == 1
    assert done.err.startswith('warning: photos/c.jpg')
    assert '1 of 5' in done.out
    assert len(json.loads((tmp_path / 'out/predictions.json').read_text())['images']) == 4
    only = predict('boxes', 'photos/c.jpg', '--out', 'other')
    assert only.code == 2


def test_nothing_is_overwritten_unless_asked(predict, tmp_path):
    words = ['boxes', 'photos/a.png', '--out', 'out']
    assert predict(*words).code == 0
    before = files(tmp_path / 'out')
    assert '--overwrite' in refused(predict(*words))
    assert files(tmp_path / 'out') == before
    assert predict(*words, '--overwrite', '--score', '0').code == 0
    assert files(tmp_path / 'out') != before


def test_the_photos_themselves_are_never_overwritten(predict, tmp_path):
    before = files(tmp_path / 'photos')
    for source, out in (('photos', 'photos'), ('photos/sub', 'photos'), ('photos/a.png', 'photos')):
        assert source in refused(predict('boxes', source, '--out', out, '--overwrite'))
    assert files(tmp_path / 'photos') == before


def test_a_file_that_is_given_twice_is_predicted_on_once(predict, tmp_path):
    assert predict('boxes', 'photos/a.png', 'photos', '--out', 'out').code == 0
    assert len(json.loads((tmp_path / 'out/predictions.json').read_text())['images']) == 4


def test_sources_are_looked_for_before_the_model_is_loaded(call, tmp_path):
    (tmp_path / 'empty').mkdir()
    for source in ('empty', 'nowhere.jpg'):
        assert refused(call('predict', 'nowhere.pth', source, '--out', 'out')).startswith(source)
    assert not (tmp_path / 'out').exists()


def test_a_photo_behind_a_link_is_not_overwritten(predict, tmp_path):
    (tmp_path / 'album').mkdir()
    (tmp_path / 'album/a.png').symlink_to('../photos/a.png')
    before = files(tmp_path / 'photos')
    for words in (
        ['album', '--out', 'album'],
        ['album/a.png', '--out', 'photos'],
        ['album', '--out', 'photos'],
    ):
        assert predict('boxes', *words, '--overwrite').code == 2
    (tmp_path / 'out').mkdir()
    (tmp_path / 'out/b.jpg').symlink_to('../photos/b.jpg')
    assert 'b.jpg' in refused(predict('boxes', 'photos', '--out', 'out', '--overwrite'))
    assert files(tmp_path / 'photos') == before


def test_no_two_label_maps_and_no_folder_are_at_one_place(predict, photo, tmp_path):
    for name in ('twin.png', 'twin.jpg', 'label_maps/twin.png', 'y.bmp', 'y.png/z.png'):
        (tmp_path / 'odd' / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(photo).save(tmp_path / 'odd' / name)
    done = predict('maps', 'odd', '--out', 'out')
    assert (done.code, done.err) == (0, '')
    assert len(list((tmp_path / 'out/label_maps').rglob('*.*g'))) - 1 == 5  # and the folder y.png
    assert len([path for path in (tmp_path / 'out').rglob('*') if path.is_file()]) == 10
