"""mmcv's ops on torchvision's kernels: each against its definition, written out in plain Python and torch."""

import copy
import importlib
import importlib.util
import inspect
import math
import pickle
import subprocess
import sys
import textwrap
from pathlib import Path

import mmcv
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from mmcv.utils.ext_loader import check_ops_exist
from mmengine.config import Config
from torch.autograd import gradcheck

from vitdense import mmcv_ops
from vitdense.mmcv_ops import kernels

mmcv_ops.install()

if mmcv_ops.describe() == 'mmcv ops: compiled':
    pytest.skip('mmcv has compiled ops, these are not in use', allow_module_level=True)

ext = importlib.import_module('mmcv._ext')
ops = importlib.import_module('mmcv.ops')

HALVES = [torch.float16, torch.bfloat16]


# ---- the door ---------------------------------------------------------------------------------------------


LOAD = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location('mmcv_ops', sys.argv[1])
mmcv_ops = sys.modules['mmcv_ops'] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(mmcv_ops)
"""


def run_python(code: str, *args: object) -> list[str]:
    """The lines that `code` prints in a fresh interpreter, `mmcv_ops` alone loaded and not yet installed."""
    command = [sys.executable, '-W', 'ignore', '-c', LOAD + textwrap.dedent(code), mmcv_ops.__file__, *args]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_install_twice_is_once():
    before = list(sys.meta_path)
    mmcv_ops.install()
    assert sys.meta_path == before


def test_describe_names_the_ops_in_use():
    assert mmcv_ops.describe() == 'mmcv ops: torchvision kernels (mmcv came without its compiled ops)'


def test_install_neither_imports_mmcv_nor_needs_it():
    code = """
        mmcv_ops.install()
        print('mmcv' in sys.modules)
        sys.modules['mmcv'] = None  # from here on as if it were not installed
        print(mmcv_ops.describe())
    """
    assert run_python(code) == ['False', 'mmcv ops: none (mmcv is not installed)']


def test_compiled_ops_take_precedence(tmp_path):
    compiled = tmp_path / '_ext.py'
    compiled.write_text('def nms(): pass')
    code = """
        import mmcv
        mmcv.__path__.append(sys.argv[2])
        mmcv_ops.install()
        import mmcv._ext
        print(mmcv._ext.__file__)
        print(mmcv_ops.describe())
    """
    assert run_python(code, tmp_path) == [str(compiled), 'mmcv ops: compiled']


@pytest.mark.skipif(mmcv.__version__.startswith('2.2.'), reason='mmdet is imported after vitdense then')
def test_mmdet_imported_first_gets_the_ops_too():
    """`mmdet.utils`, the first import of mmdet's own tools, leaves a stub in the place of `roi_align` in the
    forks from 3.5; in others it, or the import of the structures, has failed, and is repeated.
    """
    code = """
        import contextlib
        with contextlib.suppress(ModuleNotFoundError):
            import mmdet.utils
            from mmdet.structures.mask import structures
        mmcv_ops.install()
        from mmdet.structures.mask import structures
        import mmcv.ops, numpy as np
        print(structures.roi_align is mmcv.ops.roi_align)
        masks = structures.BitmapMasks(np.ones((1, 8, 8), np.uint8), 8, 8)
        print(masks.crop_and_resize(np.array([[0, 0, 4, 4]]), (2, 3), np.array([0])).masks.shape)
    """
    assert run_python(code) == ['True', '(1, 2, 3)']


def test_the_module_behaves_like_any_other():
    assert check_ops_exist()
    assert importlib.util.find_spec('mmcv._ext') is ext.__spec__
    for name in ('__path__', '__file__', '__wrapped__', '__all__', '_repr_html_'):
        assert not hasattr(ext, name)
    assert pickle.loads(pickle.dumps(ext.nms)) is kernels.nms
    assert inspect.unwrap(ext) is ext
    assert ext.roi_pool_forward is ext.roi_pool_forward


def test_an_absent_op_is_named_when_it_is_called():
    with pytest.raises(NotImplementedError, match=r"'roi_pool_forward' needs mmcv compiled with ops"):
        ops.RoIPool(2)(torch.ones(1, 1, 4, 4), torch.tensor([[0.0, 0, 0, 2, 2]]))
    with pytest.raises(NotImplementedError, match=r'max.* needs mmcv compiled with ops'):
        ops.RoIAlign(2, pool_mode='max')(torch.ones(1, 1, 4, 4), torch.tensor([[0.0, 0, 0, 2, 2]]))


def test_build_information():
    assert ops.get_compiler_version() == 'n/a (torchvision kernels)'
    assert ops.get_compiling_cuda_version() == 'n/a (torchvision kernels)'


# ---- boxes ------------------------------------------------------------------------------------------------


def iou(a: list[float], b: list[float], offset: int) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0]) + offset
    height = min(a[3], b[3]) - max(a[1], b[1]) + offset
    if width <= 0 or height <= 0:
        return 0.0
    area_a, area_b = ((x2 - x1 + offset) * (y2 - y1 + offset) for x1, y1, x2, y2 in (a, b))
    return width * height / (area_a + area_b - width * height)


def nms_by_definition(boxes, scores, threshold, offset):
    kept = []
    for i in sorted(range(len(boxes)), key=lambda i: -scores[i]):
        if all(iou(boxes[i], boxes[j], offset) <= threshold for j in kept):
            kept.append(i)
    return kept


def soft_nms_by_definition(boxes, scores, threshold, sigma, min_score, method, offset):
    scores, left, kept = list(scores), set(range(len(boxes))), []
    while left:
        best = max(left, key=lambda i: scores[i])
        kept.append((best, scores[best]))
        left.remove(best)
        for i in list(left):
            overlap = iou(boxes[best], boxes[i], offset)
            if method == 'gaussian':
                scores[i] *= math.exp(-(overlap**2) / sigma)
            elif overlap >= threshold:
                scores[i] *= {'naive': 0, 'linear': 1 - overlap}[method]
            if scores[i] < min_score:
                left.remove(i)
    return kept


@st.composite
def boxes_and_scores(draw):
    """Up to 12 boxes with small whole coordinates, empty ones among them, and scores without ties."""
    corner, side = st.integers(0, 12), st.integers(0, 10)
    boxes = draw(st.lists(st.tuples(corner, corner, side, side), max_size=12))
    boxes = torch.tensor([(x, y, x + w, y + h) for x, y, w, h in boxes], dtype=torch.float64).reshape(-1, 4)
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    return boxes, torch.rand(len(boxes), dtype=torch.float64, generator=generator)


@settings(max_examples=200)
@given(boxes_and_scores(), st.floats(0.05, 0.95), st.sampled_from([0, 1]))
def test_nms_is_its_definition(found, threshold, offset):
    boxes, scores = found
    dets, kept = ops.nms(boxes, scores, threshold, offset=offset)
    assert kept.tolist() == nms_by_definition(boxes.tolist(), scores.tolist(), threshold, offset)
    assert torch.equal(dets, torch.cat([boxes, scores[:, None]], dim=1)[kept])


@settings(max_examples=200)
@given(
    boxes_and_scores(),
    st.sampled_from(['naive', 'linear', 'gaussian']),
    st.floats(0.05, 0.95),
    st.floats(0.1, 2),
    st.floats(0, 0.3),
    st.sampled_from([0, 1]),
)
def test_soft_nms_is_its_definition(found, method, threshold, sigma, min_score, offset):
    boxes, scores = found
    before = scores.clone()
    dets, kept = ops.soft_nms(boxes, scores, threshold, sigma, min_score, method, offset)
    expected = soft_nms_by_definition(
        boxes.tolist(), scores.tolist(), threshold, sigma, min_score, method, offset
    )
    assert set(kept.tolist()) == {index for index, _ in expected}
    if min_score > 0:  # else boxes whose score fell to 0 are a tie
        assert kept.tolist() == [index for index, _ in expected]
    assert torch.equal(dets[:, :4], boxes[kept])
    torch.testing.assert_close(dets[:, 4], scores.new_tensor([score for _, score in expected]))
    assert torch.equal(scores, before)


def test_at_the_threshold_nms_keeps_and_soft_nms_lowers():
    boxes, scores = torch.tensor([[0.0, 0, 4, 4], [0, 0, 4, 2]]), torch.tensor([0.8, 0.6])  # IoU 0.5
    assert ops.nms(boxes, scores, 0.5)[1].tolist() == [0, 1]
    for method, lowered in {'linear': 0.3, 'naive': 0.0}.items():
        dets, _ = ops.soft_nms(boxes, scores, 0.5, min_score=0, method=method)
        torch.testing.assert_close(dets[:, 4], torch.tensor([0.8, lowered]))


@pytest.mark.parametrize('offset', [0, 1])
def test_bbox_overlaps_is_its_definition(offset):
    boxes = torch.tensor([[0.0, 0, 10, 10], [5, 5, 15, 12], [3, 3, 3, 3], [20, 20, 25, 30]])
    expected = torch.tensor([[iou(a, b, offset) for b in boxes.tolist()] for a in boxes.tolist()])
    overlaps = ops.bbox_overlaps(boxes, boxes, offset=offset)
    torch.testing.assert_close(overlaps, expected)
    aligned = ops.bbox_overlaps(boxes, boxes.flip(0), aligned=True, offset=offset)
    torch.testing.assert_close(aligned, expected.flip(1).diag())
    over_first = ops.bbox_overlaps(boxes[:1], boxes[1:2], mode='iof', offset=offset)
    assert over_first.item() == pytest.approx((5 + offset) ** 2 / (10 + offset) ** 2)


@pytest.mark.parametrize('dtype', HALVES)
def test_boxes_in_half_precision(dtype):
    torch.manual_seed(0)
    corner = torch.randint(0, 30, (40, 2))
    boxes = torch.cat([corner, corner + torch.randint(1, 20, (40, 2))], dim=1).float()
    scores = torch.randperm(40).float() / 64  # exact in either
    dets, kept = ops.nms(boxes.to(dtype), scores.to(dtype), 0.3)
    assert dets.dtype == dtype
    assert torch.equal(kept, ops.nms(boxes, scores, 0.3)[1])
    dets, kept = ops.soft_nms(boxes.to(dtype), scores.to(dtype), 0.3)
    assert dets.dtype == dtype
    expected_dets, expected_kept = ops.soft_nms(boxes, scores, 0.3)
    assert torch.equal(kept, expected_kept)
    torch.testing.assert_close(dets.float(), expected_dets, atol=0, rtol=2**-8)


def test_no_boxes():
    boxes, scores = torch.zeros(0, 4), torch.zeros(0)
    for op in (ops.nms, ops.soft_nms):
        dets, kept = op(boxes, scores, 0.5)
        assert dets.shape == (0, 5)
        assert kept.shape == (0,)
        assert kept.dtype == torch.int64


# ---- RoIAlign ---------------------------------------------------------------------------------------------


def bilinear(image, y, x):
    """Sample an image (C, H, W) at one point; 0 where the point is more than a pixel outside."""
    height, width = image.shape[1:]
    if not (-1 <= y <= height and -1 <= x <= width):
        return image.new_zeros(len(image))
    y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
    top, left = int(y), int(x)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    dy, dx = y - top, x - left
    upper = (1 - dx) * image[:, top, left] + dx * image[:, top, right]
    lower = (1 - dx) * image[:, bottom, left] + dx * image[:, bottom, right]
    return (1 - dy) * upper + dy * lower


def roi_align_by_definition(images, rois, bins, scale, ratio, aligned):
    rows, columns = bins
    output = images.new_zeros(len(rois), images.shape[1], rows, columns)
    for k, (index, *box) in enumerate(rois.tolist()):
        x1, y1, x2, y2 = (scale * side - (0.5 if aligned else 0) for side in box)
        width, height = x2 - x1, y2 - y1
        if not aligned:
            width, height = max(width, 1), max(height, 1)
        bin_height, bin_width = height / rows, width / columns
        samples_y, samples_x = ratio or math.ceil(bin_height), ratio or math.ceil(bin_width)
        for i in range(rows):
            for j in range(columns):
                points = [
                    (
                        y1 + (i + (a + 0.5) / samples_y) * bin_height,
                        x1 + (j + (b + 0.5) / samples_x) * bin_width,
                    )
                    for a in range(samples_y)
                    for b in range(samples_x)
                ]
                if points:
                    values = [bilinear(images[int(index)], y, x) for y, x in points]
                    output[k, :, i, j] = torch.stack(values).mean(0)
    return output


ROIS = [
    [0, 2.3, 1.7, 17.1, 9.4],
    [1, 0.0, 0.0, 19.6, 13.9],
    [1, -6.0, -5.0, 4.2, 30.0],  # reaches over the border
    [0, 9.0, 4.0, 9.2, 4.1],  # smaller than a pixel
    [0, 5.0, 5.0, 5.0, 5.0],  # empty
]


@pytest.mark.parametrize('aligned', [True, False])
@pytest.mark.parametrize('ratio', [0, 2])
@pytest.mark.parametrize('channels_last', [False, True])
def test_roi_align_is_the_mean_of_bilinear_samples(aligned, ratio, channels_last):
    torch.manual_seed(0)
    images, rois = torch.randn(2, 3, 7, 10, dtype=torch.float64), torch.tensor(ROIS, dtype=torch.float64)
    expected = roi_align_by_definition(images, rois, (3, 2), 0.5, ratio, aligned)
    if channels_last:
        images = images.to(memory_format=torch.channels_last)
    layer = ops.RoIAlign((3, 2), spatial_scale=0.5, sampling_ratio=ratio, aligned=aligned)
    torch.testing.assert_close(layer(images, rois), expected)


@pytest.mark.parametrize('aligned', [True, False])
@pytest.mark.parametrize('ratio', [0, 2])
def test_roi_align_gradient(aligned, ratio):
    torch.manual_seed(0)
    images = torch.randn(2, 2, 7, 10, dtype=torch.float64, requires_grad=True)
    rois = torch.tensor(ROIS, dtype=torch.float64)
    layer = ops.RoIAlign((3, 2), spatial_scale=0.5, sampling_ratio=ratio, aligned=aligned)
    assert gradcheck(lambda images: layer(images, rois), images)


@pytest.mark.parametrize('dtype', HALVES)
def test_roi_align_in_half_precision(dtype):
    """Within one rounding of float32, whether the RoIs come in float32 or not."""
    torch.manual_seed(0)
    layer = ops.RoIAlign(3, spatial_scale=0.5)
    rois = torch.tensor(ROIS).to(dtype)
    half = torch.randn(2, 3, 7, 10).to(dtype).requires_grad_()
    wide = half.detach().float().requires_grad_()
    expected = layer(wide, rois.float())
    expected.sum().backward()
    for given_rois in (rois, rois.float()):
        half.grad = None
        output = layer(half, given_rois)
        output.sum().backward()
        assert output.dtype == half.grad.dtype == dtype
        assert torch.equal(output, expected.to(dtype))
        assert torch.equal(half.grad, wide.grad.to(dtype))


def test_roi_align_without_rois():
    images = torch.randn(2, 3, 7, 10, requires_grad=True)
    output = ops.RoIAlign((3, 2))(images, torch.zeros(0, 5))
    assert output.shape == (0, 3, 3, 2)
    output.sum().backward()
    assert torch.equal(images.grad, torch.zeros_like(images))


# ---- focal loss -------------------------------------------------------------------------------------------


def focal_loss_by_definition(logits, target, gamma, alpha, weight=None):
    """-alpha (1 - p)^gamma log p for the target class, -(1 - alpha) p^gamma log(1 - p) for every other."""
    p = logits.sigmoid()
    positive = F.one_hot(target, logits.size(1) + 1)[:, :-1].bool()
    loss = torch.where(positive, -alpha * (1 - p) ** gamma * p.log(), -(1 - alpha) * p**gamma * (1 - p).log())
    if weight is not None:
        loss = loss * torch.cat([weight, weight.new_ones(1)])[target][:, None]
    return loss


@pytest.fixture
def scored():
    torch.manual_seed(0)
    logits = torch.randn(6, 4, dtype=torch.float64, requires_grad=True)
    return logits, torch.tensor([0, 3, 4, 1, 4, 2]), torch.rand(4, dtype=torch.float64)  # 4 is background


@pytest.mark.parametrize(('gamma', 'alpha'), [(2.0, 0.25), (1.5, 0.7), (0.0, 0.5)])
@pytest.mark.parametrize('weighted', [False, True])
@pytest.mark.parametrize('reduction', ['none', 'mean', 'sum'])
def test_focal_loss_is_its_definition(scored, gamma, alpha, weighted, reduction):
    logits, target, weight = scored
    weight = weight if weighted else None
    loss = ops.sigmoid_focal_loss(logits, target, gamma, alpha, weight, reduction)
    expected = focal_loss_by_definition(logits, target, gamma, alpha, weight)
    if reduction != 'none':
        expected = expected.sum() / (len(logits) if reduction == 'mean' else 1)
    torch.testing.assert_close(loss, expected)
    (grad,), (expected_grad,) = (torch.autograd.grad(x.sum(), logits) for x in (loss, expected))
    torch.testing.assert_close(grad, expected_grad)
    assert gradcheck(lambda x: ops.sigmoid_focal_loss(x, target, gamma, alpha, weight, reduction), logits)


@pytest.mark.parametrize('dtype', HALVES)
def test_focal_loss_in_half_precision(scored, dtype):
    logits, target, _ = scored
    half = logits.detach().to(dtype).requires_grad_()
    wide = half.detach().float().requires_grad_()
    for x in (half, wide):
        ops.sigmoid_focal_loss(x, target, 2.0, 0.25, None, 'none').sum().backward()
    assert half.grad.dtype == dtype
    assert torch.equal(half.grad, wide.grad.to(dtype))


def test_focal_loss_of_certain_answers_is_finite():
    logits = torch.tensor([[-200.0, 200.0], [200.0, -200.0]], requires_grad=True)
    loss = ops.sigmoid_focal_loss(logits, torch.tensor([0, 0]), 2.0, 0.25, None, 'none')
    torch.testing.assert_close(loss, torch.tensor([[50.0, 150.0], [0.0, 0.0]]))
    loss.sum().backward()
    torch.testing.assert_close(logits.grad, torch.tensor([[-0.25, 0.75], [0.0, 0.0]]))


def test_focal_loss_without_anchors():
    logits = torch.zeros(0, 4, requires_grad=True)
    loss = ops.sigmoid_focal_loss(logits, torch.zeros(0, dtype=torch.int64), 2.0, 0.25, None, 'sum')
    loss.backward()
    assert loss == 0
    assert logits.grad.shape == (0, 4)


# ---- whole detectors --------------------------------------------------------------------------------------


@pytest.fixture(scope='module')
def build_detector():
    """A detector of MMDetection from its shipped config, with a ResNet-18 and without pretrained weights."""
    from mmdet.registry import MODELS
    from mmdet.utils import register_all_modules

    register_all_modules()
    configs = Path(importlib.util.find_spec('mmdet').origin).parent / '.mim' / 'configs'

    def build(path):
        torch.manual_seed(0)
        model = Config.fromfile(configs / path).model
        model.backbone.update(depth=18, init_cfg=None)
        model.neck.in_channels = [64, 128, 256, 512]
        rcnn = model.test_cfg.get('rcnn', model.test_cfg)
        rcnn.update(score_thr=0.0, max_per_img=5)  # an untrained detector is sure of nothing
        model = MODELS.build(model)
        model.init_weights()
        return model

    return build


@pytest.mark.parametrize(
    ('path', 'losses'),
    [
        ('retinanet/retinanet_r50_fpn_1x_coco.py', {'loss_cls', 'loss_bbox'}),
        (
            'mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py',
            {'loss_rpn_cls', 'loss_rpn_bbox', 'loss_cls', 'acc', 'loss_bbox', 'loss_mask'},
        ),
    ],
)
def test_detector_learns_and_predicts(build_detector, path, losses):
    from mmdet.testing import demo_mm_inputs

    model = build_detector(path)
    data = demo_mm_inputs(1, (3, 96, 128), num_items=[2], with_mask=True)

    model.train()
    found = model(**model.data_preprocessor(copy.deepcopy(data), training=True), mode='loss')
    assert found.keys() == losses
    loss, _ = model.parse_losses(found)
    loss.backward()
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name

    model.eval()
    with torch.no_grad():
        (sample,) = model(**model.data_preprocessor(data), mode='predict')
    found = sample.pred_instances
    assert found.bboxes.shape == (5, 4)
    assert found.bboxes.isfinite().all()
    assert (found.scores[:-1] >= found.scores[1:]).all()
    if 'loss_mask' in losses:
        assert found.masks.shape == (5, *sample.ori_shape)
