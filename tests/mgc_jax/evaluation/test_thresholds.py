"""Thresholds of few tracks and of many, of scores that mean something and of scores that do not."""

import numpy as np
import pytest
from hypothesis import given, settings
from scipy.special import expit, logit
from sklearn.metrics import f1_score

from mgc_jax.evaluation.metrics import evaluate_sets, predict, trivial_predictors
from mgc_jax.evaluation.thresholds import calibrate_thresholds, trust
from tests.support.scored import scored


@settings(max_examples=60)
@given(scored())
def test_calibrated_thresholds_are_the_best_there_are(case):
    scores, labels = case
    thresholds = calibrate_thresholds(scores, labels, prevalence=np.full(scores.shape[1], 0.5), weight=0)
    assert thresholds.shape == (labels.shape[1],)
    predicted = predict(scores, thresholds)
    for g in np.flatnonzero(labels.any(0)):
        got = f1_score(labels[:, g], predicted[:, g], zero_division=0)
        best = max(f1_score(labels[:, g], scores[:, g] >= t, zero_division=0) for t in scores[:, g])
        assert got == pytest.approx(best)


def test_thin_genres_are_drawn_towards_a_common_threshold():
    rng = np.random.default_rng(0)
    labels = (rng.random((1001, 3)) < [0.5, 0.01, 0.0]).astype(np.uint8)
    assert 5 < labels[:, 1].sum() < 20
    scores = np.clip(labels * 0.3 + rng.random((1001, 3)) * 0.5, 0, 1)
    own = calibrate_thresholds(scores, labels, prevalence=np.full(3, 0.2), weight=0)
    often, seldom, never = calibrate_thresholds(scores, labels, prevalence=np.full(3, 0.2))
    assert (scores >= never).mean() == pytest.approx(0.2, abs=1e-3)  # the common one
    assert abs(often - own[0]) < 0.01
    assert min(own[1], never) < seldom < max(own[1], never)
    assert abs(seldom - own[1]) > 0.02


def test_thresholds_of_a_few_tracks_do_not_follow_chance():
    gains = []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        chances = np.linspace(0.6, 0.03, 40)
        labels = (rng.random((230, 40)) < chances).astype(np.uint8)
        noise = rng.normal(scale=0.5, size=labels.shape)
        scores = 1 / (1 + np.exp(-np.log(chances / (1 - chances)) - noise - 0.5 * labels))
        few, others = slice(30), slice(30, None)
        f1 = {}
        for weight in (0, 10):
            thresholds = calibrate_thresholds(scores[few], labels[few], prevalence=chances, weight=weight)
            f1[weight] = evaluate_sets(scores[others] >= thresholds, labels[others])["f1_example"]
        constant = trivial_predictors(np.round(chances * 200).astype(int), 200, labels[others])["best_constant"]
        assert f1[10] > constant["f1_example"]
        gains.append(f1[10] - f1[0])
    assert min(gains) > 0.01, gains


def test_neighbouring_scores_are_cut_between():
    scores = np.array([[np.nextafter(0.5, 1)], [0.5]])
    (threshold,) = calibrate_thresholds(
        scores, np.array([[1], [0]]), prevalence=np.full(scores.shape[1], 0.5), weight=0
    )
    assert predict(scores, threshold).tolist() == [[True], [False]]


def observed(tracks: int, knows: float, confident: float, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels (N, 40), how frequent they are, and scores that know ``knows`` of them and are too ``confident``."""
    rng = np.random.default_rng(seed)
    prevalence = np.linspace(0.6, 0.03, 40)
    labels = rng.random((tracks, 40)) < prevalence
    evidence = knows * (2.0 * labels - 1.0) + rng.normal(size=labels.shape)
    return labels, prevalence, expit(logit(prevalence) + confident * evidence)


@pytest.mark.parametrize("seed", range(5))
def test_scores_that_mean_nothing_name_what_is_frequent(seed: int):
    """However sure they sound, as those of a model that overfitted do on songs of other artists."""
    labels, prevalence, scores = observed(330, knows=0.0, confident=4.0, seed=seed)
    few, others = slice(30), slice(30, None)
    predicted = scores[others] >= calibrate_thresholds(scores[few], labels[few], prevalence=prevalence)
    named = predicted.mean(axis=0)
    assert np.minimum(named, 1 - named).mean() < 0.1  # nearly the same genres for all
    assert named[:5].min() > 0.9
    assert named[-20:].max() < 0.2
    f1 = [evaluate_sets(sets, labels[others])["f1_example"] for sets in (predicted, scores[others] >= 0.5)]
    assert f1[0] > f1[1] + 0.1


def test_as_far_as_scores_can_be_trusted():
    # For evidence of means -1 and 1 and variance 1 the log-odds are twice the evidence.
    for knows, confident, share in ((0.0, 4.0, 0.02), (1.0, 2.0, 1.0), (1.0, 4.0, 0.5), (1.0, 1.0, 1.0)):
        labels, prevalence, scores = observed(4000, knows, confident, seed=0)
        assert trust(scores, labels, prevalence) == pytest.approx(share, abs=0.03)


@settings(max_examples=60)
@given(scored())
def test_thresholds_are_always_numbers(case):
    scores, labels = case
    prevalence = (labels.sum(0) + 1) / (len(labels) + 2)
    thresholds = calibrate_thresholds(scores, labels, prevalence=prevalence)
    assert ((thresholds >= 0) & (thresholds <= 1)).all()
