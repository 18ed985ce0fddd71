"""A run on COCO or ADE20K is seen beside a published one of the same head; no other run is."""

import json

import pytest
from tiny_runs import scored, some_facts

from vitdense.engine.work_dir import PAGE
from vitdense.report.facts import write_facts
from vitdense.report.page import write_page
from vitdense.report.published import CURVES, DATA, published_curve, published_sentence, published_series

COCO = ['person', *(f'class {i}' for i in range(78)), 'toothbrush']
ADE = ['wall', *(f'class {i}' for i in range(148)), 'flag']


def on_coco(**changes):
    """A RetinaNet after the first two of twelve epochs."""
    words = dict(
        classes=COCO,
        palette=[[0, 0, 255]] * 80,
        total=12_000,
        iteration=2000,
        state='running',
        settings={
            'model.type': 'mmdet.models.RetinaNet',
            'train_dataloader.dataset.type': 'mmdet.datasets.CocoDataset',
        },
        data=dict(val=dict(images=5000, looked=5000, kind='objects', classes={}, boxes=[], sizes=[])),
        validations=[[1000, 0.21], [2000, 0.26]],
        evaluated=scored(0.26, iteration=2000),
    )
    return some_facts(**(words | changes))


def on_ade(head, **changes):
    """A segmentor after 16 000 of 160 000 iterations."""
    words = dict(
        classes=ADE,
        total=160_000,
        segments=True,
        settings={
            'model.type': 'EncoderDecoder',
            'model.decode_head.type': f'mmseg.models.{head}',
            'train_dataloader.dataset.type': 'ADE20KDataset',
        },
        data=dict(val=dict(images=2000)),
        validations=[[16_000, 29.5]],
        evaluated=scored(29.5, scores=dict(mIoU=29.5), monitored='mIoU'),
    )
    return some_facts(**(words | changes))


def test_the_curves_are_as_long_as_their_schedules():
    assert [(len(one.values), one.step) for one in CURVES] == [(12, 1), (10, 8000), (10, 8000)]
    assert {one.data for one in CURVES} == DATA.keys()
    assert all(20 < value < 40 for one in CURVES for value in one.values)


@pytest.mark.parametrize(
    ('facts', 'name'),
    [
        (on_coco(), 'RetinaNet on EMO-5M'),
        (on_ade('ASPPHead'), 'DeepLabv3 on EMO-5M'),
        (on_ade('PSPHead'), 'PSPNet on EMO-5M'),
    ],
)
def test_a_run_is_seen_beside_the_same_head_on_the_same_data(facts, name):
    assert published_curve(facts).name == name


@pytest.mark.parametrize(
    'facts',
    [
        on_coco(classes=['boat', 'fish']),
        on_coco(data={}),
        on_coco(data=dict(val=dict(images=80))),
        on_coco(settings=on_coco().settings | {'model.type': 'mmdet.models.MaskRCNN'}),
        on_coco(settings=on_coco().settings | {'train_dataloader.dataset.type': 'RepeatDataset'}),
        on_coco(trains=False),
        on_coco(settings={}),
        on_ade('UPerHead'),
        on_ade('PSPHead', data=dict(val=dict(images=20))),
    ],
)
def test_another_run_is_not(facts, tmp_path):
    assert published_curve(facts) is None


def test_its_points_are_at_the_same_shares_of_the_runs_schedule():
    series = published_series(CURVES[0], on_coco())
    assert series.dashed
    assert series.x == tuple(1000.0 * epoch for epoch in range(1, 13))
    assert series.y[:2] == pytest.approx((0.237, 0.281))
    series = published_series(CURVES[2], on_ade('PSPHead'))
    assert series.x[:2] == (16_000, 32_000)
    assert series.y[0] == pytest.approx(30.48)


@pytest.mark.parametrize(
    ('facts', 'numbers'),
    [
        (on_coco(), ('17 %', '0.26', '0.281', '2 of 12 epochs')),
        (on_coco(validations=[[1000, 0.21]]), ('8 %', '0.21', '0.237', '1 of 12 epochs')),
        (on_coco(validations=[[12_000, 0.41]]), ('100 %', '0.41', '0.389', '12 of 12 epochs')),
        (on_coco(total=14_000, validations=[[2000, 0.21]]), ('14 %', '0.237', '1 of 12 epochs (8 %)')),
        (on_ade('PSPHead'), ('10 %', '29.5', '30.48', '8000 of 80000 iterations')),
    ],
)
def test_the_sentence_has_both_scores_and_both_places(facts, numbers):
    text = published_sentence(published_curve(facts), facts)
    assert [one for one in numbers if one not in text] == []


@pytest.mark.parametrize(
    'facts',
    [
        on_coco(validations=[[500, 0.1]]),  # before its first point
        on_coco(validations=[]),
        on_coco(evaluated=None),
        on_coco(evaluated=scored(0.5, monitored='coco/bbox_mAP_50')),
    ],
)
def test_there_is_none_where_there_is_nothing_to_compare(facts):
    assert published_sentence(published_curve(facts), facts) == ''


def log(folder, facts):
    """The run's losses and validations, as MMEngine's LocalVisBackend writes them."""
    file = folder / '20300101_000000/vis_data/scalars.json'
    file.parent.mkdir(parents=True)
    records = [
        dict(loss=1.2 - 0.2 * step / 2000, lr=1e-4, step=step) for step in range(50, facts.iteration + 1, 50)
    ]
    for epoch, (step, score) in enumerate(facts.validations, 1):
        scores = {'coco/bbox_mAP': score, 'coco/bbox_mAP_50': 1.6 * score}
        records.append(dict(scores, iter=int(step), step=epoch))
    file.write_text(''.join(f'{json.dumps(record)}\n' for record in records))


@pytest.mark.parametrize('width', [1400, 390])
def test_the_page_draws_it_dashed_and_says_it(look, tmp_path, width):
    facts = on_coco()
    log(tmp_path, facts)
    write_facts(facts, tmp_path)
    write_page(facts, tmp_path, tmp_path / PAGE)
    text = (tmp_path / PAGE).read_text()
    chart = json.loads(text.partition('id="chart-validation-score">')[2].partition('</script>')[0])
    (dashed,) = [one for one in chart['data']['datasets'] if one['borderDash']]
    assert 'EMO-5M' in dashed['label']
    assert [point['y'] for point in dashed['data']][:1] == [pytest.approx(0.237)]
    assert chart['options']['scales']['y']['max'] > 0.389
    seen = look(tmp_path / PAGE, width)
    assert seen.messages == seen.fetched == []
    assert seen.found['overflow'] <= 0
    assert published_sentence(CURVES[0], facts) in seen.found['text'].replace('\n', ' ')


def test_the_page_of_another_run_says_nothing_of_it(tmp_path):
    facts = on_coco(classes=['boat', 'fish'])
    log(tmp_path, facts)
    write_page(facts, tmp_path, tmp_path / PAGE)
    assert 'EMO-5M' not in (tmp_path / PAGE).read_text()
