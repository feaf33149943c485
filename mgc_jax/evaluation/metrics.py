"""Multi-label metrics on the host: numpy in, floats out.

Axis letters: N tracks, G genres. "Accuracy" in the paper is the example-based Jaccard index, its "F-measure" the
example-based F1. Two conventions hold throughout: a track with no true and no predicted genre counts as 1 in the
example-based scores (nothing to find, nothing predicted), and genres without a positive among the N tracks are
left out of macro averages (their average precision is undefined), as are genres without a negative from ROC-AUC.
A value that is defined nowhere is NaN.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.metrics import (
    average_precision_score,
    coverage_error,
    f1_score,
    label_ranking_average_precision_score,
    roc_auc_score,
)

Thresholds = float | np.ndarray


def evaluate_scores(scores: np.ndarray, labels: np.ndarray, thresholds: Thresholds = 0.5) -> dict[str, float]:
    """All overall metrics of ``scores`` (N, G) probabilities against multi-hot ``labels`` (N, G).

    A genre is predicted where its score reaches its threshold (one number, or (G,)). Raises ValueError for shapes
    that differ, no tracks, or scores that are not finite.
    """
    scores, truth = checked(scores, labels)
    predicted = predict(scores, thresholds)
    some = truth.any(axis=0)
    both = some & ~truth.all(axis=0)
    return {
        **evaluate_sets(predicted, truth),
        "map_macro": _macro(average_precision_score, truth[:, some], scores[:, some]),
        "map_micro": _macro(average_precision_score, truth.reshape(-1, 1), scores.reshape(-1, 1), needs=truth),
        "roc_auc_macro": _macro(roc_auc_score, truth[:, both], scores[:, both]),
        "lrap": float(label_ranking_average_precision_score(truth, scores)),
        "coverage_error": float(coverage_error(truth, scores) if truth.shape[1] > 1 else truth.mean()),
        "num_tracks": len(truth),
        "num_genres_evaluated": int(some.sum()),
    }


def predict(scores: np.ndarray, thresholds: Thresholds = 0.5) -> np.ndarray:
    """Predicted genres (N, G) bool: scores (N, G) at or over the threshold, a number or one per genre (G,)."""
    return np.asarray(scores) >= np.asarray(thresholds)


def argmax_fallback(predicted: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """``predicted`` (N, G) with the best-scored genre added to every track that has none."""
    filled = np.array(predicted, dtype=bool)
    empty = np.flatnonzero(~filled.any(axis=1))
    filled[empty, np.argmax(scores[empty], axis=1)] = True
    return filled


def evaluate_sets(predicted: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """The metrics that need no scores, of predicted genre sets (N, G): for :func:`argmax_fallback`.

    >>> both = evaluate_sets(np.array([[1, 1, 0], [0, 0, 1]]), np.array([[1, 0, 0], [0, 0, 1]]))
    >>> both["jaccard"], both["exact_match"]  # the first track has one genre too many
    (0.75, 0.5)
    """
    predicted, truth = np.asarray(predicted).astype(bool), np.asarray(labels).astype(bool)
    if predicted.shape != truth.shape or truth.ndim != 2 or not len(truth):
        raise ValueError(f"predictions {predicted.shape} and labels {truth.shape} must be the same (N, G), N > 0")
    some = truth.any(axis=0)
    overlap, union = (truth & predicted).sum(axis=1), (truth | predicted).sum(axis=1)
    # By hand: scikit-learn's averages over samples do not accept a single genre.
    return {
        "jaccard": float(_ratio(overlap, union).mean()),
        "f1_example": float(_ratio(2 * overlap, overlap + union).mean()),
        "f1_micro": float(f1_score(truth.ravel(), predicted.ravel(), zero_division=0.0)),
        "f1_macro": _macro(f1_score, truth[:, some], predicted[:, some], zero_division=0.0),
        "exact_match": float((truth == predicted).all(axis=1).mean()),
        "hamming_loss": float((truth != predicted).mean()),
    }


def per_genre(scores: np.ndarray, labels: np.ndarray, thresholds: Thresholds = 0.5) -> list[dict[str, Any]]:
    """One dict per genre: index, support, precision, recall, f1, average_precision and roc_auc.

    Precision of a genre never predicted is 0; whatever needs a positive (or, for roc_auc, a negative) is NaN.
    """
    scores, truth = checked(scores, labels)
    predicted = predict(scores, thresholds)
    hits, support, num_predicted = (truth & predicted).sum(axis=0), truth.sum(axis=0), predicted.sum(axis=0)
    precision, recall = _ratio(hits, num_predicted, 0.0), _ratio(hits, support, float("nan"))
    rows: list[dict[str, Any]] = []
    for g, count in enumerate(support):
        known, split = count > 0, 0 < count < len(truth)
        rows.append(
            {
                "genre": g,
                "support": int(count),
                "precision": float(precision[g]),
                "recall": float(recall[g]),
                "f1": float(2 * hits[g] / (num_predicted[g] + count)) if known else float("nan"),
                "average_precision": (
                    float(average_precision_score(truth[:, g], scores[:, g])) if known else float("nan")
                ),
                "roc_auc": float(roc_auc_score(truth[:, g], scores[:, g])) if split else float("nan"),
            }
        )
    return rows


def trivial_predictors(train_counts: np.ndarray, num_train: int, labels: np.ndarray) -> dict[str, dict[str, float]]:
    """What a predictor that never looks at the track scores on ``labels`` (N, G): the floor for every result.

    ``prevalence`` scores every track with the training frequencies ``train_counts`` (G,) / ``num_train``.
    ``best_constant`` predicts the same ``size`` most frequent genres for every track, with the size that is best
    in Jaccard on these very labels: generous to the baseline.
    """
    truth = np.asarray(labels).astype(bool)
    frequency = np.asarray(train_counts, dtype=np.float64) / max(int(num_train), 1)
    scores, truth = checked(np.broadcast_to(frequency, truth.shape), truth)
    some = truth.any(axis=0)
    order = np.argsort(-frequency, kind="stable")
    # Jaccard and F1 of the top k for all k at once: overlaps are cumulative sums over the ranked genres.
    overlap = np.cumsum(truth[:, order], axis=1)
    size, own = np.arange(1, len(order) + 1), truth.sum(axis=1, keepdims=True)
    jaccard = (overlap / (size + own - overlap)).mean(axis=0)
    f1 = (2 * overlap / (size + own)).mean(axis=0)
    best = int(np.argmax(jaccard))
    return {
        "prevalence": {
            "map_macro": _macro(average_precision_score, truth[:, some], scores[:, some]),
            "map_micro": _macro(average_precision_score, truth.reshape(-1, 1), scores.reshape(-1, 1), needs=truth),
        },
        "best_constant": {"size": best + 1, "jaccard": float(jaccard[best]), "f1_example": float(f1[best])},
    }


def _ratio(above: np.ndarray, below: np.ndarray, empty: float = 1.0) -> np.ndarray:
    """``above / below`` elementwise; ``empty`` where ``below`` is 0."""
    return np.where(below == 0, empty, above / np.maximum(below, 1))


def _macro(metric: Any, truth: np.ndarray, given: np.ndarray, *, needs: np.ndarray | None = None, **more: Any) -> float:
    """Mean of a scikit-learn metric over columns, one by one; NaN without columns, or without a True in ``needs``."""
    if not truth.shape[1] or (needs is not None and not needs.any()):
        return float("nan")
    return float(np.mean([metric(truth[:, g], given[:, g], **more) for g in range(truth.shape[1])]))


def checked(scores: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``scores`` (N, G) as float64 and ``labels`` (N, G) as bool; raises ValueError as :func:`evaluate_scores` does."""
    scores, truth = np.asarray(scores, dtype=np.float64), np.asarray(labels).astype(bool)
    if scores.shape != truth.shape or scores.ndim != 2 or not len(scores):
        raise ValueError(f"scores {scores.shape} and labels {truth.shape} must be the same (N, G) with N > 0")
    if not np.isfinite(scores).all():
        raise ValueError("scores hold values that are not finite")
    return scores, truth
