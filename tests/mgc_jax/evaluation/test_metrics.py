import numpy as np
import pytest
from hypothesis import given, settings
from sklearn.metrics import average_precision_score, f1_score, hamming_loss, jaccard_score, roc_auc_score

from mgc_jax.evaluation.metrics import (
    argmax_fallback,
    evaluate_scores,
    evaluate_sets,
    per_genre,
    predict,
    trivial_predictors,
)
from tests.support.scored import scored

KEYS = set(
    "jaccard f1_example f1_micro f1_macro exact_match hamming_loss map_macro map_micro roc_auc_macro lrap "
    "coverage_error num_tracks num_genres_evaluated".split()
)


def test_hand_example():
    labels = np.array([[1, 1, 0], [0, 0, 1], [0, 0, 0]])
    scores = np.array([[0.9, 0.2, 0.6], [0.1, 0.3, 0.8], [0.1, 0.2, 0.3]])
    got = evaluate_scores(scores, labels, 0.5)
    assert set(got) == KEYS
    assert got["jaccard"] == pytest.approx((1 / 3 + 1 + 1) / 3)  # the empty track counts as 1
    assert got["f1_example"] == pytest.approx((1 / 2 + 1 + 1) / 3)
    assert got["exact_match"] == pytest.approx(2 / 3)
    assert got["hamming_loss"] == pytest.approx(2 / 9)
    assert got["f1_micro"] == pytest.approx(2 * 2 / (3 + 3))
    assert got["num_tracks"] == 3
    assert got["num_genres_evaluated"] == 3


@settings(max_examples=60)
@given(scored())
def test_bounds_and_set_relations(case):
    scores, labels = case
    got = evaluate_scores(scores, labels)
    j, f = got["jaccard"], got["f1_example"]
    assert 0 <= got["exact_match"] <= j + 1e-12 <= f + 2e-12 <= 2 * j / (1 + j) + 1e-9  # Jensen: 2j/(1+j) is concave
    truth, predicted = labels.astype(bool), predict(scores)
    union, both = (truth | predicted).sum(1), (truth & predicted).sum(1)
    assert j == pytest.approx(np.mean(np.where(union == 0, 1.0, both / np.maximum(union, 1))))
    sizes = truth.sum(1) + predicted.sum(1)
    assert f == pytest.approx(np.mean(np.where(sizes == 0, 1.0, 2 * both / np.maximum(sizes, 1))))
    if labels.shape[1] > 1:
        assert jaccard_score(truth, predicted, average="samples", zero_division=1.0) == pytest.approx(j)
        assert f1_score(truth, predicted, average="samples", zero_division=1.0) == pytest.approx(f)
        assert f1_score(truth, predicted, average="micro", zero_division=0.0) == pytest.approx(got["f1_micro"])
        assert hamming_loss(truth, predicted) == pytest.approx(got["hamming_loss"])
    for key, value in evaluate_sets(predicted, labels).items():
        assert value == pytest.approx(got[key], nan_ok=True)


@settings(max_examples=60)
@given(scored())
def test_macro_averages_leave_out_genres_without_positives(case):
    scores, labels = case
    got = evaluate_scores(scores, labels)
    some = np.flatnonzero(labels.any(0))
    both = np.flatnonzero(labels.any(0) & ~labels.all(0))
    assert got["num_genres_evaluated"] == len(some)
    predicted = predict(scores)

    def mean(values):
        return float(np.mean(values)) if values else float("nan")

    for key, want in {
        "map_macro": mean([average_precision_score(labels[:, g], scores[:, g]) for g in some]),
        "f1_macro": mean([f1_score(labels[:, g], predicted[:, g], zero_division=0) for g in some]),
        "roc_auc_macro": mean([roc_auc_score(labels[:, g], scores[:, g]) for g in both]),
    }.items():
        assert got[key] == pytest.approx(want, nan_ok=True), key
    rows = per_genre(scores, labels)
    assert [row["genre"] for row in rows] == list(range(labels.shape[1]))
    assert [row["support"] for row in rows] == labels.sum(0).tolist()
    assert mean([rows[g]["average_precision"] for g in some]) == pytest.approx(got["map_macro"], nan_ok=True)
    assert mean([rows[g]["roc_auc"] for g in both]) == pytest.approx(got["roc_auc_macro"], nan_ok=True)


def test_argmax_fallback_fills_only_empty_tracks():
    scores = np.array([[0.1, 0.4], [0.6, 0.9]])
    assert argmax_fallback(predict(scores, [0.5, 0.95]), scores).tolist() == [[False, True], [True, False]]


def test_trivial_predictors():
    labels = np.array([[1, 0, 0], [1, 1, 0], [0, 0, 1]])
    got = trivial_predictors(np.array([50, 20, 10]), 100, labels)
    assert got["best_constant"] == {"size": 1, "jaccard": pytest.approx(0.5), "f1_example": pytest.approx(5 / 9)}
    # With constant scores, average precision is the genre's frequency among the evaluated tracks.
    assert got["prevalence"]["map_macro"] == pytest.approx(np.mean([2 / 3, 1 / 3, 1 / 3]))


@pytest.mark.parametrize(
    ("scores", "labels"),
    [(np.zeros((3, 2)), np.zeros((3, 5))), (np.zeros((0, 2)), np.zeros((0, 2))), (np.full((2, 2), np.nan), np.eye(2))],
)
def test_bad_input_is_refused(scores, labels):
    with pytest.raises(ValueError, match=r"scores"):
        evaluate_scores(scores, labels)
