"""Photos are read as a person sees them, and as OpenCV reads them where that is the same."""

import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from vitdense.data.formats.files import TURNED_BY_OPENCV, image_header, open_image
from vitdense.data.photo import LoadPhoto, depth, read_photo

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (6, 9, 3)).astype(np.uint8).repeat(8, 0).repeat(8, 1)
FORMATS = dict(JPEG='jpg', PNG='png', WEBP='webp', TIFF='tif')


def encoded(image, form='PNG', **options):
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def opencv(data):
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)


@pytest.mark.parametrize('orientation', range(1, 9))
@pytest.mark.parametrize('form', FORMATS)
def test_all_orientations_of_every_format(form, orientation, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = dict(quality=95) if form == 'JPEG' else dict(lossless=True) if form == 'WEBP' else {}
    data = encoded(Image.fromarray(PIXELS), form, exif=exif, **options)
    upright = encoded(Image.fromarray(PIXELS), form, **options)
    turns = [
        lambda a: a, lambda a: a[:, ::-1], lambda a: a[::-1, ::-1], lambda a: a[::-1],
        lambda a: a.swapaxes(0, 1), lambda a: np.rot90(a, -1), lambda a: a[::-1, ::-1].swapaxes(0, 1),
        np.rot90,
    ]  # fmt: skip
    assert (read_photo(data) == turns[orientation - 1](read_photo(upright))).all()
    assert np.abs(read_photo(upright).astype(int) - opencv(upright)).max() <= (3 if form == 'JPEG' else 0)
    file = Path(tmp_path, f'a.{FORMATS[form]}')
    file.write_bytes(data)
    header = image_header(file)
    assert header.size == read_photo(data).shape[:2]
    assert header.orientation == orientation
    same = opencv(data).shape == read_photo(data).shape
    same = same and np.abs(opencv(data).astype(int) - read_photo(data)).max() <= 3
    assert bool(header.odd) == (not same)
    assert (form in TURNED_BY_OPENCV) == same or orientation == 1


@pytest.mark.parametrize('mode', ['1', 'L', 'P', 'RGB', 'CMYK'])
def test_what_opencv_shows_alike(mode):
    data = encoded(Image.fromarray(PIXELS).convert(mode), 'JPEG' if mode == 'CMYK' else 'PNG')
    assert np.abs(read_photo(data).astype(int) - opencv(data)).max() <= (4 if mode == 'CMYK' else 0)


def test_what_transparency_hides_is_white():
    rgba = np.dstack([PIXELS, np.full(PIXELS.shape[:2], 255, np.uint8)])
    rgba[:10, :, 3] = 0
    rgba[10:20, :, 3] = 51
    got = read_photo(encoded(Image.fromarray(rgba)))[..., ::-1]
    assert (got[:10] == 255).all()
    assert np.abs(got[10:20] - (0.2 * PIXELS[10:20] + 0.8 * 255)).max() <= 1
    assert (got[20:] == PIXELS[20:]).all()
    palette = Image.fromarray(PIXELS).quantize(4)
    first = np.asarray(palette) == 0
    got = read_photo(encoded(palette, transparency=0))
    assert (got[first] == 255).all()
    assert first.any()


@pytest.mark.parametrize('form', ['PNG', 'TIFF'])
@pytest.mark.parametrize('bits', [10, 12, 16])
def test_images_of_sixteen_bits_are_as_bright_as_their_bits_allow(form, bits, tmp_path):
    values = np.linspace(0, 2**bits - 1, 64 * 40).reshape(40, 64).astype(np.uint16)
    data = encoded(Image.fromarray(values), form)
    file = Path(tmp_path, 'deep')
    file.write_bytes(data)
    assert image_header(file).odd
    assert depth([file]) == max(12, bits)
    got = read_photo(data, bits)
    assert (got == (values >> (bits - 8))[..., None]).all()
    if bits == 16:
        assert (got == opencv(data)).all()
    else:
        assert opencv(data).max() < 64  # what it keeps of them
    loaded = LoadPhoto(bits)(dict(img_path=str(file)))
    assert (loaded['img'] == got).all()
    assert loaded['ori_shape'] == loaded['img_shape'] == (40, 64)


def test_the_first_picture_of_an_animation():
    first = Image.fromarray(PIXELS).convert('P')
    for form, options in (('GIF', {}), ('PNG', {}), ('WEBP', dict(lossless=True))):
        data = encoded(first, form, save_all=True, append_images=[first.rotate(180)], **options)
        assert (read_photo(data) == read_photo(encoded(first, form, **options))).all()


def test_images_of_any_size_are_opened_and_pillows_limit_stays(tmp_path):
    file = tmp_path / 'large.png'
    Image.new('1', (20_000, 10_000)).save(file)
    before = Image.MAX_IMAGE_PIXELS
    assert image_header(file).size == (10_000, 20_000)
    with open_image(file) as image:
        assert image.size == (20_000, 10_000)
    assert before == Image.MAX_IMAGE_PIXELS
