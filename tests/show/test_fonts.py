"""Class names in any script: drawn where a font has the glyphs, numbered where none has."""

import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import font_manager
from matplotlib import pyplot as plt

from vitdense.show.fonts import USUAL, drawable_labels

NAMES = [
    'cat',
    '\U000f1000\U000f1001',
    '\U000f1000 cat',
    '\U000f1002',
]  # of private use, which no other font has


@pytest.fixture
def fonts(tmp_path, monkeypatch):
    """A system with one more font, made when it is asked for: a triangle for each character."""

    def install(family, characters):
        builder = FontBuilder(1000, isTTF=True)
        glyphs = {'.notdef': TTGlyphPen(None).glyph()}
        for character in characters:
            pen = TTGlyphPen(None)
            pen.moveTo((0, 0))
            pen.lineTo((900, 0))
            pen.lineTo((450, 900))
            pen.closePath()
            glyphs[f'u{ord(character):X}'] = pen.glyph()
        builder.setupGlyphOrder(list(glyphs))
        builder.setupCharacterMap({ord(character): f'u{ord(character):X}' for character in characters})
        builder.setupGlyf(glyphs)
        builder.setupHorizontalMetrics(dict.fromkeys(glyphs, (1000, 0)))
        builder.setupHorizontalHeader(ascent=900, descent=-100)
        builder.setupNameTable(dict(familyName=family, styleName='Regular'))
        builder.setupOS2()
        builder.setupPost()
        builder.save(tmp_path / f'{family}.ttf')

    entries = list(font_manager.fontManager.ttflist)
    monkeypatch.setattr(font_manager.fontManager, 'ttflist', entries)
    monkeypatch.setattr(font_manager, 'findSystemFonts', lambda: list(map(str, tmp_path.glob('*.ttf'))))
    yield install
    font_manager.fontManager._findfont_cached.cache_clear()


def drawn(text, families):
    """The pixels of a text."""
    with plt.rc_context({'font.family': families}):
        figure = plt.figure(figsize=(2, 1))
        figure.text(0.1, 0.3, text, fontsize=20)
        figure.canvas.draw()
        pixels = np.asarray(figure.canvas.buffer_rgba())[..., 0] < 128
        plt.close(figure)
    return pixels


def test_latin_names_need_no_other_font():
    found = drawable_labels(['cat', 'Straße', 'Ωμέγα', 'кот', 'traffic light'])
    assert found == (['cat', 'Straße', 'Ωμέγα', 'кот', 'traffic light'], [USUAL], {})


@pytest.mark.filterwarnings('ignore:Glyph .* missing')
def test_a_font_that_was_installed_since_is_found_and_draws_the_name(fonts):
    fonts('Later', '\U000f1000\U000f1001')
    found = drawable_labels(NAMES[:3])
    assert found == (NAMES[:3], [USUAL, 'Later'], {})
    for families, pointed in ((found.families, True), ([USUAL], False)):  # a triangle, or an empty box
        widths = drawn('\U000f1000', families).sum(axis=1)
        top, *_, bottom = widths[widths > 0]
        assert (4 * top < bottom) == pointed


def test_several_fonts_are_joined(fonts):
    fonts('One', '\U000f1000\U000f1001')
    fonts('Two', '\U000f1001\U000f1002')
    names, families, undrawable = drawable_labels(NAMES)
    assert (names, undrawable) == (NAMES, {})
    assert sorted(families) == sorted([USUAL, 'One', 'Two'])


def test_names_that_no_font_has_are_numbered_and_never_boxes(fonts):
    fonts('One', '\U000f1000')
    names, families, undrawable = drawable_labels(NAMES)
    assert names == ['cat', 'class 1', '\U000f1000 cat', 'class 3']
    assert undrawable == {1: NAMES[1], 3: NAMES[3]}
    assert families == [USUAL, 'One']


def test_a_font_that_draws_a_box_for_everything_is_not_used():
    assert drawable_labels(['\U000f1234']).undrawable == {0: '\U000f1234'}


def test_decomposed_names_are_composed_and_long_ones_cut():
    names, _, undrawable = drawable_labels(['cafe\u0301', 'two\nlines', 'x' * 50, 'a\u200db'])
    assert names[:2] == ['café', 'two lines']
    assert names[2] == 'x' * 29 + '…'
    assert undrawable == {}
