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
    """The overall metrics beside the linear rival and the trivial baselines, the retrieval, and then the genres."""
    columns = {
        "calibrated": evaluation.metrics,
        "+ arg-max": evaluation.argmax_fallback,
        "at 0.5": evaluation.at_half,
        **({"linear": evaluation.linear.metrics} if evaluation.linear else {}),
        "trivial": evaluation.trivial,
    }
    lines = [
        f"{evaluation.tracks} {evaluation.split} tracks ({evaluation.split_kind} split), thresholds calibrated on "
        "validation\n(+ arg-max: a track with no genre over its threshold gets its best one; linear: a logistic "
        "regression\non the same features, averaged over time; trivial: predictors that never look)",
        "",
        f"{'':<16}" + "".join(f"{name:>11}" for name in columns),
    ]
    for name, key in LABELS.items():
        cells = (_cell(figures[key]) if key in figures else "" for figures in columns.values())
        lines.append(f"{name:<16}" + "".join(f"{cell:>11}" for cell in cells))
    lines += ["", verdict(evaluation)]
    return "\n".join([*lines, *_retrieval(evaluation), *_genres(evaluation)])


def verdict(evaluation: Evaluation) -> str:
    """Whether the deep model pays on these songs: it against the linear rival, in a sentence or a few."""
    linear = evaluation.linear
    if linear is None:
        return f"No linear model to compare with: {evaluation.no_linear}"
    if linear.gain is None:
        return "Neither the model nor a logistic regression can be ranked: no track of the split has a genre."
    ours, theirs = _cell(evaluation.metrics["map_macro"]), _cell(linear.metrics["map_macro"])
    figures = (
        f"(macro-mAP {theirs} against {ours}; difference {-linear.gain.value:+.3f}, 95 % interval "
        f"{-linear.gain.high:+.3f} to {-linear.gain.low:+.3f})"
    )
    if not linear.gain.clear:
        said = (
            f"No clear difference between a logistic regression on the same features and this model {figures}: on so "
            "few songs the deep model has not shown that it pays."
        )
    elif linear.gain.value < 0:
        said = (
            f"A logistic regression on the same features does better than this model {figures}: on these songs the "
            "deep model does not pay; use a simpler one (model.fusion=concat, model.head=linear) or more songs."
        )
    else:
        said = (
            f"A logistic regression on the same features does worse than this model {figures}: on these songs the "
            "deep model pays."
        )
    if linear.tracks < linear.of:
        said += f" The regression was fitted on {linear.tracks} of the {linear.of} training tracks, drawn at random."
    if evaluation.other_data:
        said += " The regression was fitted on training tracks of this data set, the model on those of another."
    return said


def _retrieval(evaluation: Evaluation) -> list[str]:
    if not evaluation.retrieval:
        return []
    lines = ["", f"{'by A-L embeddings (at random)':<32}" + "".join(f"{f'recall at {k}':>16}" for k in AT)]
    for direction, one in evaluation.retrieval.items():
        pairs = (f"{one.recall[k]:.3f} ({one.chance_recall[k]:.3f})" for k in AT)
        lines.append(f"{direction.replace('_', ' '):<32}" + "".join(f"{pair:>16}" for pair in pairs))
        if one.queries < one.drawn_from:
            margin = max(one.error.values())
            lines.append(f"  {one.queries} of {one.drawn_from} drawn: within {margin:.3f} of all, with 95 % confidence")
    return lines


def _genres(evaluation: Evaluation) -> list[str]:
    linear = evaluation.linear
    rival = f"{'linear AP':>11}" if linear else ""
    lines = ["", f"{'genre':<24}{'tracks':>7}{'AP':>8}{'F1':>8}{'threshold':>11}{rival}"]
    for name, figures in evaluation.genres.items():
        ap, f1, threshold = (_cell(figures[key]) for key in ("average_precision", "f1", "threshold"))
        rival = f"{_cell(linear.average_precision[name]):>11}" if linear else ""
        lines.append(f"{name[:23]:<24}{evaluation.support[name]:>7}{ap:>8}{f1:>8}{threshold:>11}{rival}")
    return lines


def headline(evaluation: Evaluation) -> str:
    """One line: the metrics to be read first, each beside its trivial baseline and the linear rival."""
    shown = (
        ("macro-mAP", "map_macro", "prevalence"),
        ("example F1", "f1_example", "best constant"),
        ("Jaccard", "jaccard", "best constant"),
    )
    parts = []
    for name, key, floor in shown:
        rival = f", linear {_cell(evaluation.linear.metrics[key])}" if evaluation.linear else ""
        parts.append(f"{name} {_cell(evaluation.metrics[key])} ({floor} {_cell(evaluation.trivial[key])}{rival})")
    return f"{evaluation.split} {', '.join(parts)}"


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
