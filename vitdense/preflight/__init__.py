"""A run checked in seconds, before its first iteration: what would end it late, or well on nonsense.

data        classes, first samples and ignored labels of the data against the model, and what is left out
label_maps  values of whole label maps in every split, and maps without an image
shapes      the backbone's feature maps against what neck and heads expect
origin      loaded weights, the schedule's batch size, the config of a resumed run
schedule    the learning rate over the run against its length
scores      what is scored against what is loaded, the checkpoint's classes
validation  one batch of the validation, and who waits for a score of it
step        one training step that changes nothing: gradients, memory
neighbours  other work on the cores that the threads count on
precision   what mixed precision brings on this processor, measured
untouched   what all of them leave as it was

Each checks a built runner and yields findings. Facts and warnings are printed; errors stop the run, together.
"""

from .flight import PreflightHook

__all__ = ['PreflightHook']
