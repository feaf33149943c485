"""Pictures of a run, its data and its results: arrays in, matplotlib figures out.

The figures are 10 inches wide, belong to no window and no pyplot, and are shown by a notebook as they are;
:func:`as_svg` gives the form that a page embeds. Genre names come from files: they are drawn as plain text.
Axis letters: N tracks, G genres.
"""

from __future__ import annotations

import functools
import io
import math
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ParamSpec

import numpy as np

from mgc_jax.evaluation import diagnostics
from mgc_jax.evaluation.retrieval import Retrieval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 10.0  # inches; 1000 px on a page
# Okabe and Ito's colours, which stay apart for colour-blind eyes.
BLUE, ORANGE, GREEN, RED = "#0072B2", "#E69F00", "#009E73", "#D55E00"
SKY, PINK, GREY, INK = "#56B4E9", "#CC79A7", "#9a9a9a", "#222222"
LINES = (BLUE, ORANGE, GREEN, RED, PINK, SKY)
MANY_GENRES = 40  # more do not fit side by side
MAP_SONGS = 10
"""Songs that a map needs."""
_LONGEST_NAME = 26
_STYLE: Any = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.labelsize": 9,
    "axes.edgecolor": "#888888",
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "xtick.color": "#444444",
    "ytick.color": "#444444",
    "text.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "lines.linewidth": 1.5,
    "figure.facecolor": "white",
    "svg.fonttype": "path",  # letters as this machine draws them
    "svg.hashsalt": "mgc-jax",
}
_ABOVE: Any = {"loc": "lower right", "bbox_to_anchor": (1.0, 1.0), "borderaxespad": 0.2}  # a legend beside the title
_P = ParamSpec("_P")


def _styled(draw: Callable[_P, Figure]) -> Callable[_P, Figure]:
    """The one look of all charts, without touching anybody else's settings."""

    @functools.wraps(draw)
    def styled(*args: _P.args, **kwargs: _P.kwargs) -> Figure:
        import matplotlib

        with matplotlib.rc_context(_style()):
            return draw(*args, **kwargs)

    return styled


def _style() -> Any:
    from mgc_jax.plots.text import families

    return _STYLE | {"font.family": families()}


def as_svg(figure: Figure) -> bytes:
    """The figure as an SVG document, the same bytes for the same arrays."""
    import matplotlib

    written = io.BytesIO()
    with matplotlib.rc_context(_style()), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # a script that no font here has
        figure.savefig(written, format="svg", metadata={"Date": None})
    return written.getvalue()


def plain(name: str) -> str:
    """A genre's name as a chart can write it: no mathematics, no control characters, not endless."""
    name = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in name)
    name = name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 1] + "…"
    return name.replace("$", r"\$")


@_styled
def training_curves(rows: Sequence[Mapping[str, float]], best_step: int | None = None) -> Figure:
    """The lines of ``metrics.jsonl``: losses, validation scores, learning rate, throughput and waiting for data.

    A dotted line marks ``best_step``.
    """
    figure = _figure(4.8)
    panels: tuple[tuple[str, str, dict[str, str]], ...] = (
        (
            "Loss and its parts",
            "",
            {"train/loss": "loss", "train/genre_loss": "genre loss", "train/contrastive": "A-L loss"},
        ),
        ("Cross-entropy", "per track", {"train/bce": "training", "validation/bce": "validation"}),
        (
            "Validation scores",
            "at threshold 0.5",
            {
                "validation/map_macro": "macro mAP",
                "validation/f1_example": "example F1",
                "validation/jaccard": "Jaccard",
            },
        ),
        ("Learning rate", "", {"train/learning_rate": ""}),
        ("Throughput", "tracks/s", {"train/tracks_per_second": ""}),
        ("Waiting for data", "share of the time", {"train/data_wait": ""}),
    )
    for panel, (title, unit, lines) in zip(figure.subplots(2, 3, sharex=True).flat, panels, strict=True):
        panel.set_title(title)
        panel.set_ylabel(unit)
        for (key, label), colour in zip(lines.items(), LINES, strict=False):
            points = [(row["step"], row[key]) for row in rows if key in row and math.isfinite(row[key])]
            if points:
                seldom = key.startswith("validation/")
                panel.plot(
                    *zip(*points, strict=True), color=colour, label=label or None, marker="o" if seldom else "", ms=3
                )
        if not panel.lines:
            _say(panel, "not logged")
            continue
        if any(lines.values()):
            panel.legend(loc="best")
        if best_step is not None:
            panel.axvline(best_step, color=GREY, linestyle=":", linewidth=1)
        if title != "Learning rate":
            panel.set_ylim(bottom=0)
    for panel in figure.axes[3:]:
        panel.set_xlabel("step")
    return figure


@_styled
def genre_bars(
    names: Sequence[str], average_precision: np.ndarray, f1: np.ndarray, support: np.ndarray, num_tracks: int
) -> Figure:
    """AP, F1 and number of true tracks of each genre (G,), beside the trivial baseline.

    That is the prevalence for AP (any constant score), and 2p / (1 + p) for F1 (the genre said for every track).
    """
    order = np.argsort(-np.asarray(support), kind="stable")[::-1]
    size = len(order)
    figure = _figure(1.1 + (0.2 if size <= MANY_GENRES else 0.155) * size)
    panels = figure.subplots(1, 3, sharey=True, width_ratios=(4, 4, 2))
    positions, prevalence = np.arange(size), np.asarray(support)[order] / max(num_tracks, 1)
    columns = (
        ("Average precision", average_precision, prevalence, BLUE),
        ("F1 at the calibrated threshold", f1, 2 * prevalence / (1 + prevalence), GREEN),
    )
    for panel, (title, values, floor, colour) in zip(panels, columns, strict=False):
        shown = np.nan_to_num(np.asarray(values, np.float64)[order])
        panel.barh(positions, shown, color=colour, height=0.74)
        panel.vlines(floor, positions - 0.42, positions + 0.42, color=INK, linewidth=1.6, label="trivial baseline")
        panel.set_xlim(0, 1)
        panel.set_title(title)
        panel.grid(axis="y", visible=False)
    panels[0].legend(**_ABOVE)
    counts = panels[2].barh(positions, np.asarray(support)[order], color=GREY, height=0.74)
    panels[2].bar_label(counts, fontsize=7, padding=2)
    panels[2].margins(x=0.2)
    panels[2].set_title("Tracks")
    panels[2].grid(axis="y", visible=False)
    font = 8 if size <= MANY_GENRES else 7
    panels[0].set_yticks(positions, [plain(names[g]) for g in order], fontsize=font)
    panels[0].set_ylim(-0.7, size - 0.3)
    return figure


@_styled
def reliability(scores: np.ndarray, labels: np.ndarray) -> Figure:
    """How often a score comes true: all scores (N, G) against labels (N, G) in bins, with 95 % intervals and counts."""
    from scipy.stats import binomtest

    calibration = diagnostics.calibration(scores, labels)
    figure = _figure(4.0)
    left, right = figure.subplots(1, 2)
    left.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1, label="perfectly calibrated")
    limits = np.array(
        [
            binomtest(round(share * n), int(n)).proportion_ci(method="wilson")
            for share, n in zip(calibration.share, calibration.counts, strict=True)
        ]
    )
    bars = np.abs(limits.T - calibration.share)
    left.errorbar(
        calibration.score, calibration.share, yerr=bars, color=BLUE, marker="o", ms=4, capsize=2, label="the model"
    )
    left.set(xlim=(0, 1), ylim=(0, 1), xlabel="score (mean of the bin)", ylabel="share that is true")
    left.set_title(f"Expected calibration error {calibration.error:.3f}")
    left.legend(loc="upper left")
    edges = np.linspace(0.0, 1.0, diagnostics.BINS + 1)
    truth = np.asarray(labels).ravel() > 0
    flat = np.asarray(scores).ravel()
    right.hist([flat[~truth], flat[truth]], bins=edges, color=[SKY, RED], label=["false", "true"], rwidth=0.9)
    right.set_yscale("log")
    right.set(xlim=(0, 1), xlabel="score", ylabel="track and genre pairs (log scale)")
    right.set_title("How many scores are where")
    right.legend(loc="upper right")
    return figure


@_styled
def precision_recall(
    names: Sequence[str], scores: np.ndarray, labels: np.ndarray, genres: Sequence[int] | None = None
) -> Figure:
    """Precision over recall of all decisions together, and of a few ``genres`` (indices).

    Left out, these are six between the best and the worst average precision, of the genres with 10 true tracks.
    """
    from sklearn.metrics import average_precision_score, precision_recall_curve

    truth, scores = np.asarray(labels) > 0, np.asarray(scores)
    chosen = spread_by_average_precision(scores, truth) if genres is None else list(genres)
    figure = _figure(4.4)
    panel = figure.subplots()
    recall = np.linspace(0.001, 1, 200)
    for f1 in (0.2, 0.4, 0.6, 0.8):
        precision = f1 * recall / (2 * recall - f1)
        fits = (precision > 0) & (precision <= 1)
        panel.plot(recall[fits], precision[fits], color="#dddddd", linewidth=0.8, zorder=0)
        panel.text(1.003, f1 / (2 - f1), f"F1 {f1}", fontsize=7, color="#888888", va="center")

    def curve(true: np.ndarray, given: np.ndarray, label: str, **style: Any) -> None:
        if not true.any():
            return
        precision, recall, _ = precision_recall_curve(true, given, drop_intermediate=True)
        keep = np.unique(np.linspace(0, len(recall) - 1, 400).astype(int))  # more a picture does not show
        area = average_precision_score(true, given)
        panel.step(
            recall[keep],
            precision[keep],
            where="post",
            label=f"{label}: AP {area:.2f}, trivial {true.mean():.2f}",
            **style,
        )

    for genre, colour in zip(chosen, LINES * 99, strict=False):
        curve(truth[:, genre], scores[:, genre], plain(names[genre]).lstrip("_") or "?", color=colour, linewidth=1.2)
    curve(truth.ravel(), scores.ravel(), "all genres", color=INK, linewidth=2.4)
    panel.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="recall", ylabel="precision")
    panel.set_title("Precision over recall")
    panel.grid(visible=False)
    if panel.get_legend_handles_labels()[0]:
        panel.legend(loc="center left", bbox_to_anchor=(1.07, 0.5), fontsize=9, labelspacing=0.8)
    return figure


def spread_by_average_precision(scores: np.ndarray, labels: np.ndarray, count: int = 6, minimum: int = 10) -> list[int]:
    """Genres at even distances between the best and the worst average precision, of those with ``minimum`` true
    tracks (of all that have any, where there are none)."""
    from sklearn.metrics import average_precision_score

    support = labels.sum(axis=0)
    known = np.flatnonzero(support >= minimum)
    known = known if len(known) else np.flatnonzero(support)
    areas = [average_precision_score(labels[:, g], scores[:, g]) for g in known]
    ranked = known[np.argsort(areas, kind="stable")[::-1]]
    positions = np.unique(np.linspace(0, len(ranked) - 1, min(count, len(ranked))).round().astype(int))
    return [int(g) for g in ranked[positions]]


@_styled
def genre_maps(
    names: Sequence[str], counted: np.ndarray, learned: np.ndarray | None = None, predicted: np.ndarray | None = None
) -> Figure:
    """Which genres go together: as counted and as predicted, from co-occurrence counts (G, G), and as the model has
    learned it, from genre vectors (G, D). Genres that are counted together are neighbours in all maps."""
    import matplotlib

    order = diagnostics.clustered(counted)
    size = len(order)
    maps = [("Counted in training", diagnostics.conditional(counted), False)]
    if predicted is not None:
        maps.append(("Predicted", diagnostics.conditional(predicted), False))
    if learned is not None:
        maps.append(("Learned genre vectors", diagnostics.cosines(learned), True))
    labels = [plain(names[g]) for g in order]
    away = ~np.eye(size, dtype=bool)
    shares = np.concatenate([m[away] for _, m, is_cosine in maps if not is_cosine])
    top = float(np.nanmax(shares)) if np.isfinite(shares).any() else 1.0
    many = size > MANY_GENRES
    side = max(2.6, min(8.6, 0.094 * size)) if many else None
    figure = _figure((side + 1.6) * len(maps) if side else 4.8 if len(maps) > 2 else 6.0)
    panels = (
        figure.subplots(len(maps), 1, squeeze=False)[:, 0] if many else figure.subplots(1, len(maps), squeeze=False)[0]
    )
    for index, (panel, (title, values, is_cosine)) in enumerate(zip(panels, maps, strict=True)):
        values = np.where(away, values, np.nan)[np.ix_(order, order)]
        most = max(float(np.nanmax(np.abs(values), initial=0.0)), 1e-6)
        limits = {"vmin": -most, "vmax": most} if is_cosine else {"vmin": 0.0, "vmax": max(top, 1e-6)}
        colours = matplotlib.colormaps["PuOr_r" if is_cosine else "viridis"].with_extremes(bad="#d8d8d8")
        image = panel.imshow(values, cmap=colours, interpolation="none", **limits)
        panel.set_title(title)
        panel.grid(visible=False)
        font = 5.5 if many else 7 if size <= 26 else 5.5
        panel.set_xticks(range(size), labels, rotation=90, fontsize=font)
        panel.set_yticks(range(size), labels if many or index == 0 else [""] * size, fontsize=font)
        panel.tick_params(length=0)
        where = {"orientation": "vertical", "shrink": 0.5} if many else {"orientation": "horizontal", "location": "top"}
        bar = figure.colorbar(image, ax=panel, aspect=24, pad=0.02, **where)
        bar.set_label("cosine" if is_cosine else "P(column given row)", fontsize=8)
        bar.ax.tick_params(labelsize=7)
        bar.outline.set_visible(False)
    return figure


@_styled
def confusions(names: Sequence[str], predicted: np.ndarray, labels: np.ndarray, top: int = 15) -> Figure:
    """The genres most often predicted in vain where another one is true: predictions and labels (N, G).

    See :func:`mgc_jax.evaluation.diagnostics.confusions`; the mark is how often the genre is predicted in vain anyway.
    """
    confused = diagnostics.confusions(predicted, labels)
    pairs = diagnostics.most_confused(confused, top)[::-1]
    figure = _figure(1.0 + 0.25 * max(len(pairs), 2))
    panel = figure.subplots()
    panel.set_title("Predicted in vain, given another genre")
    if not pairs:
        _say(panel, "no genre is predicted in vain on ten tracks of another one")
        return figure
    positions = np.arange(len(pairs))
    rates = [confused.rate[i, j] for i, j in pairs]
    panel.barh(positions, rates, color=RED, height=0.7)
    base = [confused.base[j] for _, j in pairs]
    panel.vlines(base, positions - 0.42, positions + 0.42, color=INK, linewidth=1.8, label="on any track without it")
    panel.set_yticks(positions, [f"{plain(names[j])}, where {plain(names[i])} is true" for i, j in pairs])
    for position, (i, j), rate in zip(positions, pairs, rates, strict=True):
        count = round(rate * confused.support[i, j])
        panel.text(float(rate), float(position), f"  {count} of {confused.support[i, j]}", va="center", fontsize=8)
    panel.set(xlim=(0, min(1.0, 1.15 * max(rates)) if max(rates) < 0.87 else 1.12), xlabel="share of these tracks")
    panel.grid(axis="y", visible=False)
    panel.legend(**_ABOVE)
    return figure


@_styled
def retrieval_bars(retrieval: Mapping[str, Retrieval]) -> Figure:
    """Recall at 1, 5 and 10 beside chance, in each direction of :func:`mgc_jax.evaluation.retrieval.retrieval`."""
    figure = _figure(3.0)
    titles = {"lyrics_to_audio": "Lyrics find their song", "audio_to_lyrics": "A song finds its lyrics"}
    panels = figure.subplots(1, len(retrieval), sharey=True, squeeze=False)[0]
    for panel, (name, one) in zip(panels, retrieval.items(), strict=True):
        positions = np.arange(len(one.recall))
        for shift, values, colour, label in (
            (-0.2, one.recall, BLUE, "the model"),
            (0.2, one.chance_recall, GREY, "at random"),
        ):
            bars = panel.bar(positions + shift, list(values.values()), width=0.38, color=colour, label=label)
            panel.bar_label(bars, [f"{100 * v:.1f}%" for v in values.values()], fontsize=8, padding=1)
        panel.set_xticks(positions, [f"among the best {k}" if k > 1 else "the best one" for k in one.recall])
        panel.set_title(titles.get(name, name))
        panel.grid(axis="x", visible=False)
        panel.margins(y=0.18)
    panels[0].set_ylabel("recall")
    panels[0].legend(loc="upper left")
    return figure


@_styled
def song_map(vectors: np.ndarray, genres: Sequence[str]) -> Figure:
    """Songs on the two axes along which the directions of their vectors (N, D) differ most, in the colour of their main
    genre (N names, empty for none); ``MAP_SONGS`` at least.

    The axes are the principal components of the vectors at length 1, as cosines compare them.
    """
    from sklearn.decomposition import PCA

    units = np.asarray(vectors, np.float64)
    units = units / np.maximum(np.linalg.norm(units, axis=1, keepdims=True), 1e-12)
    analysis = PCA(2, random_state=0)
    places = analysis.fit_transform(units)
    shares = np.nan_to_num(analysis.explained_variance_ratio_)  # 0 of nothing where all songs are alike
    main = np.array(genres, object)
    counts = Counter(name for name in genres if name)
    shown = [name for name, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[: 2 * len(LINES)]]
    figure = _figure(6.0)
    panel = figure.subplots()
    look: Any = {"s": 22 if len(main) <= 1000 else 9, "linewidths": 0, "alpha": 0.75, "rasterized": len(main) > 2000}
    for index, name in enumerate(shown):
        of_genre = main == name
        colour, marker = LINES[index % len(LINES)], "o^"[index // len(LINES)]
        label = f"{plain(name).lstrip('_') or '?'} ({of_genre.sum()})"
        panel.scatter(*places[of_genre].T, color=colour, marker=marker, label=label, zorder=2, **look)
    others = ~np.isin(main, shown)
    if others.any():
        label = f"another genre or none ({others.sum()})"
        panel.scatter(*places[others].T, color="#c4c4c4", label=label, zorder=1, **look)
    panel.set_xlabel(f"first axis, {shares[0]:.0%} of the variance")
    panel.set_ylabel(f"second axis, {shares[1]:.0%}")
    panel.set_title(f"{len(main)} songs; the two axes hold {shares.sum():.0%} of the variance")
    panel.tick_params(labelbottom=False, labelleft=False, length=0)
    panel.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), fontsize=9, title="main genre (songs)")
    return figure


def _figure(height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(WIDTH, height), layout="constrained")


def _say(panel: Axes, text: str) -> None:
    panel.text(0.5, 0.5, text, ha="center", va="center", color="#888888", transform=panel.transAxes)
    panel.set_xticks([])
    panel.set_yticks([])
