"""An evaluation is read as it was written, and nothing else is."""

from dataclasses import fields

import numpy as np
import pytest
from drawn_boxes import as_coco, evaluate, random_case

from vitdense.analysis.files import load_evaluation, save_evaluation
from vitdense.analysis.label_maps import evaluate_label_maps


def label_maps():
    random = np.random.default_rng(0)
    return evaluate_label_maps(
        ['ä 1.png', 'b/2.png'], random.integers(0, 99, size=(2, 3, 3)), ['x', 'yy', 'z']
    )


EVALUATIONS = dict(
    boxes=lambda: evaluate(random_case(0)),
    masks=lambda: evaluate(random_case(0), 'segm'),
    nothing=lambda: evaluate((as_coco([], [], [1]), [], [1], [])),
    label_maps=label_maps,
)


@pytest.mark.parametrize('name', EVALUATIONS)
def test_what_is_loaded_is_what_was_saved(tmp_path, name):
    saved, path = EVALUATIONS[name](), tmp_path / 'scores'
    save_evaluation(saved, path)
    assert [each.name for each in tmp_path.iterdir()] == ['scores']
    loaded = load_evaluation(path)
    assert type(loaded) is type(saved)
    for field in fields(saved):
        before, after = getattr(saved, field.name), getattr(loaded, field.name)
        assert type(before) is type(after)
        if isinstance(before, np.ndarray):
            assert before.dtype == after.dtype
            np.testing.assert_array_equal(before, after, strict=True)
        else:
            assert before == after
    np.testing.assert_array_equal(loaded.score(), saved.score())
    np.testing.assert_array_equal(loaded.image_scores(), saved.image_scores())


def contents(path):
    with np.load(path) as archive:
        return dict(archive)


def damaged(path):
    data = bytearray(path.read_bytes())
    data[data.index(b'confusion.npy') + 60] ^= 255  # in its compressed part
    path.write_bytes(data)


def other_version(path):
    np.savez(path, **(contents(path) | dict(version=99)))


def without_a_field(path):
    kept = contents(path)
    del kept['confusion']
    np.savez(path, **kept)


WRONG = dict(
    text=lambda path: path.write_text('scores'),
    empty=lambda path: path.write_bytes(b''),
    cut_short=lambda path: path.write_bytes(path.read_bytes()[:-200]),
    damaged=damaged,
    other_arrays=lambda path: np.savez(path, a=np.zeros(3)),
    an_array=lambda path: np.save(path.open('wb'), np.zeros(3)),
    pickled=lambda path: np.savez(path, format=np.array([{}], dtype=object)),
    other_version=other_version,
    without_a_field=without_a_field,
)


@pytest.mark.parametrize('name', WRONG)
def test_another_file_is_refused_by_name(tmp_path, name):
    path = tmp_path / 'scores.npz'
    save_evaluation(label_maps(), path)
    WRONG[name](path)
    with pytest.raises(ValueError, match=r'scores\.npz'):
        load_evaluation(path)


def test_a_missing_file_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_evaluation(tmp_path / 'none.npz')
