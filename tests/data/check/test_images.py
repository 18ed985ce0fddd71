"""A file is whole to its last byte, or it is not; its size is what the training reads."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image
from small_data import HEIGHT, WIDTH, labels, picture

from vitdense.data.check.images import Damaged, label_map, picture_size


def encoded(image_format, mode='RGB', **options):
    stream = io.BytesIO()
    image = Image.fromarray(picture(1, (90, 120, 3))).convert(mode)
    image.save(stream, image_format, **options)
    return stream.getvalue()


FILES = {
    'baseline': encoded('JPEG', quality=92),
    'progressive': encoded('JPEG', progressive=True),
    'grey': encoded('JPEG', 'L'),
    'four inks': encoded('JPEG', 'CMYK'),
    'full colour': encoded('JPEG', subsampling=0),
    'restarts': encoded('JPEG', restart_marker_blocks=4),
    'PNG': encoded('PNG'),
    'palette': encoded('PNG', 'P'),
    'PNG with opacity': encoded('PNG', 'RGBA'),
    'WebP': encoded('WEBP'),
    'TIFF': encoded('TIFF'),
    'BMP': encoded('BMP'),
}


@pytest.mark.parametrize('name', FILES)
def test_a_whole_file_of_every_kind_is_whole(tmp_path, name):
    (tmp_path / 'file').write_bytes(FILES[name])
    assert picture_size(tmp_path / 'file') == (90, 120)


@pytest.mark.parametrize('name', FILES)
def test_a_file_cut_anywhere_is_damaged(tmp_path, name):
    data, path = FILES[name], tmp_path / 'file'
    for kept in {*range(0, len(data), len(data) // 60), *range(len(data) - 12, len(data))}:
        path.write_bytes(data[:kept])
        with pytest.raises(Damaged):
            picture_size(path)


@pytest.mark.parametrize('name', ['baseline', 'progressive', 'restarts', 'PNG'])
def test_an_unfinished_copy_with_zeros_for_the_rest_is_damaged(tmp_path, name):
    """Decoders take zeros in a baseline JPEG for pixels."""
    data, path = FILES[name], tmp_path / 'file'
    for lacking in (20, len(data) // 2):
        path.write_bytes(data[:-lacking] + bytes(lacking))
        with pytest.raises(Damaged):
            picture_size(path)


def test_bytes_after_the_end_of_an_image_are_no_damage(tmp_path):
    (tmp_path / 'file').write_bytes(FILES['baseline'] + b'added by a camera')
    assert picture_size(tmp_path / 'file') == (90, 120)


@pytest.mark.parametrize('image_format', ['JPEG', 'PNG'])
@pytest.mark.parametrize('orientation', range(1, 9))
def test_an_exif_orientation_counts_as_it_does_in_training(tmp_path, image_format, orientation):
    exif = Image.Exif()
    exif[0x112] = orientation
    (tmp_path / 'file').write_bytes(encoded(image_format, exif=exif))
    assert picture_size(tmp_path / 'file') == cv2.imread(str(tmp_path / 'file')).shape[:2]


@pytest.mark.filterwarnings('ignore:Corrupt EXIF data')
def test_a_damaged_exif_tag_is_none(tmp_path):
    (tmp_path / 'file').write_bytes(encoded('JPEG', exif=b'Exif\0\0MM\0*\0\0\0\x08\xff\xff'))
    assert picture_size(tmp_path / 'file') == (90, 120)


def test_a_format_that_opencv_cannot_read_is_no_image_to_train_on(tmp_path):
    (tmp_path / 'file').write_bytes(encoded('PCX'))
    with pytest.raises(Damaged, match='PCX that OpenCV cannot read'):
        picture_size(tmp_path / 'file')


@pytest.mark.parametrize('name', ['baseline', 'PNG'])
def test_an_image_that_is_too_large_for_pillow_is_read_as_opencv_reads_it(tmp_path, monkeypatch, name):
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 100)
    (tmp_path / 'file').write_bytes(FILES[name])
    assert picture_size(tmp_path / 'file') == (90, 120)
    with pytest.raises(Damaged, match='exceeds limit'):  # MMSegmentation reads label maps with Pillow
        label_map(tmp_path / 'file')


def test_an_image_that_is_too_large_for_opencv_is_none_to_train_on(tmp_path):
    data = bytearray(FILES['baseline'])
    start = data.index(b'\xff\xc0') + 5
    data[start : start + 4] = (33000).to_bytes(2, 'big') * 2  # in its header alone
    (tmp_path / 'file').write_bytes(data)
    with pytest.raises(cv2.error):
        cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    with pytest.raises(Damaged, match='33000 × 33000 pixels'):
        picture_size(tmp_path / 'file')


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16])
def test_the_pixels_of_each_value_are_counted(tmp_path, dtype):
    Image.fromarray(labels().astype(dtype)).save(tmp_path / 'map.png')
    read = label_map(tmp_path / 'map.png')
    assert read.size == (HEIGHT, WIDTH)
    assert read.counts[:5].tolist() == [300, 300, 300, 300, 0]
    assert len(read.counts) == np.iinfo(dtype).max + 1


def test_a_palette_is_read_as_its_indices(tmp_path):
    image = Image.fromarray(labels())
    image.putpalette([200, 0, 0, 0, 200, 0, 0, 0, 200, 9, 9, 9])
    image.save(tmp_path / 'map.png')
    assert label_map(tmp_path / 'map.png').counts[:5].tolist() == [300, 300, 300, 300, 0]
