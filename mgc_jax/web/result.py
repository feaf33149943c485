"""What the page shows of a song, as HTML; everything that comes from a file or a person is escaped."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

import numpy as np

from mgc_jax.plots.data_uri import png_data_uri
from mgc_jax.plots.effect_colours import words_html

if TYPE_CHECKING:
    from mgc_jax.explain.explanation import Explanation
    from mgc_jax.inference.prediction import Prediction

TOP, DPI = 10, 110
STYLE = """
.genres { border-collapse: collapse; width: 100% }
.genres, .genres tr, .genres td { border: none !important }
.genres td { padding: 2px 6px !important }
.genres .name { white-space: nowrap }
.genres .predicted { font-weight: 700 }
.genres .bar { width: 60%; min-width: 90px; position: relative }
.genres .bar span { display: block; height: 14px; background: #8aa9c9; border-radius: 2px }
.genres .predicted .bar span { background: #2f6db3 }
.genres .bar i { position: absolute; top: 0; bottom: 0; width: 2px; background: currentColor }
.genres .score { text-align: right; font-variant-numeric: tabular-nums }
.lyrics { line-height: 1.7; max-height: 24em; overflow-y: auto; background: #fff; padding: 8px; border-radius: 4px;
  color: #000 }
.lyrics span { padding: 1px 2px; border-radius: 2px }
.why details { margin: 8px 0 }
.picture { overflow-x: auto }
.picture img { width: 100%; min-width: 600px; max-width: 1100px; height: auto; margin: 0; background: #fff }
.similar li { margin: 6px 0 }
.similar small { color: #777 }
.similar audio { display: block; width: 100%; height: 32px; margin-top: 2px }
.problem { border-left: 4px solid #b3261e; padding: 8px 12px }
"""


def problem(sentence: str) -> str:
    """A sentence about what went wrong."""
    return f'<p class="problem" role="alert">{html.escape(sentence)}</p>'


def genres(prediction: Prediction, thresholds: dict[str, float]) -> str:
    """The genres with the highest scores, each beside its threshold; all that are predicted are among them, in bold."""
    rows = []
    last = max((i for i, (name, _) in enumerate(prediction.ranked) if name in prediction.predicted), default=0)
    for name, score in prediction.ranked[: max(TOP, last + 1)]:
        kind = "predicted" if name in prediction.predicted else ""
        threshold = thresholds[name]
        line = f'<i style="left:{100 * threshold:.1f}%" title="threshold {threshold:.2f}"></i>'
        bar = f'<span style="width:{100 * score:.1f}%"></span>{line}'
        rows.append(
            f'<tr class="{kind}"><td class="name">{html.escape(name)}</td><td class="bar">{bar}</td>'
            f'<td class="score">{score:.2f}</td></tr>'
        )
    windows = f"{prediction.windows} stretch{'es' * (prediction.windows != 1)} of sound"
    windows += f" ({prediction.too_quiet} more were too quiet)" if prediction.too_quiet else ""
    windows += "".join(f" ({html.escape(note)})" for note in prediction.notes)
    given = [windows]
    if prediction.lyrics_tokens is not None:
        tokens = prediction.lyrics_tokens
        given.append(f"{tokens} word pieces of lyrics" if tokens else "no lyrics")
    return (
        f"<h3>{html.escape(', '.join(prediction.predicted))}</h3><table class='genres'>{''.join(rows)}</table>"
        f"<p>From {' and '.join(given)}. Bold: predicted, as the score reaches the genre's threshold (the line in its "
        "bar), or is the highest where none does.</p>"
    )


def reasons(explanation: Explanation) -> str:
    """Pictures of the seconds and of the parts of each decision, and the words on their colours for each genre."""
    from mgc_jax.plots import explanations

    of_sound = [explanations.sound(explanation)] if explanation.uses_audio else []
    drawn = explanations.compose(explanation, [*of_sound, explanations.shares(explanation)])
    names = ", ".join(explanation.genres[: explanations.GENRES])
    seconds = f"Seconds that speak for and against {names}, and what" if of_sound else "What"
    text = f"{seconds} makes each decision."
    image = f'<img alt="{html.escape(text)}" src="{png_data_uri(drawn, DPI)}">'
    parts = [f'<div class="why"><div class="picture">{image}</div>']
    if np.isfinite(explanation.word_effect).any():
        for index, name in enumerate(explanation.genres):
            opened = " open" if index == 0 else ""
            parts.append(
                f"<details{opened}><summary>Words for {html.escape(name)} (red) and against it (blue)</summary>"
                f'<div class="lyrics">{words_html(explanation, name)}</div></details>'
            )
        if explanation.words_not_read:
            count = len(explanation.words.words)
            parts.append(
                f"<p>Grey: not read; the model reads {count - explanation.words_not_read} of {count} words.</p>"
            )
    kinds = ["seconds"] * explanation.uses_audio + ["words"] * explanation.uses_lyrics
    strange = ["a silence"] * explanation.uses_audio + ["a masked word"] * explanation.uses_lyrics
    parts.append(
        f"<p>Found by taking {' and '.join(kinds)} away and asking the model again. Compare "
        f"{' and '.join(f'{kind} with each other' for kind in kinds)}: {' or '.join(strange)} is something that the "
        "model rarely met.</p></div>"
    )
    return "".join(parts)
