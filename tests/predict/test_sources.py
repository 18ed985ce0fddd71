"""Images from wherever they are, as a person sees them."""

import io

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from vitdense.errors import UserError
from vitdense.predict.sources import UnreadableImage, find_sources, frame_count, frame_rate


def pixels(source):
    return [photo.image for one in find_sources(source) for photo in one.photos()]


@pytest.fixture
def file(photo, tmp_path):
    path = tmp_path / 'photo.png'
    Image.fromarray(photo).save(path)
    return path


@pytest.fixture
def video(photo, tmp_path):
    path = tmp_path / 'clip.mp4'
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*'mp4v'), 12.5, (120, 90))
    for _ in range(5):
        writer.write(np.ascontiguousarray(photo[..., ::-1]))
    writer.release()
    return path


def test_one_image_in_every_form_is_the_same(photo, file):
    tensor = torch.from_numpy(photo.copy()).permute(2, 0, 1)
    forms = [file, str(file), file.read_bytes(), Image.fromarray(photo), photo, tensor, tensor / 255]
    for form in forms:
        (image,) = pixels(form)
        assert (image == photo).all()
    assert all((image == photo).all() for image in pixels(forms))
    assert len(find_sources(tuple(forms))) == len(forms)


def test_gray_images_have_three_equal_channels(photo):
    gray = photo[..., 0]
    for form in (gray, torch.from_numpy(gray.copy()), Image.fromarray(gray)):
        (image,) = pixels(form)
        assert (image == gray[..., None]).all()


def test_an_image_is_turned_as_its_tag_says(photo, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(photo).rotate(90, expand=True).save(tmp_path / 'phone.png', exif=exif)
    turned = Image.open(tmp_path / 'phone.png')
    for form in (tmp_path / 'phone.png', turned):
        (image,) = pixels(form)
        assert (image == photo).all()


def test_odd_modes_are_seen_as_a_person_sees_them(photo):
    image = Image.fromarray(photo)
    transparent = image.convert('RGBA')
    transparent.putalpha(0)
    file = io.BytesIO()
    image.convert('CMYK').save(file, 'JPEG', quality=100, subsampling=0)
    assert (pixels(transparent)[0] == 255).all()
    assert np.abs(pixels(file.getvalue())[0].astype(int) - photo).max() < 12
    deep = Image.fromarray(photo[..., 0].astype(np.uint16) * 257)
    assert np.abs(pixels(deep)[0].astype(int) - photo[..., :1]).max() <= 1
    colours = image.convert('P', palette=Image.Palette.ADAPTIVE)
    assert (pixels(colours)[0] == np.asarray(colours.convert('RGB'))).all()


def test_a_folder_and_a_pattern_are_all_of_their_images_in_order(photo, file, video, tmp_path):
    (tmp_path / 'more').mkdir()
    Image.fromarray(photo).save(tmp_path / 'more/a.JPG')
    (tmp_path / 'notes.txt').write_text('no image')
    folder = find_sources(tmp_path)
    assert [one.place.as_posix() for one in folder] == ['clip.mp4', 'more/a.JPG', 'photo.png']
    assert [one.name for one in find_sources(tmp_path / '*.png')] == [str(file)]
    assert len(find_sources([tmp_path, file])) == 4


def test_a_video_is_its_frames(video, photo):
    frames = [photo for one in find_sources(video) for photo in one.photos()]
    assert [one.frame for one in frames] == list(range(5))
    assert np.abs(frames[0].image.astype(int) - photo).mean() < 12
    assert (frame_rate(video), frame_count(video)) == (12.5, 5)


def test_a_file_that_is_no_image_is_named(tmp_path):
    for name in ('text.jpg', 'text.mp4'):
        (tmp_path / name).write_text('hello')
        with pytest.raises(UnreadableImage, match=name):
            pixels(tmp_path / name)


@pytest.mark.parametrize(
    ('source', 'said'),
    [
        ('nowhere.jpg', 'nowhere.jpg: no such'),
        ('*.nothing', 'no file has such a name'),
        ([], 'the list is empty'),
        ('', 'empty path'),
        ([[b'hello', b'hello']], 'a list in a list'),
        (iter([b'hello']), 'list_iterator'),
        (None, 'NoneType'),
        (1.5, 'float'),
        (True, 'bool'),
        ([np.zeros((4, 4, 3), np.uint8), None], 'NoneType'),
        (np.zeros((4, 4, 3)), 'float64; expected uint8'),
        (np.zeros((4, 4, 4), np.uint8), r'\(4, 4, 4\); expected \(H, W, 3\)'),
        (np.zeros((0, 4, 3), np.uint8), r'\(0, 4, 3\)'),
        (torch.zeros(4, 4, 3, dtype=torch.uint8), r'expected \(3, H, W\)'),
        (torch.full((3, 4, 4), 255.0), '255; expected 0 to 1'),
        (b'hello', 'image 1'),
    ],
)
def test_what_is_no_source_is_said(source, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=said):
        pixels(source)


def test_an_empty_folder_is_an_error(tmp_path):
    with pytest.raises(UserError, match='without images'):
        find_sources(tmp_path)


def test_an_array_is_read_when_it_is_given(photo):
    """The caller may fill the array anew for the next image."""
    array = photo.copy()
    (one,) = find_sources(array)
    image = next(one.photos()).image
    array[:] = 0
    assert (image == photo).all()


def test_a_video_that_ends_early_is_named(video, monkeypatch):
    monkeypatch.setattr('vitdense.predict.sources.frame_count', lambda path: 40)
    with pytest.raises(UnreadableImage, match='5 of about 40 frames'):
        pixels(video)


def test_links_are_followed_once(photo, file, tmp_path):
    (tmp_path / 'sub').mkdir()
    Image.fromarray(photo).save(tmp_path / 'sub/a.png')
    (tmp_path / 'alink').symlink_to('sub')
    (tmp_path / 'sub/loop').symlink_to('..')
    assert len(find_sources(tmp_path)) == 2


def test_float_images_from_0_to_1_are_not_black(photo):
    gray = Image.fromarray(photo[..., 0].astype(np.float32) / 255)
    assert np.abs(pixels(gray)[0].astype(int) - photo[..., :1]).max() <= 1
    with pytest.raises(UnreadableImage):
        pixels(Image.fromarray(np.full((4, 4), np.nan, np.float32)))
