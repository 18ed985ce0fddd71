"""A dataset of label maps that a file lists."""

import json
import os
from typing import Any

from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS


@DATASETS.register_module()
class ListedSegDataset(BaseSegDataset):
    """Reads `ann_file`: {"classes": […], "pairs": [{"image": …, "label_map": …}, …]}.

    Images are found from `data_root`, label maps from the folder of the file; whole paths stay as they are.
    See `BaseSegDataset` for the other arguments.
    """

    def load_data_list(self) -> list[dict[str, Any]]:
        with open(self.ann_file, encoding='utf-8') as file:
            pairs = json.load(file)['pairs']
        root, folder = self.data_root or '', os.path.dirname(self.ann_file)
        return [
            dict(
                img_path=os.path.join(root, pair['image']),
                seg_map_path=os.path.join(folder, pair['label_map']),
                label_map=self.label_map,
                reduce_zero_label=self.reduce_zero_label,
                seg_fields=[],
            )
            for pair in pairs
        ]
