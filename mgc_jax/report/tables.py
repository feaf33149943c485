"""An evaluation's figures as the cells of tables."""

from __future__ import annotations

from mgc_jax.evaluation.results import METRICS, PER_GENRE, Evaluation

HEADLINE = ("mAP, macro", "F1, by track", "Jaccard index")


def headline(evaluation: Evaluation) -> list[tuple[str, str, str]]:
    """The figures to be seen first: name, cell, and that of the trivial baseline."""
    shown = ((name, METRICS[name]) for name in HEADLINE)
    return [(name, figure(evaluation.metrics[key]), figure(evaluation.trivial[key])) for name, key in shown]


def metric_rows(evaluation: Evaluation) -> list[tuple[str, list[str]]]:
    """A name and a cell for calibrated thresholds, with the arg-max fallback, at 0.5, and of the trivial baseline."""
    columns = (evaluation.metrics, evaluation.argmax_fallback, evaluation.at_half, evaluation.trivial)
    return [
        (name, [figure(figures[key]) if key in figures else "" for figures in columns]) for name, key in METRICS.items()
    ]


def genre_rows(evaluation: Evaluation) -> list[list[str]]:
    """Name, tracks, AP, F1, precision, recall, ROC-AUC and threshold of each genre, as cells."""
    return [
        [name, str(evaluation.support[name]), *(figure(row[key]) for key in PER_GENRE)]
        for name, row in evaluation.genres.items()
    ]


def figure(value: float | None) -> str:
    """Three decimals; a dash for a figure that is not defined."""
    return "–" if value is None else f"{value:.3f}"
