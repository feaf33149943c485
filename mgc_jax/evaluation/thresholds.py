"""From which score on a genre is named: calibrated on the validation split, which may be small.

Axis letters: N tracks, G genres.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import expit, logit

from mgc_jax.evaluation.metrics import checked

_TRUST = 0.02, 1.0
_CLOSEST = 1e-6  # of a score to 0 and 1


def calibrate_thresholds(
    scores: np.ndarray, labels: np.ndarray, *, prevalence: np.ndarray, weight: float = 10.0
) -> np.ndarray:
    """Thresholds (G,) from the scores and labels (N, G) of the validation split.

    Each genre's own threshold maximises its F1; candidates are midpoints between neighbouring distinct scores (and just
    under the lowest). It is drawn towards a common one: with n positives it counts n / (n + ``weight``), so that a
    handful of tracks does not decide. The common one is for scores that are drawn towards the genres' ``prevalence``
    (G,) among the training tracks as far as :func:`trust` says, and as large a share of these reaches it as of all
    labels are 1. Where scores mean nothing, that names the same frequent genres for every track, which then is the best
    that can be done.

    >>> scores, labels = np.array([[0.1], [0.3], [0.5]]), np.array([[0], [1], [1]])
    >>> calibrate_thresholds(scores, labels, prevalence=np.array([0.5]), weight=0).tolist()
    [0.2]
    >>> calibrate_thresholds(scores, labels, prevalence=np.array([0.5])).round(3).tolist()  # the common one is 0.3
    [0.281]
    """
    scores, truth = checked(scores, labels)
    positives = truth.sum(axis=0)
    prior = _log_odds(np.asarray(prevalence, np.float64))
    share = trust(scores, truth, prevalence)
    common = np.quantile(_drawn(scores, prior, share), 1.0 - np.mean(prevalence))
    thresholds = np.empty(len(positives))
    for genre, count in enumerate(positives):
        own = _best(scores[:, genre], truth[:, genre]) if count else 0.5
        if count and not weight:
            thresholds[genre] = own
            continue
        counts = count / (count + weight) if count else 0.0
        drawn = counts * _drawn(own, prior[genre], share) + (1.0 - counts) * common
        thresholds[genre] = expit(prior[genre] + (drawn - prior[genre]) / share)
    return thresholds


def trust(scores: np.ndarray, labels: np.ndarray, prevalence: np.ndarray) -> float:
    """How far scores (N, G) can be trusted, 0.02 to 1.

    It is the a at which sigmoid(q + a (logit(score) - q)), where q = logit(``prevalence``) (G,), has the lowest
    cross-entropy on ``labels`` (N, G): temperature scaling (Guo et al., 2017) towards the genres' frequencies instead
    of towards 0.5.
    """
    scores, truth = checked(scores, labels)
    prior, odds = _log_odds(np.asarray(prevalence, np.float64)), _log_odds(scores)

    def cross_entropy(share: float) -> float:
        likely = expit(np.where(truth, 1.0, -1.0) * (prior + share * (odds - prior)))
        return -float(np.log(np.maximum(likely, 1e-300)).mean())

    return float(minimize_scalar(cross_entropy, bounds=_TRUST, method="bounded", options={"xatol": 1e-3}).x)


def _drawn(score: np.ndarray | float, prior: np.ndarray | float, share: float) -> np.ndarray:
    """The log-odds of a score that is drawn towards a prior, given as log-odds."""
    return prior + share * (_log_odds(score) - prior)


def _log_odds(share: np.ndarray | float) -> np.ndarray:
    return logit(np.clip(share, _CLOSEST, 1.0 - _CLOSEST))


def _best(scores: np.ndarray, truth: np.ndarray) -> float:
    """The F1-maximising threshold of scores (K,) for truth (K,), in which something is true."""
    order = np.argsort(-scores, kind="stable")
    ranked, hits = scores[order], np.cumsum(truth[order])
    # Cutting after place i predicts i + 1 items; ties cannot be cut apart.
    cut = np.append(ranked[:-1] > ranked[1:], True)
    f1 = np.where(cut, 2.0 * hits / (np.arange(1, len(ranked) + 1) + truth.sum()), -1.0)
    best = int(np.argmax(f1))
    below = ranked[best + 1] if best + 1 < len(ranked) else min(0.0, ranked[best])
    middle = (ranked[best] + below) / 2
    return float(middle if middle > below else ranked[best])  # neighbours one rounding step apart
