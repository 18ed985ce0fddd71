"""Evaluations as files: one compressed .npz each, without pickled objects."""

import zipfile
import zlib
from dataclasses import fields
from pathlib import Path

import numpy as np

from .detections import DetectionEvaluation
from .label_maps import LabelMapEvaluation

Evaluation = DetectionEvaluation | LabelMapEvaluation

VERSION = 1
TYPES: dict[str, type[Evaluation]] = dict(
    vitdense_detections=DetectionEvaluation, vitdense_label_maps=LabelMapEvaluation
)
NAMES = ('classes', 'images')  # tuples of text; arrays of it in the file


def save_evaluation(evaluation: Evaluation, path: str | Path) -> None:
    """Write an evaluation to exactly this path; an earlier file is replaced once the new one is whole."""
    format_name = next(name for name, kind in TYPES.items() if type(evaluation) is kind)
    values = {field.name: getattr(evaluation, field.name) for field in fields(evaluation)}
    texts = {name: np.array(values[name], dtype=str) for name in NAMES}
    part = Path(f'{path}.part')
    with part.open('wb') as file:  # of a name, numpy would make another that ends in .npz
        np.savez_compressed(file, format=format_name, version=VERSION, **(values | texts))
    part.replace(path)


def load_evaluation(path: str | Path) -> Evaluation:
    """Read what `save_evaluation` wrote.

    Raises:
        ValueError: a file that it did not write, or that another version of this project wrote.
        OSError: a file that cannot be read.
    """
    with open(path, 'rb') as file:
        try:
            with np.load(file, allow_pickle=False) as archive:
                values = {name: archive[name] for name in archive.files}
        except (
            ValueError,
            TypeError,
            AttributeError,
            EOFError,
            KeyError,
            zipfile.BadZipFile,
            zlib.error,
        ) as error:
            raise ValueError(f'{path} is no evaluation: {error}') from None
    kind = TYPES.get(str(values.pop('format', '')))
    if kind is None:
        raise ValueError(f'{path} is no evaluation')
    version = int(values.pop('version', 0))
    if version != VERSION:
        raise ValueError(f'{path} is an evaluation of version {version}: expected {VERSION}')
    expected = {field.name for field in fields(kind)}
    if values.keys() != expected:
        raise ValueError(f'{path} is no whole evaluation: {sorted(values.keys() ^ expected)} differ')
    texts = {name: tuple(values[name].tolist()) for name in NAMES}
    if 'kind' in values:
        texts['kind'] = values['kind'].item()
    return kind(**(values | texts))
