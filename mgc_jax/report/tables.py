"""An evaluation's figures as the cells of tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

RANKING = (
    ("macro mAP", "map_macro"),
    ("micro mAP", "map_micro"),
    ("macro ROC-AUC", "roc_auc_macro"),
    ("LRAP", "lrap"),
    ("coverage error", "coverage_error"),
)
DECIDING = (
    ("Jaccard (accuracy)", "jaccard"),
    ("example F1", "f1_example"),
    ("micro F1", "f1_micro"),
    ("macro F1", "f1_macro"),
    ("exact match", "exact_match"),
    ("Hamming loss", "hamming_loss"),
)


def metric_rows(evaluation: Mapping[str, Any]) -> list[tuple[str, list[str]]]:
    """A name and a cell for calibrated thresholds, with the arg-max fallback, at 0.5, and of a trivial predictor.

    Raises:
        KeyError, TypeError, ValueError: the evaluation lacks a figure.
    """
    trivial = evaluation["trivial"]
    floors = {**trivial["prevalence"], **trivial["best_constant"], "roc_auc_macro": 0.5}
    rows = []
    for name, key in RANKING:
        rows.append((name, [number(evaluation[key]), "", "", number(floors[key]) if key in floors else ""]))
    for name, key in DECIDING:
        ways = (evaluation, evaluation["argmax_fallback"], evaluation["at_half"])
        rows.append((name, [*(number(way[key]) for way in ways), number(floors[key]) if key in floors else ""]))
    return rows


def genre_rows(evaluation: Mapping[str, Any]) -> list[list[str]]:
    """Name, tracks, AP, F1, precision, recall, ROC-AUC and threshold of each genre, as cells; raises as
    :func:`metric_rows` does."""
    keys = ("average_precision", "f1", "precision", "recall", "roc_auc", "threshold")
    return [
        [str(genre["name"]), str(int(genre["support"])), *(number(genre[key]) for key in keys)]
        for genre in evaluation["genres"]
    ]


def number(value: Any) -> str:
    """A figure with three decimals; a dash for one that is not defined."""
    return "–" if value is None else f"{float(value):.3f}"
