"""An evaluation's figures as the cells of tables."""

from __future__ import annotations

from mgc_jax.evaluation.results import METRICS, PER_GENRE, Evaluation, Figures

HEADLINE = ("mAP, macro", "F1, by track", "Jaccard index")


def headline(evaluation: Evaluation) -> list[tuple[str, str, str, str]]:
    """The figures to be seen first: name, cell, that of the trivial baseline and that of the linear rival."""
    shown = ((name, METRICS[name]) for name in HEADLINE)
    rival = _linear(evaluation)
    return [
        (name, figure(evaluation.metrics[key]), figure(evaluation.trivial[key]), figure(rival.get(key)))
        for name, key in shown
    ]


def metric_rows(evaluation: Evaluation) -> list[tuple[str, list[str]]]:
    """A name and a cell for calibrated thresholds, with the arg-max fallback, at 0.5, of the linear rival and of the
    trivial baseline."""
    columns = (
        evaluation.metrics,
        evaluation.argmax_fallback,
        evaluation.at_half,
        _linear(evaluation),
        evaluation.trivial,
    )
    return [
        (name, [figure(figures[key]) if key in figures else "" for figures in columns]) for name, key in METRICS.items()
    ]


def genre_rows(evaluation: Evaluation) -> list[list[str]]:
    """Name, tracks, AP, F1, precision, recall, ROC-AUC, threshold and the linear rival's AP of each genre, as cells."""
    rival = evaluation.linear.average_precision if evaluation.linear else {}
    return [
        [name, str(evaluation.support[name]), *(figure(row[key]) for key in PER_GENRE), figure(rival.get(name))]
        for name, row in evaluation.genres.items()
    ]


def _linear(evaluation: Evaluation) -> Figures:
    return evaluation.linear.metrics if evaluation.linear else {}


def figure(value: float | None) -> str:
    """Three decimals; a dash for a figure that is not defined."""
    return "–" if value is None else f"{value:.3f}"
