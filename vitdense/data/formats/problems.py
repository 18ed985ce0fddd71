"""What can be wrong in annotations of any format.

What is mended, or may be meant, is a warning. The rest is left out of a training, an error of `check_data`.
"""

from dataclasses import dataclass

from ...findings import Kind, Level

MISSING_IMAGE = Kind('annotated images that are not there')
UNREADABLE_IMAGE = Kind('images whose size cannot be read')
ANNOTATED_TWICE = Kind('images that are annotated twice', 'the first annotations are kept')
OTHER_SIZE = Kind('annotations of another size than the image')
TURNED = Kind(
    'images that an EXIF tag turns', 'boxes of the stored pixels are turned, too', level=Level.WARNING
)
UNKNOWN_TURN = Kind(
    'images that an EXIF tag turns, perhaps not their annotations',
    'no size tells which; look at training_samples.png',
    level=Level.WARNING,
)
DAMAGED_IMAGE = Kind('images that are truncated or damaged')
SAME_STEM = Kind('images that share an annotation file, as their names differ in the suffix alone')
IN_NO_LIST = Kind('images in no list of ImageSets', level=Level.WARNING)
TWO_SPLITS = Kind('images of two splits', 'they validate what was trained on', level=Level.WARNING)
NOT_ANNOTATED = Kind('images without a label map', level=Level.WARNING)
UNREADABLE_FILE = Kind('annotation files that cannot be read')
UNREADABLE_MAP = Kind('label maps that cannot be read')
MAP_OF_OTHER_SIZE = Kind('label maps of another size than the image')
UNKNOWN_IMAGE = Kind('annotations of no image')
UNKNOWN_CLASS = Kind('annotations of no class')
MALFORMED_LINE = Kind('lines of neither a box nor a polygon')
MALFORMED_SHAPE = Kind('malformed shapes')
NOT_FINITE = Kind('boxes that are no finite numbers')
EXCHANGED = Kind('boxes whose corners are exchanged')
NO_SIZE = Kind('boxes of no size')
OUTSIDE = Kind('boxes outside of their image')
CLIPPED = Kind('boxes that leave their image', 'they are cut at its edge', level=Level.WARNING)
SHORT_POLYGON = Kind('polygons of fewer than three points')
CROWDS = Kind('crowds', 'YOLO has none', level=Level.WARNING)
SEVERAL_PARTS = Kind('outlines of several parts', 'YOLO has none; boxes instead', level=Level.WARNING)

EXPECTED = {
    MISSING_IMAGE: 'one image of this name in the folder',
    UNREADABLE_IMAGE: 'an image',
    DAMAGED_IMAGE: 'a whole image',
    SAME_STEM: 'one image for each annotation file',
    ANNOTATED_TWICE: 'one entry for each image',
    OTHER_SIZE: 'the size of the image, perhaps with its sides exchanged by an EXIF tag',
    UNREADABLE_FILE: 'a file in its format',
    UNREADABLE_MAP: 'an image',
    MAP_OF_OTHER_SIZE: 'the size of the image',
    UNKNOWN_IMAGE: 'the id of an image of the file',
    UNKNOWN_CLASS: 'one of the classes',
    MALFORMED_LINE: 'a class and 4 numbers of a box, or 6 and more of a polygon',
    MALFORMED_SHAPE: '3 points or more of a polygon, 2 of another shape',
    NOT_FINITE: 'four finite numbers',
    EXCHANGED: 'a left and upper, and a right and lower corner',
    NO_SIZE: 'a width and a height',
    OUTSIDE: 'a box on the image',
    SHORT_POLYGON: '3 points or more',
}


@dataclass(frozen=True)
class Problem:
    """Something wrong in the files.

    where: the file, and the line or the object in it.
    came: what stands there.
    """

    kind: Kind
    where: str
    came: str
