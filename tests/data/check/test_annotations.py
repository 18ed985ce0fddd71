"""Every fault that a COCO annotation can have is found, reported once, and reported precisely."""

import pytest

from vitdense.data.check.annotations import problems

NUMBER = 'expected four finite numbers, [x, y, width, height]'


@pytest.mark.parametrize(
    ('change', 'kind', 'sentence'),
    [
        (dict(bbox=None), 'malformed boxes', f'bbox null; {NUMBER}'),
        (dict(bbox='1,2,3,4'), 'malformed boxes', f"bbox '1,2,3,4'; {NUMBER}"),
        (dict(bbox=[1, 2, 3]), 'malformed boxes', f'bbox [1, 2, 3]; {NUMBER}'),
        (dict(bbox=['4', 6, 10, 8]), 'malformed boxes', f"bbox ['4', 6, 10, 8]; {NUMBER}"),
        (dict(bbox=[4, 6, float('nan'), 8]), 'malformed boxes', f'bbox [4, 6, nan, 8]; {NUMBER}'),
        (dict(bbox=[4, 6, float('inf'), 8]), 'malformed boxes', f'bbox [4, 6, inf, 8]; {NUMBER}'),
        (dict(bbox=[4, 6, 10**400, 8]), 'malformed boxes', NUMBER),
        (dict(bbox=[4, 6, [10], 8]), 'malformed boxes', f'bbox [4, 6, [10], 8]; {NUMBER}'),
        (
            dict(bbox=[14, 14, -10, -8]),
            'boxes of negative size',
            'bbox [14, 14, -10, -8]; expected a width and a height, in [x, y, width, height]',
        ),
        (
            dict(bbox=[4, 6, 38, 8]),
            'boxes that leave their image',
            'bbox [4, 6, 38, 8]; expected a box inside width 40, height 30',
        ),
        (
            dict(bbox=[-1.5, 6, 10, 8]),
            'boxes that leave their image',
            'bbox [-1.5, 6, 10, 8]; expected a box inside width 40, height 30',
        ),
        (dict(area=None), 'malformed areas', 'area null; expected a number of pixels'),
        (dict(area='80'), 'malformed areas', "area '80'; expected a number of pixels"),
        (dict(iscrowd=2), 'iscrowd other than 0 or 1', 'iscrowd 2; expected 0 or 1'),
        (dict(iscrowd='0'), 'iscrowd other than 0 or 1', "iscrowd '0'; expected 0 or 1"),
        (dict(iscrowd=[]), 'iscrowd other than 0 or 1', 'iscrowd []; expected 0 or 1'),
        (
            dict(segmentation='x'),
            'malformed segmentations',
            "segmentation 'x'; expected a list of polygons, or run lengths",
        ),
        (
            dict(segmentation=[[1, 2, None, 4, 5, 6]]),
            'malformed segmentations',
            'polygon 1 of 1 [1, 2, null, 4, 5, 6]; expected finite numbers, [x1, y1, x2, y2, …]',
        ),
        (
            dict(segmentation=[4, 6, 14, 6, 14, 14]),  # a polygon that is not in a list
            'malformed segmentations',
            'segmentation [4, 6, 14, 6, 14, 14]; expected a list of polygons, or run lengths',
        ),
        (
            dict(segmentation=[[4, 6, 14, 14]]),
            'polygons with fewer than 3 points',
            'polygon 1 of 1 has 2 points; expected 3 or more',
        ),
        (
            dict(segmentation=[[4, 6, 14, 6, 14, 14], [4, 6, 14, 6, 14, 14, 4]]),
            'polygons with an odd number of coordinates',
            'polygon 2 of 2 has 7 coordinates; expected as many x as y',
        ),
        (
            dict(segmentation=[[4, 6, 14, 6, 14, 31.5]]),
            'polygons that leave their image',
            'polygon 1 of 1 spans x 4 to 14, y 6 to 31.5; expected points inside width 40, height 30',
        ),
        (
            dict(segmentation=dict(size=[40, 30], counts=[1200])),
            'run lengths of another size than the image',
            'size [40, 30]; expected [30, 40], [height, width] of its image',
        ),
        (
            dict(segmentation=dict(size=[30, 40.0], counts=[1200])),
            'run lengths that cannot be decoded',
            'size [30, 40.0]; expected its [height, width]',
        ),
        (
            dict(segmentation=dict(size=[30, 40], counts=[100, 99])),
            'run lengths that cannot be decoded',
            'runs that sum to 199; expected 30 × 40 = 1200',
        ),
        (
            dict(segmentation=dict(size=[30, 40], counts=[1300, -100])),
            'run lengths that cannot be decoded',
            'counts [1300, -100]; expected a string, or a list of whole numbers',
        ),
        (
            dict(segmentation=dict(size=[30, 40])),
            'run lengths that cannot be decoded',
            'no counts; expected a string, or a list of whole numbers',
        ),
        (
            dict(segmentation=dict(size=[30, 40], counts='`U1P')),  # ends in the middle of a number
            'run lengths that cannot be decoded',
            "counts '`U1P'; expected run lengths as pycocotools compresses them",
        ),
        (
            dict(segmentation=dict(size=[30, 40], counts='PPPPPPPPPP1')),  # a number without an end
            'run lengths that cannot be decoded',
            'expected run lengths as pycocotools compresses them',
        ),
        (
            dict(segmentation=dict(size=[30, 40], counts='5')),
            'run lengths that cannot be decoded',
            'fewer pixels than the image; expected runs that sum to 30 × 40',
        ),
        (
            dict(segmentation=dict(size=[30, 40], counts='PPPP1')),
            'run lengths that cannot be decoded',
            'more pixels than the image; expected runs that sum to 30 × 40',
        ),
    ],
)
def test_a_fault_of_an_annotation_is_told_with_its_file_and_id(coco, change, kind, sentence):
    coco.train['annotations'][2].update(change)
    done = coco.check()
    assert (done.code, done.err, done.doubts) == (1, '', {})
    assert done.faults.keys() == {kind}
    assert len(done.faults[kind]) == 1
    assert done.faults[kind][0].startswith("train.json, annotation 20 of image 2 ('b.jpg'): ")
    assert sentence in done.faults[kind][0]


@pytest.mark.parametrize(
    ('key', 'kind'),
    [('bbox', 'malformed boxes'), ('area', 'malformed areas'), ('iscrowd', 'iscrowd other than 0 or 1')],
)
def test_what_an_annotation_lacks_is_told(coco, key, kind):
    del coco.val['annotations'][0][key]
    done = coco.check()
    assert done.code == 1
    [line] = done.faults.pop(kind)
    assert f"annotation 310 of image 31 ('d.jpg'): no {key}; expected" in line
    assert not done.doubts


def test_iscrowd_may_be_left_out_where_nothing_is_scored(coco):
    for annotation in coco.train['annotations']:
        del annotation['iscrowd']
    assert coco.check().code == 0


@pytest.mark.parametrize('outline', [None, [], {}, ''])
def test_an_annotation_without_outline_is_a_fault_only_where_masks_are_trained(coco, outline):
    coco.train['annotations'][0]['segmentation'] = outline
    assert coco.check(masks=False).code == 0
    done = coco.check(masks=True)
    assert done.code == 1
    [line] = done.faults['annotations without segmentation']
    assert 'expected polygons or run lengths' in line


@pytest.mark.parametrize(
    ('change', 'sentence'),
    [
        (
            dict(bbox=[4, 6, 10, 0.0], area=0.0),
            'bbox [4, 6, 10, 0.0]; expected a width and a height of 1 pixel or more',
        ),
        (dict(bbox=[4, 6, 0.5, 8]), 'bbox [4, 6, 0.5, 8]; expected a width and a height of 1 pixel or more'),
        (dict(area=0), 'area 0; expected more than 0'),
        (dict(ignore=1), 'ignore 1; expected 0, or none'),
    ],
)
def test_what_mmdetection_leaves_out_is_a_doubt_told_once(coco, change, sentence):
    """COCO's own files have such boxes, so that they cannot be a fault."""
    coco.train['annotations'][2].update(change)
    done = coco.check()
    assert (done.code, done.faults) == (0, {})
    [line] = done.doubts['annotations that MMDetection leaves out']
    assert sentence in line


def test_a_pixel_beyond_the_edge_is_rounding(coco):
    coco.train['annotations'][0].update(
        bbox=[-1, -0.5, 42, 31.5], segmentation=[[-1, -1, 41, -1, 41, 31, -1, 31]]
    )
    assert coco.check().code == 0


def test_uncompressed_runs_are_read_too(coco):
    coco.train['annotations'][0]['segmentation'] = dict(size=[30, 40], counts=[100, 50, 1050])
    assert coco.check(masks=True).code == 0


def test_an_annotation_of_no_image_is_still_read():
    annotation = dict(bbox=[0, 0, 1e9, 1e9], area=1, iscrowd=0, segmentation=[[1, 2, 3]])
    kinds = [kind.name for kind, _, _ in problems(annotation, None, masks=True, scored=True)]
    assert kinds == ['polygons with an odd number of coordinates']


def test_an_image_too_large_to_decode_is_not_decoded():
    outline = dict(size=[1 << 30, 1 << 30], counts='0')
    annotation = dict(bbox=[0, 0, 9, 9], area=1, iscrowd=0, segmentation=outline)
    assert not list(problems(annotation, (1 << 30, 1 << 30), masks=True, scored=True))
