"""The picture of several images: titles, notes and a legend of the classes that occur."""

import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from mmengine.structures import InstanceData, PixelData

from vitdense.show.colours import distinct_colours
from vitdense.show.fonts import Labels, drawable_labels
from vitdense.show.sheet import LEGEND, Shown, _sheet, save_sheet

NAMES = drawable_labels([f'name {number}' for number in range(40)])
COLOURS = distinct_colours(40)


def label_map(*values):
    """A label map of equal rows."""
    return PixelData(data=torch.tensor(values).view(1, -1, 1).expand(1, len(values), 8))


def instances(labels, **more):
    boxes = torch.tensor([[2.0, 2.0, 6.0, 6.0]]).expand(len(labels), 4)
    return InstanceData(bboxes=boxes, labels=torch.tensor(labels, dtype=torch.long), **more)


def shown(truth, prediction, height=300, width=400):
    return Shown(np.full((height, width, 3), 128, np.uint8), 1.0, truth, prediction)


@pytest.fixture
def sheet():
    """The figure of some images, drawn."""

    def draw(*images, names=NAMES):
        figure = _sheet(list(images), names, COLOURS, 0.4)
        figure.canvas.draw()
        return figure

    yield draw
    plt.close('all')


def titles(figure):
    return [text.get_text() for text in figure.texts]


def legend(figure):
    """Names in reading order."""
    texts = [(text.get_window_extent(), text.get_text()) for text in figure.legends[0].get_texts()]
    return [text for place, text in sorted(texts, key=lambda found: (-round(found[0].y0, -1), found[0].x0))]


def notes(figure):
    return [[text.get_text() for text in ax.texts] for ax in figure.axes]


def test_the_legend_has_the_classes_that_occur_by_their_share(sheet):
    one = shown(label_map(3, 3, 3, 255, 255, 255, 255, 1), label_map(3, 3, 3, 3, 3, 0, 0, 7))
    assert legend(sheet(one)) == ['name 3', 'name 0', 'name 1', 'name 7']


def test_the_legend_of_many_classes_is_cut_and_stays_in_the_picture(sheet):
    figure = sheet(*[shown(label_map(*range(40)), label_map(*range(30)))] * 6)
    names = legend(figure)
    assert names == [f'name {number}' for number in range(LEGEND)] + [f'and {40 - LEGEND} more']
    place = figure.legends[0].get_window_extent()
    assert place.x0 >= 0
    assert place.y0 >= 0
    assert place.x1 <= figure.bbox.x1
    assert all(ax.get_window_extent().y0 >= place.y1 for ax in figure.axes)


def test_the_legend_has_the_colours_of_the_classes_and_any_name(sheet):
    names = Labels(['_hidden', r'$\frac', *NAMES.names[2:]], NAMES.families, {})
    figure = sheet(shown(label_map(0, 0, 1), label_map(0, 1, 0)), names=names)
    assert legend(figure) == ['_hidden', r'$\frac']
    colours = [handle.get_facecolor()[:3] for handle in figure.legends[0].legend_handles]
    assert np.round(np.array(colours) * 255).tolist() == [list(colour) for colour in COLOURS[:2]]


def test_a_row_has_three_pairs_under_their_titles(sheet):
    figure = sheet(*[shown(instances([1]), instances([1], scores=torch.tensor([0.5])))] * 5)
    assert titles(figure) == ['ground truth', 'prediction'] * 3
    assert len(figure.axes) == 10
    assert notes(figure)[:2] == [['name 1'], ['name 1 0.50']]
    width, height = figure.get_size_inches()
    assert 10 < width < 14
    assert 3 < height < 5


def test_an_image_without_objects_or_predictions_says_so(sheet):
    figure = sheet(shown(instances([]), instances([])), shown(instances([1]), instances([])))
    assert notes(figure) == [
        ['no object'],
        ['none of score 0.4 or more'],
        ['name 1'],
        ['none of score 0.4 or more'],
    ]


@pytest.mark.parametrize('truth', [None, instances([])], ids=['no labels', 'labels of nothing'])
def test_without_ground_truth_the_predictions_stand_alone(sheet, truth):
    figure = sheet(*[shown(truth, instances([1], scores=torch.tensor([0.5])))] * 2)
    assert titles(figure) == ['prediction'] * 2
    assert notes(figure) == [['name 1 0.50']] * 2
    assert legend(figure) == ['name 1']


@pytest.mark.parametrize('size', [(1, 1), (1, 900), (900, 1), (512, 16), (7, 5)])
def test_an_image_of_any_shape_keeps_its_shape_inside_the_picture(sheet, size, tmp_path):
    one = shown(label_map(0), label_map(0), *size)
    figure = sheet(one)
    box = figure.axes[0].get_window_extent()
    assert max(box.height, 1) / max(box.width, 1) == pytest.approx(size[0] / size[1], rel=0.6, abs=2)
    assert box.x0 >= 0
    assert box.y0 >= 0
    assert box.x1 <= figure.bbox.x1
    save_sheet(tmp_path / 'sheet.png', [one], NAMES, COLOURS, 0.4)
    assert (tmp_path / 'sheet.png').stat().st_size > 1000
