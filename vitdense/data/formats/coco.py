"""COCO's JSON, in the layouts that tools write.

- `annotations/instances_train2017.json` beside `train2017/` or `images/`, as COCO itself and CVAT have it;
- `train/_annotations.coco.json` among the images, as Roboflow has it;
- one file beside `images/`, as Label Studio and labelme2coco have it.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...errors import UserError
from .files import ImageIndex, annotated_size, load_json
from .problems import MISSING_IMAGE, UNKNOWN_CLASS, UNKNOWN_IMAGE, UNREADABLE_IMAGE, Problem
from .records import Annotations, Instance, Record, split_of

LISTS = ('images', 'annotations', 'categories')
DEPTH = 2  # folders below the given one in which a file is looked for
NAN = float('nan')


def read(folder: Path) -> Annotations | None:
    """Read every file with COCO's three lists; one whose name says no split belongs to 'all'.

    None, if there is no such file.

    Raises:
        UserError: two files have other categories, or a file has none.
    """
    problems: list[Problem] = []
    if not (wholes := _files(folder, problems)):
        return None
    classes = _classes(wholes)
    found = Annotations('COCO', classes, {}, problems=problems)
    index = ImageIndex(folder)
    for file, whole in wholes.items():
        split = split_of([*file.relative_to(folder).parts[:-1], file.stem])
        records = _records(file, whole, classes, index, split, found.problems)
        found.splits.setdefault(split or 'all', []).extend(records)
    return found


def _files(folder: Path, problems: list[Problem]) -> dict[Path, dict]:
    """The files with the three lists, read; of COCO's own, not those of keypoints beside the instances."""
    wholes = {}
    for depth in range(DEPTH + 1):
        for file in sorted(folder.glob('*/' * depth + '*.json')):
            whole = load_json(file, problems)
            if isinstance(whole, dict) and all(isinstance(whole.get(name), list) for name in LISTS):
                wholes[file] = whole
    instances = {file: whole for file, whole in wholes.items() if file.name.startswith('instances_')}
    return instances or wholes


def _classes(wholes: dict[Path, dict]) -> list[str]:
    """Names of categories, in the order of their ids.

    One that no object has and that is only the heading of others, as Roboflow's first, is no class.
    """
    lists: dict[Path, list[str]] = {}
    used: set[str] = set()
    headings: set[Any] = set()
    for file, whole in wholes.items():
        names = _names(whole)
        lists[file] = list(names.values())
        if not names:
            raise UserError(f'{file}: has no categories')
        if twice := [name for name, times in Counter(lists[file]).items() if times > 1]:
            raise UserError(f'{file}: two categories are called {twice[0]!r}')
        ids = {_id(one, 'category_id') for one in whole['annotations'] if isinstance(one, dict)}
        used |= {name for key, name in names.items() if key in ids}
        headings |= {
            _id(one, 'supercategory') for one in _entries(whole) if one.get('supercategory') != one['name']
        }
    (first, listed), *others = lists.items()
    for file, different in others:
        if different != listed:
            raise UserError(
                f'{file}: its categories are {", ".join(different)}; those of {first} are {", ".join(listed)}'
            )
    return [name for name in listed if name in used or name not in headings]


def _entries(whole: dict) -> list[dict]:
    whole_entries = (one for one in whole['categories'] if isinstance(one, dict))
    return [one for one in whole_entries if isinstance(one.get('id'), (int, str)) and one.get('name')]


def _names(whole: dict) -> dict[Any, str]:
    entries = sorted(_entries(whole), key=lambda one: (str(type(one['id'])), one['id']))
    return {one['id']: str(one['name']) for one in entries}


def _id(one: dict, key: str) -> Any:
    """A number or a text; the text of anything else, which is then nobody's."""
    value = one.get(key)
    return value if isinstance(value, (int, str)) or value is None else repr(value)


def _records(
    file: Path,
    whole: dict,
    classes: list[str],
    index: ImageIndex,
    split: str | None,
    problems: list[Problem],
) -> Iterator[Record]:
    images = {_id(one, 'id'): one for one in whole['images'] if isinstance(one, dict)}
    objects = _objects(file, whole, classes, set(images), problems)
    for key, image in images.items():
        where, name = f'{file.name}: image {key}', str(image.get('file_name', ''))
        path = index.find(name, file.parent, split)
        if path is None:
            problems.append(Problem(MISSING_IMAGE, where, name))
            continue
        size, sized = annotated_size(image.get('height'), image.get('width'), path)
        if size is None:
            problems.append(Problem(UNREADABLE_IMAGE, where, name))
            continue
        yield Record(path, size, objects[key], sized=sized)


def _objects(
    file: Path, whole: dict, classes: list[str], images: set, problems: list[Problem]
) -> dict[Any, list[Instance]]:
    """By the ids of their images."""
    names = _names(whole)
    labels = {key: classes.index(name) for key, name in names.items() if name in classes}
    objects: dict[Any, list[Instance]] = defaultdict(list)
    for number, one in enumerate(whole['annotations']):
        one = one if isinstance(one, dict) else {}
        where = f'{file.name}: annotation {one.get("id", f"number {number}")}'
        for key, known, kind in (
            ('image_id', images, UNKNOWN_IMAGE),
            ('category_id', labels, UNKNOWN_CLASS),
        ):
            if _id(one, key) not in known:
                problems.append(Problem(kind, where, f'{key} {one.get(key)!r}'))
                break
        else:
            objects[one['image_id']].append(_instance(one, labels[one['category_id']]))
    return objects


def _instance(one: dict, label: int) -> Instance:
    box, area = one.get('bbox'), one.get('area')
    if not isinstance(box, list) or len(box) != 4 or not all(isinstance(x, (int, float)) for x in box):
        box = [NAN] * 4
    known = isinstance(area, (int, float)) and area > 0
    return Instance(
        label, tuple(box), one.get('segmentation') or None, one.get('iscrowd') == 1, area if known else None
    )
