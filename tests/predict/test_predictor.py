"""What a model finds in an image, alone, in a batch and in tiles."""

import numpy as np
import pytest
import torch
from PIL import Image
from supervision import Detections

import vitdense
from vitdense.errors import UserError
from vitdense.predict.sources import UnreadableImage

KINDS = ('boxes', 'masks', 'segmentor')


def same(one, other):
    """As equal as rounding in a batch allows, which exchanges objects of nearly one score."""
    if one.label_map is not None:
        return (one.label_map == other.label_map).mean() > 0.999
    assert sorted(one.labels) == sorted(other.labels)
    assert np.allclose(one.scores, other.scores, atol=1e-4)
    gaps = np.abs(one.boxes[:, None] - other.boxes).max(2)
    gaps[one.labels[:, None] != other.labels] = np.inf
    return len(one) == 0 or gaps.min(1).max() < 1e-2


@pytest.mark.parametrize('kind', KINDS)
def test_an_image_is_answered_in_its_own_pixels(models, photo, kind):
    (result,) = models[kind].predict(photo, score=0)
    height, width = photo.shape[:2]
    assert result.size == (height, width)
    if kind == 'segmentor':
        assert result.label_map.shape == (height, width)
        assert result.label_map.max() < len(result.classes) == 150
        assert len(result) == 0
        return
    assert len(result) > 0
    assert (np.diff(result.scores) <= 0).all()
    assert (result.boxes >= 0).all()
    assert (result.boxes <= np.array([width, height, width, height]) + 1e-3).all()  # rounded
    assert result.names == [result.classes[label] for label in result.labels]
    masks = result.masks
    assert (masks is None) == (kind == 'boxes')
    assert masks is None or (masks.shape, masks.dtype) == ((len(result), height, width), bool)


@pytest.mark.parametrize('kind', KINDS)
def test_a_batch_finds_what_single_images_do_in_their_order(models, photo, kind):
    images = [photo, photo.swapaxes(0, 1), photo[:, ::-1], photo[:60], photo[::-1], photo[:, :, ::-1]]
    alone, together = (models[kind].predict(images, score=0, batch=batch) for batch in (1, 4))
    assert [one.name for one in together] == [f'image {number}' for number in range(1, 7)]
    assert all(same(one, other) for one, other in zip(alone, together, strict=True))


def test_only_objects_of_the_score_are_kept(models, photo):
    (every,) = models['boxes'].predict(photo, score=0)
    middle = float(np.median(every.scores))
    (sure,) = models['boxes'].predict(photo, score=middle)
    assert len(sure) == (every.scores >= middle).sum()
    assert models['boxes'].score == 0.4
    assert models['masks'].score == 0.7


def test_a_smaller_size_is_computed_smaller(models, photo):
    predictor = models['boxes']
    source = vitdense.predict.sources.find_sources(photo)[0]
    shapes = [tuple(predictor.prepare(next(source.photos()), size)['inputs'].shape) for size in (None, 64)]
    assert shapes == [(3, 128, 171), (3, 64, 85)]


@pytest.mark.parametrize('kind', KINDS)
def test_an_image_that_fits_one_tile_is_not_cut(models, photo, kind):
    (whole,), (tiled,) = (models[kind].predict(photo, score=0, tile=tile) for tile in (None, 128))
    assert same(whole, tiled)


@pytest.mark.parametrize('kind', KINDS)
def test_a_large_image_is_predicted_in_tiles(models, photo, kind):
    large = np.tile(photo, (2, 2, 1))  # 180 × 240
    one, several = (models[kind].predict(large, score=0, tile=100, batch=batch)[0] for batch in (1, 3))
    assert one.size == (180, 240)
    assert same(one, several)
    if kind == 'segmentor':
        assert one.label_map.shape == (180, 240)
        assert models[kind].model.test_cfg.mode == 'whole'  # as before
    else:
        assert len(one) > 0
        assert (one.boxes[:, 2:] > 120).any()
        assert (one.boxes[:, :2] < 60).any()
        assert (one.masks is None) == (kind == 'boxes')


def test_the_scores_of_windows_are_those_of_the_whole_where_they_do_not_overlap(models, photo):
    """A tile is an image by itself: in its middle, the answer is that for the tile alone."""
    large = np.tile(photo[:80, :80], (1, 3, 1))
    (tiled,) = models['segmentor'].predict(large, tile=80)
    (alone,) = models['segmentor'].predict(large[:, :80])
    assert (tiled.label_map[:, :60] == alone.label_map[:, :60]).mean() > 0.95


def test_what_cannot_be_read_is_left_out_and_the_rest_goes_on(models, photo, tmp_path):
    Image.fromarray(photo).save(tmp_path / 'b.png')
    for name in ('a.jpg', 'c.jpg'):
        (tmp_path / name).write_text('no image')
    left_out = []
    found = list(models['boxes'].stream(tmp_path, on_error=left_out.append, batch=2))
    assert [one.name for one in found] == [str(tmp_path / 'b.png')]
    assert ['a.jpg' in str(left_out[0]), 'c.jpg' in str(left_out[1])] == [True, True]
    with pytest.raises(UnreadableImage, match=r'a\.jpg'):
        models['boxes'].predict(tmp_path)


@pytest.mark.parametrize('kind', KINDS)
def test_images_of_any_shape(models, kind):
    results = models[kind].predict([np.zeros((1, 1, 3), np.uint8), np.zeros((200, 20, 3), np.uint8)])
    assert [one.size for one in results] == [(1, 1), (200, 20)]
    with pytest.raises(UnreadableImage, match='20 pixels high and 30000 wide'):
        models[kind].predict(np.zeros((20, 30000, 3), np.uint8))


@pytest.mark.parametrize(
    'words', [dict(size=0), dict(batch=0), dict(tile=8), dict(score=-1), dict(score=2)], ids=str
)
def test_arguments_out_of_range_are_errors(models, photo, words):
    with pytest.raises(UserError, match=next(iter(words))):
        models['boxes'].predict(photo, **words)


def test_a_camera_has_to_be_streamed(models):
    with pytest.raises(UserError, match='stream'):
        models['boxes'].predict(0)


def test_a_model_leaves_the_libraries_scope_as_it_was(models, photo):
    from mmengine.registry import DefaultScope

    def scope():
        return getattr(DefaultScope.get_current_instance(), 'scope_name', None)

    before = scope()
    models['segmentor'].predict(photo)
    models['boxes'].predict(photo)
    assert scope() == before


def test_supervision_gets_objects_masks_and_label_maps(models, photo):
    for kind in KINDS:
        (result,) = models[kind].predict(photo, score=0)
        detections = result.to_supervision()
        assert isinstance(detections, Detections)
        if kind == 'segmentor':
            assert [(mask == (result.label_map == label)).all()
                    for mask, label in zip(detections.mask, detections.class_id, strict=True)]  # fmt: skip
        else:
            assert len(detections) == len(result)
            assert list(detections.data['class_name']) == result.names


@pytest.mark.parametrize('kind', ['boxes', 'segmentor'])
def test_of_a_huge_image_a_smaller_picture_is_drawn(models, kind):
    """A picture of every pixel of a scan of 123 megapixels would take 17 GB."""
    huge = np.zeros((6000, 1500, 3), np.uint8)
    (result,) = models[kind].predict(huge)
    assert result.size == (6000, 1500)
    assert result.draw().size == (1024, 4096)


@pytest.mark.parametrize('kind', KINDS)
def test_drawn_images_keep_their_proportions(models, photo, kind):
    (result,) = models[kind].predict(photo, score=0)
    assert result.draw().size == (512, 384)  # enlarged
    (large,) = models[kind].predict(np.tile(photo, (6, 6, 1)), score=0)
    picture = np.asarray(large.draw())
    assert picture.shape == (540, 720, 3)
    assert (picture != large.image).any()


def test_label_maps_are_written_with_their_values_and_colours(models, photo, tmp_path):
    (result,) = models['segmentor'].predict(photo)
    result.save_label_map(tmp_path / 'map.png')
    written = Image.open(tmp_path / 'map.png')
    assert (np.asarray(written) == result.label_map).all()
    assert tuple(np.asarray(written.convert('RGB'))[0, 0]) == result.palette[result.label_map[0, 0]]
    with pytest.raises(ValueError, match='png'):
        result.save_label_map(tmp_path / 'map.jpg')
    with pytest.raises(ValueError, match='label map'):
        result.to_coco()
    with pytest.raises(ValueError, match='to_coco'):
        models['boxes'].predict(photo)[0].save_label_map(tmp_path / 'map.png')


def test_random_weights_are_those_of_the_config(models):
    assert not models['boxes'].model.training
    assert all(torch.isfinite(parameter).all() for parameter in models['boxes'].model.parameters())
    assert repr(models['boxes']) == 'Predictor(boxes, 80 classes, cpu)'


def test_windows_have_the_scale_of_the_tile_whatever_the_images_shape(models, photo, monkeypatch):
    seen = []
    predictor = models['segmentor']
    monkeypatch.setattr(
        predictor, 'answer', lambda photo, size, score: seen.append(predictor.prepare(photo, size))
    )
    predictor.predict(np.tile(photo, (1, 8, 1)), tile=90)  # 90 × 960
    assert tuple(seen[0]['inputs'].shape) == (3, 64, 683)  # a tile's side of 90 pixels becomes 64


def test_images_of_16_bits_are_read_as_the_pipeline_reads_them(models, tmp_path):
    dark = np.full((20, 20), 2056, np.uint16)
    Image.fromarray(dark).save(tmp_path / 'dark.png')
    (own,) = models['boxes'].predict(tmp_path / 'dark.png')
    models['boxes']._bits = 16
    try:
        (fixed,) = models['boxes'].predict(tmp_path / 'dark.png')
    finally:
        models['boxes']._bits = None
    assert (own.image[0, 0, 0], fixed.image[0, 0, 0]) == (2056 >> 4, 2056 >> 8)
