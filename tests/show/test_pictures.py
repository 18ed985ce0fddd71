"""Which images are drawn, of what pixels, and which of the predictions."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData, PixelData
from mmseg.structures import SegDataSample
from PIL import Image

from vitdense.engine.averaging import averaged
from vitdense.show.pictures import SIDE, _pixels, _prediction, chosen, draw_predictions, truth_of
from vitdense.show.sheet import amounts_in


def instances(boxes, labels, **more):
    boxes = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    return InstanceData(bboxes=boxes, labels=torch.tensor(labels, dtype=torch.long), **more)


class Objects:
    """A dataset whose images have objects of these classes; it notes which of them are read."""

    def __init__(self, classes, names=('a', 'b', 'c', 'd', 'e', 'f'), labelled=True, **meta):
        self.classes, self.labelled, self.meta = classes, labelled, meta
        self.metainfo = dict(classes=names)
        self.read = []

    def __len__(self):
        return len(self.classes)

    def __getitem__(self, index):
        self.read.append(index)
        kinds = self.classes[index]
        sample = DetDataSample(
            metainfo=dict(img_id=index, ori_shape=(40, 60), img_shape=(40, 60), **self.meta)
        )
        if self.labelled:
            sample.gt_instances = instances([[5, 5, 20, 20]] * len(kinds), kinds)
        else:
            sample.gt_instances = InstanceData()  # as MMDetection packs an image without annotations
        return dict(inputs=torch.full((3, 40, 60), 100, dtype=torch.uint8), data_samples=sample)


class Detector(torch.nn.Module):
    """Finds an object of the first class, if any."""

    def __init__(self, found=1):
        super().__init__()
        self.found = found

    def test_step(self, batch):
        (sample,) = batch['data_samples']
        boxes, labels = [[5, 5, 20, 20]] * self.found, [0] * self.found
        sample.pred_instances = instances(boxes, labels, scores=torch.full((self.found,), 0.9))
        return [sample]


def indices(dataset, classes=6):
    return [item['data_samples'].img_id for item in chosen(dataset, classes)]


# ---- which images ------------------------------------------------------------------------------------------


def test_images_are_spread_over_the_dataset():
    assert indices(Objects([[number // 10] for number in range(60)])) == [0, 10, 20, 30, 40, 50]
    assert indices(Objects([[0]] * 3)) == [0, 1, 2]
    assert indices(Objects([[]])) == [0]
    assert indices(Objects([])) == []


def test_an_image_with_objects_is_drawn_rather_than_an_empty_one():
    classes = [[] for _ in range(60)]
    classes[5], classes[27], classes[55] = [0], [0], [0]
    assert indices(Objects(classes)) == [5, 10, 27, 30, 40, 55]


def test_an_image_with_a_class_that_is_not_drawn_yet_is_preferred():
    classes = [[0] for _ in range(60)]
    classes[12], classes[47] = [1], [2]
    assert indices(Objects(classes)) == [0, 12, 20, 30, 47, 50]


def test_few_images_are_read_and_the_choice_is_always_the_same():
    dataset = Objects([[0]] * 5000)
    first = indices(dataset)
    assert len(dataset.read) <= 24
    assert indices(dataset) == first


def test_unlabelled_pixels_are_no_class():
    assert amounts_in(PixelData(data=torch.tensor([[[0, 0, 255, 3, -1]]])), 4) == {0: 2, 3: 1}


# ---- of what pixels ----------------------------------------------------------------------------------------


def sample_of(path, height, width):
    return DetDataSample(
        metainfo=dict(img_path=str(path), ori_shape=(height, width), img_shape=(height, width))
    )


INPUTS = torch.stack([torch.full((4, 6), value) for value in (30, 20, 10)])  # BGR


@pytest.mark.parametrize('mode', ['RGB', 'L', 'RGBA', 'P', 'I;16'])
def test_the_files_own_pixels_are_drawn_whatever_the_pipeline_did(tmp_path, mode):
    path = tmp_path / 'image.png'
    if mode == 'I;16':
        cv2.imwrite(str(path), np.full((4, 6), 200 * 257, np.uint16))
    else:
        Image.new('RGB', (6, 4), (200, 200, 200)).convert(mode).save(path)
    image = _pixels(sample_of(path, 4, 6), INPUTS[:, :2, :3])
    assert image.shape == (4, 6, 3)
    assert np.abs(image.astype(int) - 200).max() < 5  # of a palette of 216


def test_pixels_are_drawn_as_a_person_sees_them(tmp_path):
    Image.new('RGBA', (6, 4), (200, 0, 0, 0)).save(tmp_path / 'transparent.png')
    cv2.imwrite(str(tmp_path / '12 bits.png'), np.full((4, 6), 200 * 16, np.uint16))
    assert (_pixels(sample_of(tmp_path / 'transparent.png', 4, 6), INPUTS) == 255).all()
    assert (_pixels(sample_of(tmp_path / '12 bits.png', 4, 6), INPUTS) == 200).all()


@pytest.mark.parametrize('turned', [False, True], ids=['as stored', 'as its EXIF says'])
def test_an_image_is_turned_as_the_pipeline_turned_it(tmp_path, turned):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new('RGB', (6, 4), (200, 200, 200)).save(tmp_path / 'image.jpg', exif=exif)
    height, width = (6, 4) if turned else (4, 6)
    inputs = INPUTS.transpose(1, 2) if turned else INPUTS
    image = _pixels(sample_of(tmp_path / 'image.jpg', height, width), inputs)
    assert image.shape == (height, width, 3)
    assert image[0, 0].tolist() == pytest.approx([200, 200, 200] if turned else [10, 20, 30], abs=2)


@pytest.mark.parametrize('kind', ['missing', 'no image', 'no path'])
def test_without_a_readable_file_the_models_input_is_drawn_at_the_images_size(tmp_path, kind):
    (tmp_path / 'no image').write_text('nothing')
    sample = sample_of(tmp_path / kind, 8, 12)
    sample.set_metainfo(dict(img_shape=(4, 6)))
    if kind == 'no path':
        del sample.img_path
    padded = torch.nn.functional.pad(INPUTS, (0, 5, 0, 3))
    image = _pixels(sample, padded)
    assert image.shape == (8, 12, 3)
    assert (image == (10, 20, 30)).all()  # RGB, without the padding


def test_inputs_of_one_channel_or_of_16_bits_are_drawn_too():
    sample = DetDataSample(metainfo=dict(ori_shape=(4, 6)))
    assert (_pixels(sample, torch.full((1, 4, 6), 77)) == 77).all()
    deep = torch.stack([torch.full((4, 6), value) for value in (0, 20000, 40000)])
    assert _pixels(sample, deep)[0, 0].tolist() == [255, 127, 0]


# ---- which answers -----------------------------------------------------------------------------------------


def test_of_the_predictions_the_confident_ones_are_drawn_and_of_two_on_one_thing_the_better():
    places = [[0, 0, 9, 9], [20, 0, 29, 9], [40, 0, 49, 9], [41, 0, 50, 9]]
    scores = torch.tensor([0.39, 0.41, 0.9, 0.8])
    sample = DetDataSample(
        gt_instances=instances([[0, 0, 9, 9]] * 2, [0, 1]),
        pred_instances=instances(places, [0, 1, 2, 3], scores=scores),
    )
    assert truth_of(sample).labels.tolist() == [0, 1]
    assert _prediction(sample, 0.4).labels.tolist() == [2, 1]  # the surest first


def test_a_segmentors_answers_are_label_maps():
    maps = [PixelData(data=torch.full((1, 4, 4), value)) for value in (0, 1)]
    sample = SegDataSample(gt_sem_seg=maps[0], pred_sem_seg=maps[1])
    assert (truth_of(sample).data == 0).all()
    assert (_prediction(sample, 0.4).data == 1).all()


def test_a_sample_without_labels_has_no_truth():
    assert truth_of(SegDataSample()) is None
    assert truth_of(DetDataSample()) is None
    assert truth_of(DetDataSample(gt_instances=InstanceData())) is None


# ---- together ----------------------------------------------------------------------------------------------


def draw(tmp_path, dataset, found=1):
    remark = draw_predictions(SimpleNamespace(model=Detector(found), hooks=[]), dataset, tmp_path / 'out.png')
    return remark, cv2.imread(str(tmp_path / 'out.png'))


def test_a_test_set_without_labels_is_drawn_without_ground_truth(tmp_path):
    remark, alone = draw(tmp_path, Objects([[]] * 3, labelled=False))
    assert remark == ''
    _, pairs = draw(tmp_path, Objects([[0]] * 3))
    assert alone.shape[1] < pairs.shape[1]
    assert alone.std() > 10


def test_the_weights_that_were_validated_are_drawn(make_runner):
    """Of an average, and not those of the last step."""
    runner = make_runner(custom_hooks=[dict(type='EMAHook', momentum=0.1)])
    runner.train()
    last = {name: value.clone() for name, value in runner.model.state_dict().items()}
    saved = torch.load(f'{runner.work_dir}/iter_4.pth', weights_only=False)['state_dict']
    with averaged(runner):
        assert all(value.equal(saved[name]) for name, value in runner.model.state_dict().items())
    now = runner.model.state_dict()
    assert all(now[name].equal(value) for name, value in last.items())
    assert any(not saved[name].equal(value) for name, value in last.items())


@pytest.mark.parametrize('found', [0, 1])
def test_one_image_is_enough(tmp_path, found):
    _, picture = draw(tmp_path, Objects([[0]]), found)
    assert min(picture.shape[:2]) > SIDE / 2


def test_150_classes_are_drawn(tmp_path):
    names = [f'class of a long name {number}' for number in range(150)]
    remark, picture = draw(tmp_path, Objects([list(range(number, number + 9)) for number in range(6)], names))
    assert remark == ''
    assert picture.std() > 10


def test_names_that_no_font_can_draw_are_told(tmp_path):
    remark, _ = draw(tmp_path, Objects([[0]], ('\U000f1000', 'b')))
    assert remark.endswith('classes are numbered: 0 \U000f1000')
