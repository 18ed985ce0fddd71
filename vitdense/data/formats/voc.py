"""Pascal VOC's layout: an XML file for each image, and lists of names in ImageSets/Main.

VOC counts pixels from 1, and the last one belongs to the box: xmin=1 and xmax=W cover an image of width W.
So a box is [xmin - 1, xmax] in coordinates, as Detectron2 reads it. Readers that also take 1 from the maximum
get boxes a pixel smaller.
"""

from pathlib import Path
from xml.etree import ElementTree

from ...errors import UserError
from .files import ImageIndex, image_size, only
from .problems import IN_NO_LIST, MISSING_IMAGE, UNKNOWN_CLASS, UNREADABLE_FILE, UNREADABLE_IMAGE, Problem
from .records import Annotations, Instance, Record, split_of

SETS = 'ImageSets/Main'
NAN = float('nan')


def read(folder: Path) -> Annotations | None:
    """Read every XML file; classes are in the order of their names. ImageSets or folders say the splits.

    None, if none is an `annotation`.

    Raises:
        UserError: no file names an object.
    """
    files = sorted(folder.rglob('*.xml'), key=lambda path: (path.name, path))
    roots = {file: _root(file) for file in files}
    trees = {file: root for file, root in roots.items() if root is not None}
    if not trees:
        return None
    found = Annotations('Pascal VOC', [], {})
    for file in files:
        if file not in trees:
            found.problems.append(Problem(UNREADABLE_FILE, str(file.relative_to(folder)), 'no annotation'))
    found.classes = sorted(
        {_text(one, 'name') for root in trees.values() for one in root.iter('object')} - {''}
    )
    if not found.classes:
        raise UserError(f'{folder}: no object in any of its {len(trees)} XML files')
    index = ImageIndex(folder)
    sets = _sets(folder)
    for file, root in trees.items():
        split = sets.get(file.stem) if sets else split_of(file.relative_to(folder).parts[:-1]) or 'all'
        if not split:
            found.problems.append(Problem(IN_NO_LIST, str(file.relative_to(folder)), 'left out'))
        elif record := _record(file, root, folder, index, found):
            found.splits.setdefault(split, []).append(record)
    return found


def _root(file: Path) -> ElementTree.Element | None:
    """An `annotation`. Expat refuses entities that grow beyond all bounds."""
    try:
        root = ElementTree.parse(file).getroot()
    except (OSError, ElementTree.ParseError, ValueError, LookupError):
        return None
    return root if root.tag == 'annotation' else None


def _sets(folder: Path) -> dict[str, str]:
    """The split of each name. `trainval` is train and val together, and counts where these are not there."""
    main = folder / SETS
    splits: dict[str, str] = {}
    for name in ('trainval', 'test', 'val', 'train'):
        file = main / f'{name}.txt'
        if file.is_file():
            for line in file.read_text(encoding='utf-8-sig', errors='replace').splitlines():
                if line.split():
                    splits[line.split()[0]] = 'all' if name == 'trainval' else name
    return splits


def _record(
    file: Path, root: ElementTree.Element, folder: Path, index: ImageIndex, found: Annotations
) -> Record | None:
    where, name = str(file.relative_to(folder)), _text(root, 'filename')
    # the name in the file is often of another folder, or without a suffix; the file's own stem is right
    path = only(index.by_stem.get(file.stem, []), folder, split_of(file.relative_to(folder).parts[:-1]))
    path = path or (index.find(name, file.parent) if name else None)
    if path is None:
        found.problems.append(Problem(MISSING_IMAGE, where, name or file.stem))
        return None
    size = _size(root) or image_size(path)
    if size is None:
        found.problems.append(Problem(UNREADABLE_IMAGE, where, path.name))
        return None
    record = Record(path, size, sized=_size(root) is not None)
    for number, one in enumerate(root.iter('object'), 1):
        if not (label := _text(one, 'name')):
            found.problems.append(Problem(UNKNOWN_CLASS, f'{where}: object {number}', 'no name'))
            continue
        record.instances.append(Instance(found.classes.index(label), _box(one)))
    return record


def _size(root: ElementTree.Element) -> tuple[int, int] | None:
    sides = [_number(root, f'size/{name}') for name in ('height', 'width')]
    return (int(sides[0]), int(sides[1])) if all(side > 0 for side in sides) else None


def _box(one: ElementTree.Element) -> tuple[float, float, float, float]:
    left, top, right, bottom = (_number(one, f'bndbox/{name}') for name in ('xmin', 'ymin', 'xmax', 'ymax'))
    return left - 1, top - 1, right - (left - 1), bottom - (top - 1)


def _text(node: ElementTree.Element, name: str) -> str:
    return (node.findtext(name) or '').strip()


def _number(node: ElementTree.Element, name: str) -> float:
    try:
        return float(_text(node, name))
    except ValueError:
        return NAN
