"""Class names in any script, by the fonts that a system has."""

import logging
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

from matplotlib import font_manager
from matplotlib.ft2font import FT2Font

logging.getLogger('matplotlib.font_manager').setLevel(
    logging.ERROR
)  # a family without a normal weight is no news

USUAL = 'DejaVu Sans'  # comes with matplotlib
LONGEST = 30  # characters of a name


class Labels(NamedTuple):
    """Class names as a picture can show them.

    names: one per class; `class 3` where no font has all of its characters.
    families: of fonts, each for what the ones before it do not have.
    undrawable: the classes that have a number in place of their name.
    """

    names: list[str]
    families: list[str]
    undrawable: dict[int, str]


def drawable_labels(classes: Sequence[str]) -> Labels:
    # files from macOS may have their names decomposed, for which fonts have no glyphs
    whole = [unicodedata.normalize('NFC', ' '.join(str(name).split())) for name in classes]
    families, missing = _fonts_for({character for name in whole for character in name if _visible(character)})
    undrawable = {index: name for index, name in enumerate(whole) if missing & set(name)}
    names = [f'class {index}' if index in undrawable else name for index, name in enumerate(whole)]
    return Labels([shortened(name, LONGEST) for name in names], families, undrawable)


def shortened(text: str, most: int) -> str:
    return text if len(text) <= most else f'{text[: most - 1]}…'


def _visible(character: str) -> bool:
    """Not a space, nor one that only says how others are joined."""
    return unicodedata.category(character) not in ('Cc', 'Cf', 'Zs', 'Zl', 'Zp')


def _fonts_for(characters: set[str]) -> tuple[list[str], set[str]]:
    """Families that together have the characters, the usual one first, and the characters that none has."""
    families = [USUAL]
    missing = characters - _covered(USUAL, characters)
    if not missing:
        return families, missing
    # matplotlib keeps a list of fonts, which those that were installed since are not in
    listed = {entry.fname for entry in font_manager.fontManager.ttflist}
    for path in sorted(set(font_manager.findSystemFonts()) - listed):
        _add(path)
    others = {entry.name for entry in font_manager.fontManager.ttflist} - {USUAL}
    ranked = sorted(others, key=lambda name: ('Sans' not in name, name))
    covered = {name: _covered(name, missing) for name in ranked}
    while missing:
        best = max(ranked, key=lambda name: len(covered[name] & missing), default='')
        if not best or not covered[best] & missing:
            break
        families.append(best)
        missing -= covered[best]
    return families, missing


def _add(path: str) -> None:
    try:
        font_manager.fontManager.addfont(path)
    except (OSError, RuntimeError):  # one that FreeType cannot read
        return


def _covered(family: str, characters: set[str]) -> set[str]:
    """Those of the characters for which a family has a glyph that is a drawing of it."""
    if family.startswith('Last Resort'):  # draws boxes
        return set()
    try:
        font = FT2Font(font_manager.findfont(family, fallback_to_default=False))
    except (OSError, RuntimeError, ValueError):
        return set()
    if not font.scalable:  # coloured pictures of emoji
        return set()
    return {character for character in characters if font.get_char_index(ord(character))}
