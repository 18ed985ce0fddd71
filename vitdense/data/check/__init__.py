"""The files of a config's datasets, checked before a week of training: what is missing or damaged, and where.

check_config    every split of a config, printed (`splits.py`, `summary.py`)
check_dataset   one dataset dict: COCO's layout (`coco.py`, `annotations.py`) or ADE20K's (`label_maps.py`)

Image files are decoded to their last byte (`images.py`). What is found is an error, which a run fails on or
learns something wrong from, or a warning, which may be meant (`findings.py`); `docs/check_data.md` lists all.
What is wrong with a dataset as a whole is in `coco_objects.py`, `photos.py` and `data/lessons.py`.
"""

from .splits import check_config, check_dataset

__all__ = ['check_config', 'check_dataset']
