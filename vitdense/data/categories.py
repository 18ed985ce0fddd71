"""The classes of a config against the categories of a COCO file."""

import difflib
from collections.abc import Sequence
from typing import NamedTuple


class CategoryDifferences(NamedTuple):
    """What stands between classes and categories; all empty where they agree.

    missing: classes without a category, each with the nearest category that is no class, or ''.
    repeated: names that several categories have.
    reordered: (label, class, category) of the first label that the file's order gives to another class, or
    None.
    extra: categories that are no class.
    """

    missing: list[tuple[str, str]]
    repeated: list[str]
    reordered: tuple[int, str, str] | None
    extra: list[str]


def compare_categories(classes: Sequence[str], names: Sequence[str]) -> CategoryDifferences:
    """Compare a config's classes with a file's category names, in the file's order.

    MMDetection leaves out the objects of a class that has no category, and numbers the labels of the others
    in the file's order, without a word.
    """
    extra = [name for name in dict.fromkeys(names) if name not in classes]
    missing = [(name, nearest(name, extra)) for name in classes if name not in names]
    repeated = sorted({name for name in names if names.count(name) > 1})
    known = [name for name in dict.fromkeys(names) if name in classes]
    present = [name for name in classes if name in names]
    pairs = zip(present, known, strict=True)
    reordered = next(((label, *pair) for label, pair in enumerate(pairs) if pair[0] != pair[1]), None)
    return CategoryDifferences(missing, repeated, reordered, extra)


def nearest(name: str, others: Sequence[str]) -> str:
    """As a person would mistake one name for another: without a look at upper and lower case."""
    lower = {other.lower(): other for other in others}
    near = difflib.get_close_matches(name.lower(), lower, 1)
    return lower[near[0]] if near else ''
