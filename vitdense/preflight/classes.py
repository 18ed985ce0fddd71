"""Lists that have to agree: the classes of the training and of the validation, the outputs of the heads."""

import re
from collections.abc import Iterator

from mmengine.runner import Runner

from ..engine.unwrap import unwrapped
from .finding import Finding, Level, named


def classes(runner: Runner) -> Iterator[Finding]:
    """The heads' outputs, and the validation's classes, against the training's."""
    ours = list(runner.train_dataloader.dataset.metainfo.get('classes') or ())
    val = runner.val_dataloader
    theirs = list(val.dataset.metainfo.get('classes') or ()) if val else ours
    if ours != theirs:
        text = f'the training data have the classes {named(ours)}, the validation data {named(theirs)}'
        yield Finding('classes', text, Level.FAULT)
    for name, module in unwrapped(runner).named_modules():
        outputs = getattr(module, 'num_classes', None)
        head = re.search(r'(\w+_head)(?:\.\d+)?$', name)  # one of several has a number
        if not head or head[1] == 'rpn_head' or not isinstance(outputs, int):
            continue  # a region proposal network tells objects from none, whatever they are
        if outputs != len(ours):
            text = f'model.{name}.num_classes is {outputs}, the data have {len(ours)} classes ({named(ours)})'
            yield Finding('classes', text, Level.FAULT)
