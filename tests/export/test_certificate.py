"""What a certificate says, and that a file that was changed after it got one is recognised."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitdense.errors import UserError
from vitdense.exported.certificate import (
    NO_DIGEST,
    Certificate,
    read_certificate,
    with_digest,
    without_digest,
)


def certificate(**changes):
    settings = dict(
        description=dict(version=1, name='tiny', config=dict(model=dict(scale=(1, 2))), undescribed=''),
        classes=['fish', 'boot "é"'],
        palette=[[1, 2, 3], [4, 5, 6]],
        kind='raw',
        outputs=['class_logits_8'],
        precision='float32',
        resize=dict(longer=128, shorter=96, keep_ratio=True),
        heights=[64, 320],
        widths=[48, 640],
        batches=[1, 2],
        source=dict(file='random'),
    )
    return Certificate(**settings | changes)


def test_a_certificate_is_read_as_it_was_written():
    one = certificate(comparisons=[dict(size=[64, 64], deviations=1e-6)])
    again = Certificate.from_json(one.to_json(), 'model.onnx')
    assert again == one
    assert again.description['config']['model']['scale'] == (1, 2)  # no list: MMCV tells them apart


@pytest.mark.parametrize(
    ('text', 'said'),
    [
        ('{', 'damaged'),
        ('[]', 'damaged'),
        ('{"version": 2}', 'version 2'),
        ('{"version": 1}', 'damaged'),
        ('[' * 100_000, 'damaged'),
    ],
)
def test_a_damaged_certificate_and_one_of_another_version_are_named(text, said):
    with pytest.raises(UserError, match=said):
        Certificate.from_json(text, 'model.onnx')


@given(st.integers(1, 700), st.integers(1, 700))
def test_sizes_between_the_least_and_the_largest_are_covered(height, width):
    reason = certificate().covers(height, width)
    assert (reason == '') == (64 <= height <= 320 and 48 <= width <= 640)
    if reason:
        assert '64 to 320 × 48 to 640' in reason


def test_a_digest_is_found_in_the_text_of_each_format():
    text = certificate().to_json()
    for content in (text.encode(), text.replace('"', '&quot;').encode()):
        full = with_digest(content, 'a' * 64)
        assert b'a' * 64 in full
        assert without_digest(full) == content
    assert json.loads(text)['digest'] == NO_DIGEST


def test_a_file_without_a_certificate_is_named(tmp_path):
    with pytest.raises(UserError, match='no certificate'):
        read_certificate(tmp_path / 'model.onnx', None)
