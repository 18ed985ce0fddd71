"""A config that a person goes on from: short, and equal to the one that it was made of."""

import pytest
from mmengine.config import Config

from vitdense.config.bundled import bundled_config
from vitdense.config.changes import config_of_changes
from vitdense.config.read import load_config


@pytest.mark.parametrize('name', ['retinanet_transcnn', 'pspnet_pit'])
def test_what_is_written_is_the_changed_config(name, tmp_path):
    before, after = load_config(name), load_config(name)
    after.model.backbone.arch = 'small'
    after.train_dataloader.batch_size = 3
    after.train_dataloader.dataset.metainfo = dict(classes=('a "b"', 'c'))
    after.train_dataloader.dataset.pop('data_root')
    after.test_dataloader.dataset.pop('data_root')
    after.param_scheduler[0] = dict(type='mmengine.optim.ConstantLR', factor=0.5, by_epoch=True)
    after.optim_wrapper.optimizer.lr = 1 / 3
    file = tmp_path / 'mine.py'
    text = config_of_changes(before, after, file, 'Mine.')
    file.write_text(text)
    assert load_config(str(file)).to_dict() == after.to_dict()
    assert f'from vitdense.configs.{name} import *' in text
    assert len(text.splitlines()) < 20


def test_a_config_below_is_inherited_by_the_way_to_it(tmp_path):
    (tmp_path / 'mine.py').write_text(
        'from mmengine.config import read_base\n\nwith read_base():\n'
        '    from vitdense.configs.retinanet_pit import *\n'
    )
    before, after = (Config.fromfile(tmp_path / 'mine.py') for _ in range(2))
    after.model.backbone.arch = 's'
    file = tmp_path / 'other.py'
    file.write_text(config_of_changes(before, after, file, 'Other.'))
    assert Config.fromfile(file).model.backbone.arch == 's'
    assert bundled_config('retinanet_pit').parent.name == 'configs'
