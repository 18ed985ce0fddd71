"""Learning curves of published trainings, beside which an early validation on COCO or ADE20K can be seen.

They are read from the logs of EMO-5M (zhangzjn/EMO@703e0b7, resources/), a light transformer of 5.1 M
parameters that starts from ImageNet weights. A run of another backbone need not follow them; one that is far
below after the first validations has most likely a fault.
"""

from typing import NamedTuple

from ..show.scores import number
from .charts import Series, line
from .facts import RunFacts

GREY = '#888888'


class Published(NamedTuple):
    """The scores of a training, in equal steps of its schedule.

    head: by which a run is recognized, the class of its model or of its segmentation head.
    score: the end of the metric's name; `unit` is that of its values here.
    step, unit_of_step: how long it trained between two of them.
    """

    name: str
    head: str
    data: str
    score: str
    values: tuple[float, ...]
    unit: float
    step: int
    unit_of_step: str


class Data(NamedTuple):
    """By what the data of a run are recognized: others of these classes have another number of images."""

    dataset: str
    classes: int
    first: str
    last: str
    validated: int


DATA = {
    'COCO': Data('CocoDataset', 80, 'person', 'toothbrush', 5000),
    'ADE20K': Data('ADE20KDataset', 150, 'wall', 'flag', 2000),
}
# fmt: off
CURVES = (
    Published(
        'RetinaNet on EMO-5M', 'RetinaNet', 'COCO', 'bbox_mAP',
        (23.7, 28.1, 31.0, 33.0, 34.6, 35.9, 36.5, 37.5, 38.3, 38.5, 38.9, 38.9), 0.01, 1, 'epochs',
    ),
    Published(
        'DeepLabv3 on EMO-5M', 'ASPPHead', 'ADE20K', 'mIoU',
        (30.25, 34.12, 35.20, 36.72, 37.21, 37.35, 37.74, 37.71, 37.83, 37.80), 1.0, 8000, 'iterations',
    ),
    Published(
        'PSPNet on EMO-5M', 'PSPHead', 'ADE20K', 'mIoU',
        (30.48, 33.82, 35.36, 36.25, 36.75, 37.38, 37.22, 37.39, 38.23, 38.16), 1.0, 8000, 'iterations',
    ),
)
# fmt: on


def published_curve(facts: RunFacts) -> Published | None:
    """That of the same head on the same data, if there is one."""
    if not facts.trains or facts.total < 1:
        return None
    kinds = {_kind(facts, 'model'), _kind(facts, 'model.decode_head')}
    return next((one for one in CURVES if one.head in kinds and _is_of(facts, DATA[one.data])), None)


def published_series(curve: Published, facts: RunFacts) -> Series:
    """The curve over the run's iterations: its schedule is drawn as long as the run's."""
    count = len(curve.values)
    points = {
        round(facts.total * (index + 1) / count): value * curve.unit
        for index, value in enumerate(curve.values)
    }
    return line(f'{curve.name}, published {_label(curve)}', points, GREY, dashed=True)


def published_sentence(curve: Published, facts: RunFacts) -> str:
    """How the run stands beside the curve; empty before its first point, or if another score is watched."""
    evaluated = facts.evaluated
    if evaluated is None or not evaluated.monitored.endswith(curve.score) or not facts.validations:
        return ''
    iteration, score = facts.validations[-1]
    count = len(curve.values)
    share = iteration / facts.total
    index = min(int(share * count + 1e-6), count)
    if index == 0:
        return ''
    published = number(curve.values[index - 1] * curve.unit)
    there = f'{curve.step * index} of {curve.step * count} {curve.unit_of_step}'
    return (
        f'After {100 * share:.0f} % of its schedule this run has a {_label(curve)} of {number(score)}. '
        f'{curve.name}, from ImageNet weights, had {published} after {there} '
        f'({100 * index / count:.0f} %), as the log of its authors says. Another backbone need not follow '
        f'it; a run that is far below it early on most likely has a fault.'
    )


def _label(curve: Published) -> str:
    return curve.score.split('_')[-1]


def _kind(facts: RunFacts, place: str) -> str:
    """The class of a part of the config, without its module."""
    return facts.settings.get(f'{place}.type', '').split('.')[-1]


def _is_of(facts: RunFacts, data: Data) -> bool:
    return (
        _kind(facts, 'train_dataloader.dataset') == data.dataset
        and len(facts.classes) == data.classes
        and (facts.classes[0], facts.classes[-1]) == (data.first, data.last)
        and facts.data.get('val', {}).get('images') == data.validated
    )
