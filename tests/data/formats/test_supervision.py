"""Boxes and classes are those that supervision reads from the same folder."""

import drawn_folders as drawn
import numpy as np
import pytest

from vitdense.data.formats.find import read_folder

supervision = pytest.importorskip('supervision')


def theirs(form, folder):
    read = supervision.DetectionDataset
    if form == 'coco':
        return read.from_coco(f'{folder}/images', f'{folder}/result.json')
    if form == 'yolo':
        return read.from_yolo(f'{folder}/images', f'{folder}/labels', f'{folder}/data.yaml')
    return read.from_pascal_voc(f'{folder}/JPEGImages', f'{folder}/Annotations')


@pytest.mark.parametrize('form', ['coco', 'yolo', 'voc'])
def test_boxes_are_those_of_supervision(form, tmp_path):
    folder = getattr(drawn, form)(tmp_path / 'data')
    found, other = read_folder(folder), theirs(form, folder)
    ours = {record.image.name: record for record in found.records}
    assert len(other) == len(ours) > 0
    for path, _, detections in other:
        record = ours[path.rsplit('/', 1)[-1]]
        boxes = np.array([one.box for one in record.instances])
        corners = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], 1)
        names = [found.classes[one.label] for one in record.instances]
        order = np.lexsort(corners.T)
        expected = np.lexsort(detections.xyxy.T)
        np.testing.assert_allclose(corners[order], detections.xyxy[expected], atol=2e-3)
        assert [names[i] for i in order] == [other.classes[detections.class_id[i]] for i in expected]
