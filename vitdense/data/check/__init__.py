"""Whether a config's data are whole, before a week of training: what is missing or damaged, and where.

check_config    every split of a config, shown on a console (`splits.py`, `report.py`)
check_dataset   one dataset dict: COCO's layout (`coco.py`, `annotations.py`) or ADE20K's (`label_maps.py`)

Image files are decoded to their last byte (`images.py`). What is found is a fault, which a run stumbles over
or learns wrongly from, or a doubt, which may be meant (`findings.py`).
"""

from .splits import check_config, check_dataset

__all__ = ['check_config', 'check_dataset']
