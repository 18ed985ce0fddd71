"""A graph, before it is a file, finds what MMDetection's and MMSegmentation's models find."""

import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData

from vitdense.errors import UserError
from vitdense.export.choice import Wanted, graph_of
from vitdense.export.compare import compare_objects, compare_tensors, images_of, sizes_to_compare
from vitdense.export.graph import Boxes, BoxesAndMasks, Features, Logits, RawMaps
from vitdense.export.operators import exportable
from vitdense.exported.model import found_boxes
from vitdense.predict.predictor import scope_of

SIZES = [(64, 64), (97, 130), (131, 70)]


def answers(predictor, image):
    """What the model itself finds in images (B, H, W, 3), RGB, in their pixels."""
    bgr = image.flip(3).permute(0, 3, 1, 2)
    height, width = image.shape[1:3]
    with scope_of(predictor.cfg), torch.no_grad():
        if predictor.finds_label_maps:
            from mmseg.structures import SegDataSample as Sample
        else:
            from mmdet.structures import DetDataSample as Sample
        size = dict(img_shape=(height, width), ori_shape=(height, width), scale_factor=(1.0, 1.0))
        samples = [Sample(metainfo=size) for _ in image]
        return predictor.model.test_step(dict(inputs=list(bgr), data_samples=samples))


def graph(kind, predictor):
    return kind(exportable(predictor.model)).eval()


@pytest.mark.parametrize('size', SIZES)
@pytest.mark.parametrize(('name', 'kind'), [('boxes', Boxes), ('masks', BoxesAndMasks)])
def test_objects_are_those_of_the_model_one_to_one(predictors, name, kind, size):
    predictor = predictors[name]
    image = images_of(size, 2)
    with torch.no_grad():
        outputs = dict(zip(kind.names, graph(kind, predictor)(image), strict=True))
    for found, sample in zip(found_boxes(outputs), answers(predictor, image), strict=True):
        want = sample.pred_instances
        assert len(want) > 5
        plain = InstanceData(bboxes=want.bboxes, scores=want.scores, labels=want.labels)
        difference = compare_objects(plain, found, want.scores.min().item())
        assert difference.worst <= 1, difference
        assert difference.objects >= len(want) - 1  # two of the same score at the end


def test_masks_are_those_of_the_model(predictors):
    from mmdet.models.roi_heads.mask_heads.fcn_mask_head import _do_paste_mask

    predictor = predictors['masks']
    image = images_of((97, 130), 1)
    with torch.no_grad():
        outputs = dict(zip(BoxesAndMasks.names, graph(BoxesAndMasks, predictor)(image), strict=True))
    (sample,) = answers(predictor, image)
    want = sample.pred_instances
    pasted, _ = _do_paste_mask(outputs['masks'][0, :, None], outputs['boxes'][0], 97, 130, skip_empty=False)
    assert want.masks.any((1, 2)).sum() > 5
    assert (want.masks == (pasted[: len(want)] >= 0.5)).float().mean() > 0.999


@pytest.mark.parametrize('size', SIZES)
def test_logits_give_the_models_label_map(predictors, size):
    image = images_of(size, 2)
    with torch.no_grad():
        (logits,) = graph(Logits, predictors['segmentor'])(image)
    assert logits.shape[2:] == size
    for found, sample in zip(logits.argmax(1), answers(predictors['segmentor'], image), strict=True):
        assert (found == sample.pred_sem_seg.data[0]).float().mean() > 0.999


def test_raw_maps_are_those_of_the_head(predictors):
    predictor = predictors['boxes']
    image = images_of((97, 130), 2)
    own = graph(RawMaps, predictor)
    with torch.no_grad():
        outputs = own(image)
        data = predictor.model.data_preprocessor(dict(inputs=list(image.flip(3).permute(0, 3, 1, 2))), False)
        want = [one for maps in predictor.model(data['inputs'], mode='tensor') for one in maps]
    assert own.names[0] == 'class_logits_8'
    torch.testing.assert_close(list(outputs), want, rtol=1e-4, atol=1e-5)


def test_a_backbone_alone_gives_its_maps(predictors):
    predictor = predictors['segmentor']
    own = graph(Features, predictor)
    with torch.no_grad():
        outputs = own(images_of((64, 96), 1))
    assert own.names == tuple(f'features_{stride}' for stride in predictor.model.backbone.strides)
    for output, stride in zip(outputs, predictor.model.backbone.strides, strict=True):
        assert output.shape[2:] == (64 // stride, 96 // stride)


# ---- what is refused --------------------------------------------------------------------------------------


def test_what_has_no_graph_is_refused(predictors):
    from copy import deepcopy

    model = deepcopy(predictors['boxes'].model)
    model.bbox_head.test_cfg.nms.type = 'soft_nms'
    with pytest.raises(UserError, match='soft_nms'):
        graph_of(model, Wanted(('onnx',)))
    model = deepcopy(predictors['segmentor'].model)
    model.test_cfg.mode = 'slide'
    with pytest.raises(UserError, match='slide'):
        graph_of(model, Wanted(('onnx',)))
    model.backbone = torch.nn.Identity()
    with pytest.raises(UserError, match='Identity'):
        graph_of(model, Wanted(('onnx',), backbone=True))


# ---- comparisons ------------------------------------------------------------------------------------------


def test_a_difference_is_one_in_standard_deviations():
    want = torch.randn(1000) * 5 + 2
    got = want.clone()
    got[3] += 0.05
    found = compare_tensors(dict(map=want), dict(map=got))
    assert found.deviations == pytest.approx(0.05 / want.std(correction=0).item(), rel=1e-2)
    assert found.worst > 1
    assert compare_tensors(dict(map=want), dict(map=want * (1 + 1e-7))).worst == 0  # rounding
    assert compare_tensors(dict(map=want), dict(map=got[:5])).worst == float('inf')
    assert compare_tensors(dict(map=want), dict(map=got * float('nan'))).worst == float('inf')


def objects(*rows):
    table = torch.tensor(rows).reshape(-1, 6)
    return InstanceData(bboxes=table[:, :4], scores=table[:, 4], labels=table[:, 5].long())


def test_objects_are_matched_one_to_one():
    want = objects([0.0, 0, 9, 9, 0.9, 1], [20, 20, 30, 40, 0.5, 0])
    assert compare_objects(want, want[[1, 0]], 0.05) == (0.0, None, 2, '')
    moved = objects([0.0, 0, 9.3, 9, 0.9, 1], [20, 20, 30, 40, 0.5, 0])
    assert compare_objects(want, moved, 0.05).worst == pytest.approx(3, rel=1e-3)
    other = objects([0.0, 0, 9, 9, 0.9, 0], [20, 20, 30, 40, 0.5, 0])
    assert compare_objects(want, other, 0.05).worst == float('inf')
    for fewer, name in ((want[:1], 'missing'), (objects(), 'missing')):
        found = compare_objects(want, fewer, 0.05)
        assert found.worst == float('inf')
        assert name in found.text
        assert 'additional' in compare_objects(fewer, want, 0.05).text
    doubled = objects(*[[0.0, 0, 9, 9, 0.9, 1]] * 2, [20, 20, 30, 40, 0.5, 0])
    assert compare_objects(want, doubled, 0.05).worst == float('inf')
    assert compare_objects(want, want[:1], 0.4995).worst == 0  # as near to the threshold as scores may differ


@pytest.mark.parametrize('scale', [(128, 128), (800, 1333), (512, 2048), (96, 160)])
@pytest.mark.parametrize('largest', [None, 200, 640])
def test_six_sizes_are_compared_at_least_up_to_the_largest(scale, largest):
    sizes, own = sizes_to_compare(scale, largest)
    assert len({*sizes}) == len(sizes) >= 6
    assert own in sizes
    assert max(own) == (largest or max(scale))
    if largest:
        assert max(max(size) for size in sizes) == largest
    assert any(side % 32 for size in sizes for side in size)


def test_the_images_of_a_comparison_are_the_same_at_each_call():
    image = images_of((70, 90), 2)
    assert image.shape == (2, 70, 90, 3)
    assert torch.equal(image, images_of((70, 90), 2))
    assert 20 < np.std(image.numpy()) < 120
