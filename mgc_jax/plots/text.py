"""Text of any language in a picture, as far as the installed fonts have its letters."""

from __future__ import annotations

import logging
from functools import cache

from matplotlib import font_manager
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.font_manager import FontProperties
from matplotlib.ft2font import FT2Font

_FAMILIES = (
    *("Noto Sans CJK JP", "Noto Sans CJK SC", "Noto Sans CJK KR", "Source Han Sans", "Hiragino Sans", "Yu Gothic"),
    *("Microsoft YaHei", "Malgun Gothic", "PingFang SC", "WenQuanYi Zen Hei", "Droid Sans Fallback"),
    *(
        "Arial Unicode MS",
        "Noto Sans",
        "Noto Sans Arabic",
        "Noto Sans Hebrew",
        "Noto Sans Devanagari",
        "Noto Sans Thai",
    ),
)
NO_GLYPH = "\u25a1"
"""Stands for a letter that no font has."""
_DPI, _LONGEST = 100, 1000


@cache
def families() -> list[str]:
    """The fonts to look for a letter in: matplotlib's own, and those for other scripts that are installed."""
    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)  # some have no bold letters: regular ones do
    installed = {font.name for font in font_manager.fontManager.ttflist}
    return ["DejaVu Sans", *(name for name in _FAMILIES if name in installed)]


@cache
def _letters() -> frozenset[int]:
    files = (font_manager.findfont(FontProperties(family=[name])) for name in families())
    return frozenset(code for file in files for code in FT2Font(file).get_charmap())


def drawable(text: str) -> str:
    """The text with ``NO_GLYPH`` for what cannot be drawn, and without what has no shape."""
    return "".join(c if ord(c) in _letters() else NO_GLYPH for c in text if c.isprintable() or c == " ")


def width(text: str, size: float, weight: str = "normal") -> float:
    """How wide a drawable text of ``size`` points is, in inches."""
    font = FontProperties(family=families(), size=size, weight=weight)
    return _measure().get_text_width_height_descent(text, font, False)[0] / _DPI


@cache
def _measure() -> RendererAgg:
    return RendererAgg(1, 1, _DPI)


def shortened(text: str, size: float, room: float, weight: str = "normal") -> str:
    """A drawable text that is no wider than ``room`` inches, cut with an ellipsis."""
    whole, text = len(text) <= _LONGEST, drawable(text[:_LONGEST])
    if whole and width(text, size, weight) <= room:
        return text
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if width(text[:middle] + "…", size, weight) <= room else (low, middle - 1)
    return text[:low] + "…"


def wrapped(text: str, size: float, room: float) -> str:
    """A drawable text in as many lines as it needs to be no wider than ``room`` inches."""
    lines: list[str] = []
    for word in drawable(text).split(" "):
        if lines and width(f"{lines[-1]} {word}", size) <= room:
            lines[-1] += f" {word}"
        else:
            lines.append(shortened(word, size, room))
    return "\n".join(lines)
