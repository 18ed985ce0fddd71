"""A run looked over in seconds, before its first iteration: what would end it late, or end well on nonsense.

classes    the data's classes against the model's and the annotations'
labels     what the first samples teach: how often each class, how much ignored
shapes     the backbone's maps against what neck and heads expect of them
step       one step that changes nothing: gradients, memory
recipe     batch and learning rate against those that the schedule was published with
loaded     which share of the weights came from a file
continued  what a run that goes on has been begun with

Each looks at a built runner and yields findings: facts are shown, doubts are shown as such, and faults stop
the run together.
"""

from .finding import Finding, Level
from .flight import Checked, PreflightHook

__all__ = ['Checked', 'Finding', 'Level', 'PreflightHook']
