"""A loss that is not finite never becomes a step, and its batch is saved."""

import math
import re
from itertools import count

import pytest
import torch
from line import LineOfTwo, TwoOptimizers
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import HorizontalBoxes
from mmdet.structures.mask import PolygonMasks
from mmengine.config import Config
from mmengine.structures import InstanceData

from vitdense.data.batch import plain
from vitdense.errors import NotFinite


def breaks(runner, *iterations, spoil=lambda loss: loss * math.nan):
    """The same runner, whose model has a loss that is not a number, or is spoilt, in some iterations."""
    forward, seen = runner.model.forward, count(1)

    def broken(x, y, mode):
        answer = forward(x, y, mode)
        if mode == 'loss' and next(seen) in iterations:
            answer['loss_other'] = spoil(answer['loss_line'])
        return answer

    runner.model.forward = broken
    return runner


def weights(runner):
    return torch.cat([p.detach().flatten() for p in runner.model.parameters()])


def test_a_nan_loss_stops_the_run_before_the_step_and_its_batch_is_saved(make_runner, tmp_path):
    runner = breaks(make_runner(), 2)
    with pytest.raises(NotFinite) as stop:
        runner.train()
    path = tmp_path / 'run/not_finite/iter_2_rank_0.pth'
    assert re.match('iteration 2: the loss .*: loss nan, loss_other nan; ', str(stop.value))
    assert str(path) in str(stop.value)
    record = torch.load(path, weights_only=True)
    assert math.isnan(record['losses']['loss_other'])
    assert math.isfinite(record['losses']['loss_line'])
    assert record['gradients'].keys() == {'backbone.weight', 'backbone.bias'}
    assert all(map(math.isnan, record['gradients'].values()))
    assert record['batch']['x'].shape == (1, 2)
    before = torch.load(tmp_path / 'run/iter_1.pth', weights_only=False)['state_dict']
    assert torch.equal(weights(runner), torch.cat([value.flatten() for value in before.values()]))


def test_a_nan_gradient_stops_the_run_before_the_step_too(make_runner, tmp_path):
    # 0, with a slope of 0 · ∞
    runner = breaks(make_runner(), 2, spoil=lambda loss: (0 * loss).sqrt())
    with pytest.raises(NotFinite) as stop:
        runner.train()
    path = tmp_path / 'run/not_finite/iter_2_rank_0.pth'
    said = 'iteration 2: the loss is finite, its gradient is not: backbone.weight nan, backbone.bias nan; '
    assert str(stop.value).startswith(said)
    assert str(path) in str(stop.value)
    record = torch.load(path, weights_only=True)
    assert record['losses']['loss_other'] == 0
    assert all(map(math.isnan, record['gradients'].values()))
    assert torch.isfinite(weights(runner)).all()
    assert not (tmp_path / 'run/iter_2.pth').exists()


def test_of_several_optimizers_none_takes_the_step(make_runner):
    own = dict(model=LineOfTwo(), optim_wrapper=dict(constructor=TwoOptimizers))
    runner = make_runner(**own)
    runner.model.backbone.weight.register_hook(lambda gradient: gradient * math.nan)
    before = weights(runner)
    with pytest.raises(NotFinite, match=r'iteration 1: the gradient is not finite: backbone\.weight nan; '):
        runner.train()
    assert torch.equal(weights(runner), before)


def test_a_full_disk_does_not_hide_the_nan_loss(make_runner, tmp_path):
    (tmp_path / 'run/not_finite').mkdir(parents=True)
    (tmp_path / 'run/not_finite/iter_2_rank_0.pth').symlink_to('/dev/full')
    with pytest.raises(NotFinite, match=r'loss nan, .*could not be written .*iter_2_rank_0\.pth'):
        breaks(make_runner(), 2).train()


def test_skip_not_finite_skips_so_many_steps(make_runner, tmp_path, capfd):
    (tmp_path / 'line.py').touch()
    cfg = Config(
        dict(model=dict(backbone={}), train_dataloader=dict(batch_size=1), skip_not_finite=2),
        filename=str(tmp_path / 'line.py'),
    )
    runner = breaks(make_runner(cfg=cfg), 2, 3)
    runner.train()
    first, third = (
        torch.load(tmp_path / f'run/iter_{n}.pth', weights_only=False)['state_dict'] for n in (1, 3)
    )
    assert all(torch.equal(first[name], third[name]) for name in first)
    assert torch.isfinite(weights(runner)).all()
    assert not torch.equal(weights(runner), torch.cat([value.flatten() for value in third.values()]))
    out = ' '.join(capfd.readouterr().out.split())
    assert re.search('skipped iteration 2: .* up to 1 more .*skipped iteration 3: .* up to 0 more ', out)

    with pytest.raises(NotFinite, match='iteration 3: '):
        breaks(make_runner(tmp_path / 'again', cfg=cfg), 1, 2, 3).train()


def test_a_saved_batch_loads_with_weights_only(tmp_path):
    boxes = torch.tensor([[1.0, 2.0, 9.0, 8.0]])
    sample = DetDataSample(metainfo=dict(img_path='images/1.jpg', scale_factor=(0.5, 0.5), flip=None))
    sample.gt_instances = InstanceData(
        bboxes=HorizontalBoxes(boxes),
        labels=torch.tensor([3]),
        masks=PolygonMasks([[boxes.numpy()[0].repeat(2)]], 10, 10),
    )
    torch.save(plain(dict(inputs=[torch.ones(3, 4, 4)], data_samples=[sample])), tmp_path / 'batch.pth')
    read = torch.load(tmp_path / 'batch.pth', weights_only=True)
    (reported,) = read['data_samples']
    assert reported['img_path'] == 'images/1.jpg'
    assert reported['scale_factor'] == [0.5, 0.5]
    assert torch.equal(reported['gt_instances']['bboxes'], boxes)
    assert reported['gt_instances']['labels'].tolist() == [3]
    assert reported['gt_instances']['masks'].shape == (1, 10, 10)
    assert torch.equal(read['inputs'][0], torch.ones(3, 4, 4))
