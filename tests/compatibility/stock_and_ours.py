"""One config through `vitdense` and through MMEngine's own Runner, and what differs between the two runs.

Both draw the same random numbers: a transform seeds each sample, and a hook each iteration. Our runner seeds
them anyway, by their place in the run (`data/reproducible.py`), MMEngine's does not.
"""

from itertools import count

import torch
from mmcv.transforms import BaseTransform
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import HOOKS, TRANSFORMS
from mmengine.runner import Runner

from vitdense.data.batch import plain
from vitdense.data.reproducible import seed_all
from vitdense.engine.processes import unwrapped

SIDES = ('stock', 'ours')


@TRANSFORMS.register_module()
class SeedSample(BaseTransform):
    """Augmentation by the number of the image alone."""

    def transform(self, results):
        seed_all(results['sample_idx'])
        return results


@HOOKS.register_module()
class SeedIteration(Hook):
    """Dropout and sampled regions by the iteration alone."""

    priority = 'HIGHEST'

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        seed_all(runner.seed, runner.iter, 0)


@HOOKS.register_module()
class Trace(Hook):
    """What a run did, in the order in which it did it, and what it ended with.

    Attributes:
        last: the trace of the newest run.
    """

    priority = 'LOWEST'
    last = None

    def __init__(self):
        Trace.last = self
        self.steps, self.shapes, self.images, self.losses = [], [], [], []
        self.answers, self.scores, self.weights = [], [], {}
        self.handles = []

    def _listen(self, runner):
        """From the first iteration on: what comes before is the preflight check's."""
        if self.handles:
            return
        backbone = getattr(unwrapped(runner), 'backbone', None) or unwrapped(runner)
        self.handles += [backbone.register_forward_pre_hook(self._shape)]
        for optimizer in optimizers(runner):
            self.handles += [optimizer.register_step_pre_hook(self._step)]

    def _shape(self, module, inputs):
        if inputs and isinstance(inputs[0], torch.Tensor):
            self.shapes.append((module.training, tuple(inputs[0].shape)))

    def _step(self, optimizer, args, kwargs):
        self.steps.append(
            [
                {key: value for key, value in group.items() if key not in ('params', 'param_names')}
                for group in optimizer.param_groups
            ]
        )

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self._listen(runner)
        self.images.append((runner.epoch, runner.iter, names(data_batch)))

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.losses.append({name: value.item() for name, value in (outputs or {}).items()})

    def after_train(self, runner):
        self.weights = {name: value.clone() for name, value in unwrapped(runner).state_dict().items()}

    def after_val_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.answers += [plain(answer) for answer in outputs or ()]

    after_test_iter = after_val_iter

    def after_val_epoch(self, runner, metrics=None):
        self.scores.append((runner.epoch, runner.iter, dict(metrics or {})))

    after_test_epoch = after_val_epoch


def optimizers(runner):
    """Of a run, which may have several."""
    wrapper = runner.optim_wrapper
    return [one.optimizer for one in getattr(wrapper, 'optim_wrappers', {'': wrapper}).values()]


def names(data_batch):
    """The files that a batch is of."""
    samples = data_batch['data_samples']
    if isinstance(samples, dict):  # of a detector that learns from several branches
        samples = [sample for branch in samples.values() for sample in branch]
    return [str(getattr(sample, 'img_path', '')) for sample in samples]


NUMBER = count()  # MMEngine's logs are global, by the name of the experiment


def write(cfg, folder, side):
    """The config of a side, as a file."""
    path = folder / f'{side}.py'
    cfg = Config(dict(cfg, experiment_name=f'{side}-{next(NUMBER)}', work_dir=str(folder / side)))
    cfg.dump(path)
    return path


def stock(cfg, folder, checkpoint=None):
    """The trace of MMEngine's own runner: of a training, or the test of a checkpoint."""
    path = write(cfg, folder, 'stock-test' if checkpoint else 'stock')
    cfg = Config.fromfile(path)
    cfg.load_from = checkpoint and str(checkpoint)
    runner = Runner.from_cfg(cfg)
    runner.test() if checkpoint else runner.train()
    return Trace.last


def ours(cfg, folder, call_tool, checkpoint=None):
    """The trace of the command, and what it answered."""
    path = write(cfg, folder, 'ours-test' if checkpoint else 'ours')
    Trace.last = None
    command = ('test', path, checkpoint) if checkpoint else ('train', path)
    outcome = call_tool(*command, '--work-dir', folder / path.stem)
    return Trace.last, outcome


def checkpoints(folder):
    """The files of weights that a run left, and what is in the newest one besides its messages."""
    names = sorted(path.name for path in folder.glob('**/*.pth'))
    record = folder / 'last_checkpoint'
    if not record.is_file():
        return dict(files=names)
    newest = folder / record.read_text().rsplit('/', 1)[-1]
    held = torch.load(newest, map_location='cpu', weights_only=False)
    parts = {key: value for key, value in held.items() if key not in ('meta', 'message_hub')}
    for state in parts.get('param_schedulers', []):
        state.pop('anneal_func', None)  # a method, which our files do not hold
    place = {key: held['meta'][key] for key in ('epoch', 'iter', 'seed')}
    return dict(files=names, newest=newest.name, place=place, **parts)


def differences(left, right, where=''):
    """Where two trees of plain values are not the same, bit for bit."""
    if isinstance(left, dict) and isinstance(right, dict):
        for key in {**left, **right}:
            if key not in left or key not in right:
                yield f'{where}.{key} is on one side alone'
            else:
                yield from differences(left[key], right[key], f'{where}.{key}')
    elif isinstance(left, (list, tuple)) and isinstance(right, (list, tuple)):
        if len(left) != len(right):
            yield f'{where} has {len(left)} entries and {len(right)}'
        for number, pair in enumerate(zip(left, right, strict=False)):
            yield from differences(*pair, f'{where}.{number}')
    elif isinstance(left, torch.Tensor) and isinstance(right, torch.Tensor):
        if left.shape != right.shape or not torch.equal(left.nan_to_num(), right.nan_to_num()):
            yield f'{where} differs'
    elif left != right and not (left != left and right != right):
        yield f'{where} is {left!r} and {right!r}'


def compare(cfg, folder, call_tool, test=False, refused=False):
    """Train on both sides, and where asked test the checkpoint of each on the other.

    What our side should refuse is not tried on the other.

    Returns:
        the sentence that our side refused with, and the list of what differs.
    """
    theirs = None if refused else stock(cfg, folder)
    own, (code, _, err) = ours(cfg, folder, call_tool)
    if code == 2:
        return err, []
    assert code == 0, err
    found = [*_compared(theirs, own)]
    left, right = (checkpoints(folder / side) for side in SIDES)
    found += differences(left, right, 'checkpoint')
    if test and not found:
        theirs = stock(cfg, folder, folder / 'ours' / right['newest'])
        own, (code, _, err) = ours(cfg, folder, call_tool, folder / 'stock' / left['newest'])
        assert code == 0, err
        found += [f'test{one}' for one in differences(theirs.scores[-1][2], own.scores[-1][2])]
    return '', found


def _compared(theirs, own):
    for part in ('images', 'shapes', 'steps', 'losses', 'answers', 'scores', 'weights'):
        left, right = getattr(theirs, part), getattr(own, part)
        assert left or part in ('answers', 'scores'), f'{part}: nothing was recorded'
        yield from differences(left, right, part)
