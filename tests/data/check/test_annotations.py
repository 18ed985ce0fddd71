"""Every error that a COCO annotation can have is found, reported once, and reported precisely."""

import pytest

from vitdense.data.check.annotations import problems

UNDECODABLE = 'run lengths that cannot be decoded'
INSIDE = 'width 40, height 30'


def outline(counts, size=(30, 40)):
    return dict(segmentation=dict(size=list(size), counts=counts))


@pytest.mark.parametrize(
    ('change', 'kind', 'said'),
    [
        (dict(bbox=None), 'malformed boxes', ['bbox null']),
        (dict(bbox='1,2,3,4'), 'malformed boxes', ["bbox '1,2,3,4'"]),
        (dict(bbox=[1, 2, 3]), 'malformed boxes', ['bbox [1, 2, 3]', '[x, y, width, height]']),
        (dict(bbox=['4', 6, 10, 8]), 'malformed boxes', ["bbox ['4', 6, 10, 8]"]),
        (dict(bbox=[4, 6, float('nan'), 8]), 'malformed boxes', ['bbox [4, 6, nan, 8]']),
        (dict(bbox=[4, 6, float('inf'), 8]), 'malformed boxes', ['bbox [4, 6, inf, 8]']),
        (dict(bbox=[4, 6, 10**400, 8]), 'malformed boxes', ['bbox [4, 6, ']),
        (dict(bbox=[4, 6, [10], 8]), 'malformed boxes', ['bbox [4, 6, [10], 8]']),
        (dict(bbox=[14, 14, -10, -8]), 'boxes of negative size', ['bbox [14, 14, -10, -8]']),
        (dict(bbox=[4, 6, 38, 8]), 'boxes that leave their image', ['bbox [4, 6, 38, 8]', INSIDE]),
        (dict(bbox=[-1.5, 6, 10, 8]), 'boxes that leave their image', ['bbox [-1.5, 6, 10, 8]', INSIDE]),
        (dict(area=None), 'malformed areas', ['area null']),
        (dict(area='80'), 'malformed areas', ["area '80'"]),
        (dict(iscrowd=2), 'iscrowd other than 0 or 1', ['iscrowd 2']),
        (dict(iscrowd='0'), 'iscrowd other than 0 or 1', ["iscrowd '0'"]),
        (dict(iscrowd=[]), 'iscrowd other than 0 or 1', ['iscrowd []']),
        (dict(segmentation='x'), 'malformed segmentations', ["segmentation 'x'"]),
        (
            dict(segmentation=[[1, 2, None, 4, 5, 6]]),
            'malformed segmentations',
            ['polygon 1 of 1 [1, 2, null, 4, 5, 6]'],
        ),
        (  # a polygon that is not in a list
            dict(segmentation=[4, 6, 14, 6, 14, 14]),
            'malformed segmentations',
            ['segmentation [4, 6, 14, 6, 14, 14]'],
        ),
        (
            dict(segmentation=[[4, 6, 14, 14]]),
            'polygons with fewer than 3 points',
            ['polygon 1 of 1', '2 points'],
        ),
        (
            dict(segmentation=[[4, 6, 14, 6, 14, 14], [4, 6, 14, 6, 14, 14, 4]]),
            'polygons with an odd number of coordinates',
            ['polygon 2 of 2', '7 coordinates'],
        ),
        (
            dict(segmentation=[[4, 6, 14, 6, 14, 31.5]]),
            'polygons that leave their image',
            ['polygon 1 of 1', 'x 4 to 14, y 6 to 31.5', INSIDE],
        ),
        (outline([1200], (40, 30)), 'run lengths of another size than the image', ['[40, 30]', '[30, 40]']),
        (outline([1200], (30, 40.0)), UNDECODABLE, ['[30, 40.0]', '[height, width]']),
        (outline([100, 99]), UNDECODABLE, ['199', '30 × 40 = 1200']),
        (outline([1300, -100]), UNDECODABLE, ['counts [1300, -100]']),
        (dict(segmentation=dict(size=[30, 40])), UNDECODABLE, ['no counts']),
        (outline('`U1P'), UNDECODABLE, ["counts '`U1P'", 'pycocotools']),  # ends in the middle of a number
        (outline('PPPPPPPPPP1'), UNDECODABLE, ['pycocotools']),  # a number without an end
        (outline('5'), UNDECODABLE, ['fewer', '30 × 40']),
        (outline('PPPP1'), UNDECODABLE, ['more', '30 × 40']),
    ],
)
def test_an_error_of_an_annotation_is_named_with_its_file_and_id(coco, change, kind, said):
    coco.train['annotations'][2].update(change)
    done = coco.check()
    assert (done.code, done.err, done.warnings) == (1, '', {})
    assert done.errors.keys() == {kind}
    [line] = done.errors[kind]
    assert line.startswith("train.json, annotation 20 of image 2 ('b.jpg'): ")
    assert all(part in line for part in said)


@pytest.mark.parametrize(
    ('key', 'kind'),
    [('bbox', 'malformed boxes'), ('area', 'malformed areas')],
)
def test_a_key_that_an_annotation_lacks_is_named(coco, key, kind):
    del coco.val['annotations'][0][key]
    done = coco.check()
    assert done.code == 1
    [line] = done.errors.pop(kind)
    assert f"annotation 310 of image 31 ('d.jpg'): no {key}; " in line
    assert not done.warnings


def test_iscrowd_may_be_left_out_where_nothing_is_scored(coco):
    for annotation in coco.train['annotations']:
        del annotation['iscrowd']
    assert coco.check().code == 0


@pytest.mark.parametrize('outline', [None, [], {}, ''])
def test_an_annotation_without_outline_is_an_error_only_where_masks_are_trained(coco, outline):
    coco.train['annotations'][0]['segmentation'] = outline
    assert coco.check(masks=False).code == 0
    done = coco.check(masks=True)
    assert done.code == 1
    assert len(done.errors['annotations without segmentation']) == 1


@pytest.mark.parametrize(
    ('change', 'came'),
    [
        (dict(bbox=[4, 6, 10, 0.0], area=0.0), 'bbox [4, 6, 10, 0.0]'),
        (dict(bbox=[4, 6, 0.5, 8]), 'bbox [4, 6, 0.5, 8]'),
        (dict(area=0), 'area 0'),
        (dict(ignore=1), 'ignore 1'),
    ],
)
def test_an_annotation_that_mmdetection_leaves_out_is_one_warning(coco, change, came):
    """COCO's own files have such boxes, so that they cannot be an error."""
    coco.train['annotations'][2].update(change)
    done = coco.check()
    assert (done.code, done.errors) == (0, {})
    [line] = done.warnings['annotations that MMDetection leaves out']
    assert f': {came}; ' in line


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
