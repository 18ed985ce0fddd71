"""The backbone's weights are those of the file until the heads have begun to learn; then it learns, too."""

import drawn_folders as drawn
import pytest
import torch
from mmengine.config import Config
from small import workplace

from vitdense.data.own_data import read_own_data, use_own_data
from vitdense.data.own_schedule import Wanted

QUICK = ['--batch', 2, '--size', 64]


def weights(run, iteration):
    return torch.load(run / f'epoch_{iteration}.pth', weights_only=False)['state_dict']


def changed(before, after, part):
    keys = [key for key in before if key.startswith(part) and 'running' not in key and 'num_' not in key]
    return [key for key in keys if not torch.equal(before[key], after[key])], keys


def test_a_pretrained_backbone_waits_for_the_heads(call_tool, tmp_path, no_pictures):
    """Five iterations an epoch: of the 15, the first five; also where the run is resumed in between."""
    config, folder = workplace(tmp_path) / 'tiny.py', drawn.coco(tmp_path / 'data')
    first, run = tmp_path / 'first', tmp_path / 'run'
    assert call_tool('train', config, '--data', folder, *QUICK, '--epochs', 1, '--work-dir', first)[0] == 0
    options = ['--data', folder, *QUICK, '--epochs', 3, '--init', first / 'epoch_1.pth', '--work-dir', run]
    keep = ['--cfg-options', 'default_hooks.checkpoint.max_keep_ckpts=-1']
    code, out, err = call_tool('train', config, *options, *keep)
    assert code == 0, err
    assert 'the backbone keeps its weights for the first 5 iterations' in out
    hook = Config.fromfile(run / 'tiny.py').custom_hooks[-1]
    assert hook.iterations == 5
    begin, early, late = weights(first, 1), weights(run, 1), weights(run, 2)
    assert changed(begin, early, 'backbone')[0] == []
    assert changed(begin, early, 'bbox_head')[0]
    learned, all_of_it = changed(early, late, 'backbone')
    assert learned == all_of_it
    expected = weights(run, 3)
    for same in ([config, *options, *keep], [run / 'tiny.py', '--work-dir', run]):
        code, out, err = call_tool('train', *same, '--resume', run / 'epoch_1.pth')
        assert code == 0, err
        assert 'another config' not in out
        assert changed(expected, weights(run, 3), '')[0] == []


@pytest.mark.parametrize('pretrained', [True, False])
def test_only_a_run_from_weights_has_it(pretrained, tmp_path):
    cfg = Config.fromfile(workplace(tmp_path) / 'tiny.py')
    data = read_own_data([drawn.voc(tmp_path / 'data')], None)
    use_own_data(cfg, data, 64, Wanted(pretrained=pretrained))
    hooks = [hook['type'] for hook in cfg.get('custom_hooks') or ()]
    assert any('FrozenFirst' in hook for hook in hooks) == pretrained
    assert any('Calibrate' in hook for hook in hooks) != pretrained
