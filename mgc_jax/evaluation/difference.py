"""Whether one model's macro-mAP is better than another's on the same tracks, or within what other tracks would change.

Axis letters: N tracks, G genres, R resamples.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

RESAMPLES = 400
_MOST_NUMBERS = 200_000_000  # of resamples, tracks and genres multiplied: a few seconds


class Difference(NamedTuple):
    """What was measured, and the 95 % interval of it over tracks drawn anew."""

    value: float
    low: float
    high: float

    @property
    def clear(self) -> bool:
        """Whether it is more than the choice of tracks makes."""
        return self.low > 0 or self.high < 0


def map_difference(ours: np.ndarray, theirs: np.ndarray, labels: np.ndarray, seed: int = 0) -> Difference | None:
    """Macro-mAP of scores ``ours`` less that of ``theirs`` (N, G) on labels (N, G); None without a positive.

    The interval is 1.96 standard deviations of the same difference over bootstrapped tracks, to either side; a genre
    that lost all its tracks in a resample is left out of that one.
    """
    truth = np.asarray(labels) > 0
    tracks, genres = truth.shape
    if not truth.any():
        return None
    resamples = int(np.clip(_MOST_NUMBERS // truth.size, 50, RESAMPLES))
    drawn = np.random.default_rng(seed).multinomial(tracks, np.full(tracks, 1 / tracks), size=resamples)
    weights = np.concatenate([np.ones((1, tracks)), drawn]).astype(np.float32)  # the first row: the tracks as they are
    total, defined = np.zeros(len(weights)), np.zeros(len(weights))
    for genre in range(genres):
        if truth[:, genre].any():
            pair = (average_precisions(x[:, genre], truth[:, genre], weights) for x in (ours, theirs))
            difference = np.subtract(*pair)
            some = ~np.isnan(difference)
            total[some] += difference[some]
            defined += some
    value, *others = total[defined > 0] / defined[defined > 0]
    spread = 1.96 * float(np.std(others, ddof=1))
    return Difference(float(value), float(value - spread), float(value + spread))


def average_precisions(scores: np.ndarray, truth: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The average precision (R,) of scores (N,) for truth (N,) where each track counts ``weights`` (R, N) times; NaN
    where no positive counts."""
    order = np.argsort(-scores, kind="stable")
    ranked, hit, weight = scores[order], truth[order], weights[:, order]
    # Precision at a positive is that of all tracks with its score or a higher one.
    last = np.searchsorted(-ranked, -ranked[hit], side="right") - 1
    positive = weight * hit
    precision = np.cumsum(positive, axis=1)[:, last] / np.maximum(np.cumsum(weight, axis=1)[:, last], 1)
    counted = positive.sum(axis=1)
    found = (positive[:, hit] * precision).sum(axis=1)
    return np.where(counted > 0, found / np.maximum(counted, 1), np.nan)
