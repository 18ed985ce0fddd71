"""The built-in world: drawn pictures with exact answers, so that everything runs with nothing downloaded.

root()          the folder, in COCO's and in ADE20K's layout (`layout.py`); drawn at the first call
CLASSES         what there is to detect; `THING_PALETTE` has their colours
SEG_CLASSES     what a label map holds, as 1, 2, …; 0 is unlabelled; `SEG_PALETTE` has their colours
SIZE, COUNTS    the usual image side in pixels, the number of images in each split
VERSION         of the drawn world
"""

from .layout import VERSION, root
from .things import CLASSES
from .world import COUNTS, SEG_CLASSES, SIZE

THING_PALETTE = ((235, 90, 70), (250, 190, 60), (60, 190, 170), (170, 96, 200), (60, 120, 230))
SEG_PALETTE = ((170, 214, 236), (38, 104, 150), (232, 206, 158), (124, 168, 84), *THING_PALETTE)

__all__ = ['CLASSES', 'COUNTS', 'SEG_CLASSES', 'SEG_PALETTE', 'SIZE', 'THING_PALETTE', 'VERSION', 'root']
