"""An evaluation as a person reads it in a terminal."""

from __future__ import annotations

from mgc_jax.evaluation.results import Evaluation
from mgc_jax.evaluation.retrieval import AT

LABELS = {
    "mAP macro": "map_macro",
    "mAP micro": "map_micro",
    "ROC-AUC macro": "roc_auc_macro",
    "LRAP": "lrap",
    "Jaccard": "jaccard",
    "F1 example": "f1_example",
    "F1 micro": "f1_micro",
    "F1 macro": "f1_macro",
    "exact match": "exact_match",
    "Hamming loss": "hamming_loss",
}
"""A short name of each metric -> its key."""


def summary(evaluation: Evaluation) -> str:
    """The overall metrics beside the trivial baselines, the retrieval, and then the genres."""
    columns = {
        "calibrated": evaluation.metrics,
        "+ arg-max": evaluation.argmax_fallback,
        "at 0.5": evaluation.at_half,
        "trivial": evaluation.trivial,
    }
    lines = [
        f"{evaluation.tracks} {evaluation.split} tracks ({evaluation.split_kind} split), thresholds calibrated on "
        "validation\n(+ arg-max: a track with no genre over its threshold gets its best one; trivial: predictors that "
        "never look)",
        "",
        f"{'':<16}" + "".join(f"{name:>11}" for name in columns),
    ]
    for name, key in LABELS.items():
        cells = (_cell(figures[key]) if key in figures else "" for figures in columns.values())
        lines.append(f"{name:<16}" + "".join(f"{cell:>11}" for cell in cells))
    return "\n".join([*lines, *_retrieval(evaluation), *_genres(evaluation)])


def _retrieval(evaluation: Evaluation) -> list[str]:
    if not evaluation.retrieval:
        return []
    lines = ["", f"{'by A-L embeddings (at random)':<32}" + "".join(f"{f'recall at {k}':>16}" for k in AT)]
    for direction, one in evaluation.retrieval.items():
        pairs = (f"{one.recall[k]:.3f} ({one.chance_recall[k]:.3f})" for k in AT)
        lines.append(f"{direction.replace('_', ' '):<32}" + "".join(f"{pair:>16}" for pair in pairs))
    return lines


def _genres(evaluation: Evaluation) -> list[str]:
    lines = ["", f"{'genre':<24}{'tracks':>7}{'AP':>8}{'F1':>8}{'threshold':>11}"]
    for name, figures in evaluation.genres.items():
        ap, f1, threshold = (_cell(figures[key]) for key in ("average_precision", "f1", "threshold"))
        lines.append(f"{name[:23]:<24}{evaluation.support[name]:>7}{ap:>8}{f1:>8}{threshold:>11}")
    return lines


def headline(evaluation: Evaluation) -> str:
    """One line: the metrics to be read first, each beside its trivial baseline."""
    ours = {key: _cell(value) for key, value in evaluation.metrics.items()}
    trivial = {key: _cell(value) for key, value in evaluation.trivial.items()}
    return (
        f"{evaluation.split} macro-mAP {ours['map_macro']} (prevalence {trivial['map_macro']}), "
        f"example F1 {ours['f1_example']} (best constant {trivial['f1_example']}), "
        f"Jaccard {ours['jaccard']} (best constant {trivial['jaccard']})"
    )


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
