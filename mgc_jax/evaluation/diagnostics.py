"""What a split's scores say about the model besides one number: calibration, confusions, genres that go together.

Arrays in, arrays out. Axis letters: N tracks, G genres, D width, K bins.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.cluster import hierarchy
from scipy.spatial.distance import squareform
from sklearn.calibration import calibration_curve

BINS = 10


class Calibration(NamedTuple):
    """Scores against what came true, in the K bins of equal width that hold any: mean score, share of true ones and
    number of scores (K,) each; ``error`` is the expected calibration error, the mean gap over all scores."""

    score: np.ndarray
    share: np.ndarray
    counts: np.ndarray
    error: float


def calibration(scores: np.ndarray, labels: np.ndarray, bins: int = BINS) -> Calibration:
    """Calibration of ``scores`` in [0, 1] against ``labels``, of any one shape: all are thrown together."""
    scores, truth = np.asarray(scores, np.float64).ravel(), np.asarray(labels).ravel() > 0
    share, score = calibration_curve(truth, scores, n_bins=bins, pos_label=True)
    # The bins of scikit-learn's function, which keeps their counts to itself.
    inside = np.searchsorted(np.linspace(0.0, 1.0, bins + 1)[1:-1], scores)
    count = np.bincount(inside, minlength=bins)
    count = count[count > 0]
    return Calibration(score, share, count, float(np.average(np.abs(share - score), weights=count)))


def classwise_calibration_error(scores: np.ndarray, labels: np.ndarray, bins: int = BINS) -> float:
    """The expected calibration error of each genre alone, averaged over the genres of scores and labels (N, G)."""
    return float(np.mean([calibration(s, t, bins).error for s, t in zip(scores.T, labels.T, strict=True)]))


class Confusions(NamedTuple):
    """Wrong predictions by what the track was: ``rate[i, j]`` (G, G) is the share predicted j among the
    ``support[i, j]`` tracks that have i and not j, ``base`` (G,) that among all tracks without j; NaN for none."""

    rate: np.ndarray
    support: np.ndarray
    base: np.ndarray


def confusions(predicted: np.ndarray, labels: np.ndarray) -> Confusions:
    """Which genre is predicted in vain where which other one is true; predictions and labels (N, G).

    A track with several genres counts for each of them.
    """
    truth, predictions = np.asarray(labels) > 0, np.asarray(predicted) > 0
    has, lacks = truth.astype(np.float64), (~truth).astype(np.float64)
    wrong = (predictions & ~truth).astype(np.float64)
    support = has.T @ lacks
    with np.errstate(invalid="ignore", divide="ignore"):
        return Confusions(has.T @ wrong / support, support.astype(np.int64), wrong.sum(0) / lacks.sum(0))


def most_confused(confusions: Confusions, top: int = 15, minimum: int = 10) -> list[tuple[int, int]]:
    """The pairs (i, j) with the highest rates, best first, among those of at least ``minimum`` tracks and over 0."""
    usable = np.where((confusions.support >= minimum) & (confusions.rate > 0), confusions.rate, -1.0)
    np.fill_diagonal(usable, -1.0)
    order = np.argsort(-usable, axis=None, kind="stable")[:top]
    pairs = [divmod(int(index), len(usable)) for index in order]
    return [(i, j) for i, j in pairs if usable[i, j] > 0]


def cooccurrence(labels: np.ndarray) -> np.ndarray:
    """How many tracks have both genres: multi-hot (N, G) -> (G, G), the diagonal holds each genre's own."""
    chosen = (np.asarray(labels) > 0).astype(np.float64)
    return (chosen.T @ chosen).astype(np.int64)


def conditional(counts: np.ndarray) -> np.ndarray:
    """P(column | row) of co-occurrence counts (G, G); NaN in the row of a genre that never occurs."""
    counts = np.asarray(counts, np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        return counts / np.diagonal(counts)[:, None]


def cosines(vectors: np.ndarray) -> np.ndarray:
    """Cosines between the rows of (G, D) -> (G, G); 0 for a row of zeros."""
    vectors = np.asarray(vectors, np.float64)
    norm = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = np.divide(vectors, norm, out=np.zeros_like(vectors), where=norm > 0)
    return unit @ unit.T


def clustered(counts: np.ndarray) -> np.ndarray:
    """An order (G,) of the genres in which those that occur together are neighbours, from counts (G, G).

    Average linkage of 1 - N_ij / sqrt(N_i N_j), with the leaves turned so that neighbours are as near as can be.
    """
    counts = np.asarray(counts, np.float64)
    if len(counts) < 3:
        return np.arange(len(counts))
    own = np.sqrt(np.diagonal(counts))
    below = own[:, None] * own[None, :]
    distance = 1.0 - np.divide(counts, below, out=np.zeros_like(counts), where=below > 0)
    np.fill_diagonal(distance, 0.0)
    tree = hierarchy.linkage(squareform(np.clip(distance, 0.0, 1.0), checks=False), "average", optimal_ordering=True)
    return hierarchy.leaves_list(tree)
