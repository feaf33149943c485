"""The colours of effects: red speaks for, blue against, white neither; also for people who confuse red and green."""

from __future__ import annotations

import html
from functools import cache

import numpy as np

from mgc_jax.explain.explanation import Explanation

NOT_READ = "#8a8a8a"


def largest(effects: np.ndarray) -> float:
    """The effect that gets the full colour; 1 where nothing has any."""
    largest = np.abs(effects[np.isfinite(effects)]).max(initial=0.0)
    return float(largest) if largest > 0 else 1.0


@cache
def colour_map():
    """From -1 (blue) to 1 (red); the darkest ends, on which no black text can be read, are left out."""
    from matplotlib import colormaps
    from matplotlib.colors import ListedColormap

    return ListedColormap(colormaps["RdBu_r"](np.linspace(0.12, 0.88, 255)), name="effect")


def colour(share: float) -> str:
    """#rrggbb of an effect as a share of the largest one."""
    from matplotlib.colors import to_hex

    return to_hex(colour_map()(float(np.clip(share, -1.0, 1.0)) / 2 + 0.5))


def words_html(explanation: Explanation, genre: str) -> str:
    """The lyrics as HTML, each word on the colour of its effect on an explained genre, which its tooltip says.

    White space and line breaks are the text's own; what the model did not read is grey. Everything is escaped.

    Raises:
        ValueError: the genre was not explained.
    """
    effects = explanation.word_effect[:, explanation.genres.index(genre)]
    unit, text, parts, end = largest(explanation.word_effect), explanation.words.text, [], 0
    for (start, behind), effect in zip(explanation.words.spans, effects, strict=True):
        if start > end:
            parts.append(html.escape(text[end:start]))
        style = f"color:{NOT_READ}" if np.isnan(effect) else f"background:{colour(effect / unit)};color:#000"
        title = "not read" if np.isnan(effect) else f"{effect:+.2f}"
        parts.append(f'<span style="{style}" title="{title}">{html.escape(text[start:behind])}</span>')
        end = behind
    return "\n".join("".join(parts).splitlines()).replace("\n", "<br>\n")
