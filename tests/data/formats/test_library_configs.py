"""`--data` on the text configs of MMDetection and MMSegmentation: their heads, sizes and pipelines follow."""

from importlib.util import find_spec
from pathlib import Path

import drawn_folders as drawn
import pytest

pytestmark = pytest.mark.nightly  # large models

UNTRAINED = 'model.backbone.init_cfg=None', 'model.pretrained=None'  # in place of files to download


def polygons(folder):
    return drawn.yolo(folder, polygons=True)


CONFIGS = {
    'mmdet/retinanet/retinanet_r18_fpn_1x_coco': (drawn.voc, UNTRAINED[0]),
    'mmdet/yolox/yolox_tiny_8xb8-300e_coco': (drawn.voc, ''),
    'mmdet/rtmdet/rtmdet_tiny_8xb32-300e_coco': (drawn.voc, UNTRAINED[0]),
    'mmdet/mask_rcnn/mask-rcnn_r50_fpn_1x_coco': (polygons, UNTRAINED[0]),
    'mmdet/fcos/fcos_r50-caffe_fpn_gn-head_1x_coco': (drawn.coco, UNTRAINED[0]),
    'mmseg/segformer/segformer_mit-b0_8xb2-160k_ade20k-512x512': (drawn.label_maps, UNTRAINED[0]),
    'mmseg/pspnet/pspnet_r18-d8_4xb2-80k_cityscapes-512x1024': (drawn.label_maps, UNTRAINED[1]),
    'mmseg/upernet/upernet_r50_4xb4-20k_voc12aug-512x512': (drawn.label_maps, UNTRAINED[1]),
}


@pytest.mark.parametrize('name', CONFIGS)
def test_a_librarys_config_is_ready_to_train_on_a_folder(name, call_tool, tmp_path):
    library, config = name.split('/', 1)
    folder = Path(find_spec(library).origin).parent / '.mim' / 'configs'
    make, option = CONFIGS[name]
    words = [f'{folder / config}.py', '--data', make(tmp_path / 'data'), '--size', 64, '--preflight']
    words += ['--work-dir', tmp_path / 'run', *(['--cfg-options', option] if option else [])]
    code, out, err = call_tool('train', *words)
    assert code == 0, err
    assert f'{4 if library == "mmseg" else 3} classes' in out
    assert 'in 10 samples' in out
    assert (tmp_path / 'run' / 'training_samples.png').is_file()
