"""An explanation as a picture, whole or in parts, for people who know music and not the model.

Sizes in inches. Axis letters: E explained genres, M mel bands.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure, FigureBase
from matplotlib.patches import Rectangle

from mgc_jax.explain.explanation import Explanation
from mgc_jax.plots.effect_colours import NOT_READ, colour, colour_map, largest
from mgc_jax.plots.text import NO_GLYPH, drawable, families, shortened, width, wrapped

GENRES, ROWS, ATTENDED = 3, 24, 10
"""How many genres, rows of lyrics and words with attention are drawn at most."""
WIDTHS = (8.5, 11.0, 14.0)
"""Of a picture of one, two and three genres."""
LEFT, RIGHT, GAP = 1.6, 0.95, 0.35
TEXT, SMALL = 9.5, 8.5
ROW, STRIP = 0.2, 0.27
QUIET = "#555555"


class Part(NamedTuple):
    """A part of the picture: how high it is, and what draws it into a figure of this width and height."""

    height: float
    draw: Callable[[FigureBase, float, float], None]


def draw(explanation: Explanation) -> Figure:
    """All parts below each other, for the first three genres."""
    every = [heading(explanation), *effects(explanation), shares(explanation)]
    if explanation.attention is not None and len(explanation.attention.words):
        every.append(attention(explanation))
    return compose(explanation, every)


def effects(explanation: Explanation) -> list[Part]:
    """What the seconds and the words do, of which a model may take one alone."""
    drawn = [sound(explanation)] if explanation.uses_audio else []
    return [*drawn, words(explanation)] if explanation.uses_lyrics else drawn


def compose(explanation: Explanation, parts: Sequence[Part]) -> Figure:
    """A figure of these parts, from top to bottom."""
    wide = WIDTHS[min(len(explanation.genres), GENRES) - 1]
    heights = [part.height for part in parts]
    figure = Figure(figsize=(wide, sum(heights)), facecolor="white")
    FigureCanvasAgg(figure)
    panels = figure.subfigures(len(parts), 1, height_ratios=heights, squeeze=False, hspace=0, wspace=0)[:, 0]
    for part, panel in zip(parts, panels, strict=True):
        part.draw(panel, wide, part.height)
    return figure


def heading(explanation: Explanation) -> Part:
    """The song, its genres, and how much of it was looked at."""

    def draw_into(panel: FigureBase, wide: float, high: float) -> None:
        prediction, scores = explanation.prediction, dict(explanation.prediction.ranked)
        named = ", ".join(f"{name} {scores[name]:.2f}" for name in prediction.predicted)
        number, total = len(explanation.windows), prediction.windows
        each = float((explanation.windows[:, 1] - explanation.windows[:, 0]).mean())
        windows_text = f"{number} windows of {each:.3g} s" if number > 1 else f"one window of {each:.3g} s"
        windows_text = (
            f"{number} of its {total} windows of {each:.3g} s, evenly chosen," if number < total else windows_text
        )
        room = wide - 0.4
        name = shortened(os.path.basename(prediction.file), 13, room, "bold")
        _write(panel, wide, high, 0.2, 0.3, name, size=13, weight="bold")
        _write(panel, wide, high, 0.2, 0.56, shortened(f"predicted: {named}", 10.5, room), size=10.5)
        line = f"explained from {windows_text} by taking parts away and asking the model again"
        _write(panel, wide, high, 0.2, 0.79, shortened(line, SMALL, room), size=SMALL, color=QUIET)

    return Part(0.95, draw_into)


def sound(explanation: Explanation) -> Part:
    """The song's spectrogram, and under it for each genre when something speaks for it and when against it."""
    genres = explanation.genres[:GENRES]
    strips = STRIP * len(genres) + 0.05 * (len(genres) - 1)
    note = "red: without these seconds the genre would be less likely, so they speak for it; blue: against it"
    if len(explanation.windows) < explanation.prediction.windows:
        note += "; grey: not explained"
    note = _caption(note, explanation)
    high = 0.4 + 1.9 + 0.1 + strips + 0.5 + _down(note)

    def draw_into(panel: FigureBase, wide: float, high: float) -> None:
        across = wide - LEFT - RIGHT
        picture, seconds = explanation.spectrogram, explanation.seconds
        _write(panel, wide, high, 0.2, 0.25, "What the model hears", size=11, weight="bold")
        axes = _axes(panel, wide, high, LEFT, 0.4, across, 1.9)
        extent = (0.0, len(picture.levels) * picture.seconds, -0.5, len(picture.hz) - 0.5)
        axes.imshow(picture.levels.T, origin="lower", aspect="auto", extent=extent, cmap="magma", vmin=0, vmax=255)
        axes.set(xlim=(0, seconds), ylabel="pitch (Hz)")
        pitches = [f for f in (200, 500, 1000, 2000, 5000, 10000) if picture.hz[0] <= f <= picture.hz[-1]]
        axes.set_yticks(
            np.interp(pitches, picture.hz, np.arange(len(picture.hz))),
            [f"{f // 1000} k" if f >= 1000 else str(f) for f in pitches],
        )
        axes.tick_params(labelbottom=False, labelsize=SMALL)
        _write(panel, wide, high, LEFT + across + 0.1, 0.52, "brighter:\nlouder", size=SMALL, color=QUIET)

        unit = largest(explanation.segment_effect[:, : len(genres)])
        edges, strip = _over_time(explanation, len(genres))
        top = 0.4 + 1.9 + 0.1
        for index, genre in enumerate(genres):
            axes = _axes(panel, wide, high, LEFT, top, across, STRIP)
            axes.set_facecolor("#dddddd")
            axes.pcolormesh(edges, [0, 1], strip[None, :, index], cmap=colour_map(), vmin=-unit, vmax=unit)
            axes.set(xlim=(0, seconds), ylim=(0, 1), yticks=[])
            _time_axis(axes)
            axes.tick_params(labelbottom=index == len(genres) - 1, bottom=index == len(genres) - 1)
            label = shortened(genre, TEXT, LEFT - 0.3)
            _write(panel, wide, high, LEFT - 0.1, top + STRIP / 2, label, size=TEXT, ha="right", va="center")
            top += STRIP + 0.05
        _colour_bar(panel, wide, high, unit, LEFT + across + 0.12, top - 0.05 - strips, strips)
        _write(panel, wide, high, 0.2, top + 0.42, note, size=SMALL, color=QUIET)

    return Part(high, draw_into)


def words(explanation: Explanation) -> Part:
    """The lyrics for each genre, every word on the colour of what it does."""
    count = min(len(explanation.genres), GENRES)
    wide = WIDTHS[count - 1]
    column = (wide - 0.4 - GAP * (count - 1)) / count
    layout = _lay_out(explanation, column - 0.1)
    rows = max((row for _, _, row, _ in layout.words), default=-1.0) + 1 + (layout.left_out > 0)
    notes = _notes(explanation, layout)
    top = 0.4 + (0.3 if layout.words else 0)
    high = top + ROW * rows + 0.2 * len(notes) + 0.2

    def draw_into(panel: FigureBase, wide: float, high: float) -> None:
        _write(panel, wide, high, 0.2, 0.25, "What the model reads", size=11, weight="bold")
        unit = largest(explanation.word_effect[:, :count])
        for index in range(count if layout.words else 0):
            left = 0.2 + index * (column + GAP)
            title = shortened(f"words for {explanation.genres[index]} (red) and against it (blue)", TEXT, column)
            _write(panel, wide, high, left, 0.55, title, size=TEXT)
            axes = _axes(panel, wide, high, left, top, column, ROW * rows)
            axes.set(xlim=(0, column), ylim=(rows, 0))
            axes.axis("off")
            for word, x, row, text in layout.words:
                effect = explanation.word_effect[word, index]
                across = width(text, SMALL)
                if not np.isnan(effect):
                    shape = Rectangle((x - 0.02, row + 0.06), across + 0.04, 0.9, color=colour(effect / unit), lw=0)
                    axes.add_patch(shape)
                style: dict[str, Any] = {"color": NOT_READ if np.isnan(effect) else "black", "family": families()}
                axes.text(x, row + 0.75, text, fontsize=SMALL, va="baseline", parse_math=False, **style)
            if layout.left_out:
                more = f"… and {layout.left_out} more words"
                axes.text(0.0, rows - 0.25, more, fontsize=SMALL, style="italic", color=QUIET)
        for line, note in enumerate(notes):
            _write(panel, wide, high, 0.2, high - 0.2 * (len(notes) - line), note, size=SMALL, color=QUIET)

    return Part(high, draw_into)


def shares(explanation: Explanation) -> Part:
    """For each genre, the bars whose sum is its logit, what related genres have to do with it, and the threshold."""
    count = min(len(explanation.genres), GENRES)
    graph = explanation.graph
    inner = 0.29 * (len(explanation.parts) + 1 + (graph is not None))
    first = {2: "two", 3: "three"}[len(explanation.parts)]
    note = f"the first {first} make up the sum; dashed: the genre's threshold"
    if explanation.prediction.windows > 1:
        note += ", for the mean score of all windows"
    if graph is not None:
        note += "; * what the genre's relatives do to the sum, in the bars above already"
    note = _caption(note, explanation)
    high = 0.62 + inner + 0.65 + _down(note)

    def draw_into(panel: FigureBase, wide: float, high: float) -> None:
        _write(panel, wide, high, 0.2, 0.25, "What makes the decision", size=11, weight="bold")
        column = (wide - LEFT - 0.3 - GAP * (count - 1)) / count
        scores = dict(explanation.prediction.ranked)
        for index, genre in enumerate(explanation.genres[:count]):
            axes = _axes(panel, wide, high, LEFT + index * (column + GAP), 0.62, column, inner)
            steps = [part[index] for part in explanation.parts.values()]
            starts = [0.0, *np.cumsum(steps)[:-1], 0.0]
            lengths = [*steps, explanation.logits[index]]
            labels = [*explanation.parts, "sum"]
            colours = ["#bbbbbb", *(colour(np.sign(step)) for step in steps[1:]), "#444444"]
            if graph is not None:
                labels.append("related genres*")
                starts.append(0.0)
                lengths.append(graph[index])
                colours.append("white")
            rows = np.arange(len(labels))
            bars = axes.barh(rows, lengths, left=starts, color=colours, height=0.62, edgecolor="#444444", lw=0.6)
            if graph is not None:
                bars[-1].set_hatch("////")
            ends = np.add(starts, lengths)
            for row, (end, length) in enumerate(zip(ends, lengths, strict=True)):
                backwards = length < 0
                axes.annotate(
                    f"{length:+.1f}" if abs(length) >= 0.05 else "0",
                    (end, row),
                    (-4 if backwards else 4, 0),
                    textcoords="offset points",
                    va="center",
                    ha="right" if backwards else "left",
                    fontsize=SMALL,
                    bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.4},
                )
            threshold = explanation.thresholds[index]
            axes.axvline(0, color="#444444", lw=0.6)
            axes.axvline(threshold, color="black", lw=1.2, ls="--")
            low, high_ = min(*ends, *starts, threshold), max(*ends, *starts, threshold)
            room = max(high_ - low, 1e-3)
            axes.set(xlim=(low - 0.2 * room, high_ + 0.2 * room), ylim=(len(labels) - 0.4, -0.6))
            axes.set_yticks(rows, labels if index == 0 else [""] * len(labels))
            axes.tick_params(labelsize=SMALL)
            axes.spines[["top", "right"]].set_visible(False)
            title = f"{drawable(genre)}: score {scores[genre]:.2f}"
            title += ", predicted" if genre in explanation.prediction.predicted else ", not predicted"
            axes.set_title(title, fontsize=TEXT, loc="left", parse_math=False)
            axes.set_xlabel("evidence (log-odds)", fontsize=SMALL)
        _write(panel, wide, high, 0.2, 0.62 + inner + 0.6, note, size=SMALL, color=QUIET)

    return Part(high, draw_into)


def attention(explanation: Explanation) -> Part:
    """Which words the song's stretches look at most, and which stretches these words look at."""
    attention = explanation.attention
    assert attention is not None
    received = attention.to_words[:, :-1].mean(0)
    top = np.sort(np.argsort(-received, kind="stable")[:ATTENDED])
    note = "attention (mean over heads) says what is looked at together, not what decides: for that see above"
    if len(top) < len(attention.words):
        note = f"the {len(top)} words that are looked at most; {note}"
    note = _caption(note, explanation)
    high = 0.62 + 0.22 * len(top) + 0.55 + _down(note)

    def draw_into(panel: FigureBase, wide: float, high: float) -> None:
        _write(panel, wide, high, 0.2, 0.25, "What the model compares", size=11, weight="bold")
        column = (wide - LEFT - RIGHT - 0.9) / 2
        names = [shortened(explanation.words.words[attention.words[word]], SMALL, LEFT - 0.35) for word in top]
        sides = (attention.to_words[:, top].T, attention.to_seconds[top] * len(explanation.windows))
        titles = ("how much each stretch looks at words", "how much words look at each stretch")
        for side, (values, title) in enumerate(zip(sides, titles, strict=True)):
            left = LEFT + side * (column + 0.9)
            axes = _axes(panel, wide, high, left, 0.62, column, 0.22 * len(top))
            axes.set_facecolor("#dddddd")
            most = max(float(values.max()), 1e-9)
            for stretch, (start, end) in enumerate(attention.seconds):
                edges = [start, end], np.arange(len(top) + 1) - 0.5
                axes.pcolormesh(*edges, values[:, [stretch]], cmap="Greys", vmin=0.0, vmax=most)
            axes.set(xlim=(0, explanation.seconds), ylim=(len(top) - 0.5, -0.5))
            axes.set_yticks(np.arange(len(top)), names if side == 0 else [""] * len(top), parse_math=False)
            for label in axes.get_yticklabels():
                label.set_fontfamily(families())
            axes.tick_params(labelsize=SMALL)
            _time_axis(axes)
            axes.set_title(shortened(title, SMALL, column), fontsize=SMALL, loc="left")
            bar = _axes(panel, wide, high, left + column + 0.08, 0.62, 0.09, 0.22 * len(top))
            scale = panel.colorbar(ScalarMappable(Normalize(0.0, most), "Greys"), cax=bar)
            scale.ax.yaxis.set_major_formatter(ticker.PercentFormatter(1.0, decimals=0 if most > 0.05 else 1))
            scale.ax.yaxis.set_major_locator(ticker.MaxNLocator(3))
            scale.ax.tick_params(labelsize=SMALL - 1)
        _write(panel, wide, high, 0.2, 0.62 + 0.22 * len(top) + 0.5, note, size=SMALL, color=QUIET)

    return Part(high, draw_into)


class _Layout(NamedTuple):
    """``words``: number, x in inches, row, and the text as it can be drawn; how many words did not fit."""

    words: list[tuple[int, float, float, str]]
    left_out: int


def _lay_out(explanation: Explanation, room: float) -> _Layout:
    """The lyrics in their own lines, broken where they are too long, half a row between stanzas; what is not read is
    shown for two more rows."""
    spans, lines, texts = explanation.words.spans, explanation.words.lines, explanation.words.words
    placed: list[tuple[int, float, float, str]] = []
    read = np.flatnonzero(explanation.groups >= 0)
    space, x, row, rows = 1.4 * (width("n n", SMALL) - width("nn", SMALL)), 0.0, 0.0, ROWS * 1.0
    for word, text in enumerate(texts if len(read) else ()):
        shown = shortened(text, SMALL, room)
        across = width(shown, SMALL)
        if word and lines[word] > lines[word - 1]:
            x, row = 0.0, row + (1.5 if lines[word] > lines[word - 1] + 1 else 1.0)
        elif word:
            x += space if spans[word, 0] > spans[word - 1, 1] else 0.0
            if x + across > room:
                x, row = 0.0, row + 1.0
        if word == read[-1]:
            rows = min(rows, row + 3.0)
        if row >= rows:
            return _Layout(placed, len(texts) - word)
        placed.append((word, x, row, shown))
        x += across
    return _Layout(placed, 0)


def _notes(explanation: Explanation, layout: _Layout) -> list[str]:
    """What is to be known about the lyrics as they are drawn."""
    if not len(explanation.words.spans):
        return ["no lyrics were given"]
    if not layout.words:
        return ["nothing in these lyrics is a word to the model"]
    notes = []
    if explanation.words_not_read:
        read = len(explanation.words.spans) - explanation.words_not_read
        notes.append(f"grey: not read; the model reads {read} of these {len(explanation.words.spans)} words")
    if explanation.groups.max(initial=-1) + 1 < len(explanation.words.spans) - explanation.words_not_read:
        notes.append("words that follow each other were taken away together and share their colour")
    if any(NO_GLYPH in text for *_, text in layout.words) and NO_GLYPH not in explanation.words.text:
        notes.append(f"{NO_GLYPH}: letters that no font of this machine has")
    return notes


def _over_time(explanation: Explanation, genres: int) -> tuple[np.ndarray, np.ndarray]:
    """(n + 1,) edges in s and (n, ``genres``) effects between them: means where segments overlap, masked outside."""
    edges = np.unique(np.concatenate([explanation.segments.ravel(), [0.0, explanation.seconds]]))
    middle = (edges[1:] + edges[:-1]) / 2
    inside = (explanation.segments[:, :1] <= middle) & (middle < explanation.segments[:, 1:])  # (N, n)
    total = inside.T.astype(np.float64) @ explanation.segment_effect[:, :genres]
    count = inside.sum(0)[:, None]
    return edges, np.ma.masked_where(np.repeat(count == 0, genres, axis=1), total / np.maximum(count, 1))


def _caption(text: str, explanation: Explanation) -> str:
    return wrapped(text, SMALL, WIDTHS[min(len(explanation.genres), GENRES) - 1] - 0.4)


def _down(caption: str) -> float:
    """How much room a caption takes, with some under it."""
    return 0.17 * (1 + caption.count("\n")) + 0.12


def _axes(panel: FigureBase, wide: float, high: float, left: float, top: float, across: float, down: float) -> Axes:
    """Axes at a position in inches from the panel's upper left corner."""
    return panel.add_axes((left / wide, 1 - (top + down) / high, across / wide, down / high))


def _write(panel: FigureBase, wide: float, high: float, left: float, top: float, text: str, **style: Any) -> None:
    """Text whose first base line is ``top`` inches under the panel's upper edge; nothing in it is read as a formula."""
    style = {"family": families(), "va": "baseline", **style}
    if "\n" in text:  # of several lines, matplotlib counts from the last one's base line
        top += (style["size"] * 1.3 / 72) * text.count("\n")
        style["linespacing"] = 1.3 / 1.2
    panel.text(left / wide, 1 - top / high, text, parse_math=False, **style)


def _time_axis(axes: Axes) -> None:
    axes.xaxis.set_major_locator(ticker.MaxNLocator(8, steps=[1, 2, 3, 5, 6, 10], integer=True))
    axes.xaxis.set_major_formatter(ticker.FuncFormatter(lambda s, _: f"{int(s) // 60}:{int(s) % 60:02d}"))
    axes.tick_params(labelsize=SMALL)


def _colour_bar(panel: FigureBase, wide: float, high: float, unit: float, left: float, top: float, down: float) -> None:
    axes = _axes(panel, wide, high, left, top, 0.1, down)
    bar = panel.colorbar(ScalarMappable(Normalize(-unit, unit), colour_map()), cax=axes, ticks=[-unit, unit])
    bar.ax.set_yticklabels([f"{-unit:+.1f}", f"{unit:+.1f}"])
    bar.ax.tick_params(labelsize=SMALL - 1, length=2)
