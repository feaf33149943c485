import numpy as np
import pytest

from mgc_jax.evaluation import diagnostics


@pytest.fixture
def split() -> tuple[np.ndarray, np.ndarray]:
    """Scores and labels (300, 5)."""
    random = np.random.default_rng(5)
    scores = random.random((300, 5)) ** 2
    return scores, (random.random((300, 5)) < scores**1.3).astype(np.uint8)


def test_calibration_is_that_of_a_loop_over_bins(split):
    scores, labels = split
    found = diagnostics.calibration(scores, labels)
    gaps = 0.0
    for i, edge in enumerate(np.arange(10) / 10):
        inside = (scores > edge) & (scores <= edge + 0.1)
        assert found.counts[i] == inside.sum()
        assert found.share[i] == pytest.approx(labels[inside].mean())
        assert found.score[i] == pytest.approx(scores[inside].mean())
        gaps += inside.sum() * abs(labels[inside].mean() - scores[inside].mean())
    assert found.error == pytest.approx(gaps / scores.size)
    each = [diagnostics.calibration(scores[:, g], labels[:, g]).error for g in range(5)]
    assert diagnostics.classwise_calibration_error(scores, labels) == pytest.approx(np.mean(each))


def test_empty_bins_keep_no_place():
    found = diagnostics.calibration(np.array([0.0, 0.02, 1.0]), np.array([0, 1, 1]))
    assert found.counts.tolist() == [2, 1]
    assert found.share.tolist() == [0.5, 1.0]
    assert diagnostics.calibration(np.array([0.5]), np.array([0])).error == 0.5


def test_confusions_are_those_of_a_loop(split):
    scores, labels = split
    predicted = scores > 0.4
    found = diagnostics.confusions(predicted, labels)
    for i in range(5):
        lacks = labels[:, i] == 0
        assert found.base[i] == pytest.approx(predicted[lacks, i].mean())
        for j in set(range(5)) - {i}:
            asked = (labels[:, i] == 1) & (labels[:, j] == 0)
            assert found.support[i, j] == asked.sum()
            assert found.rate[i, j] == pytest.approx(predicted[asked, j].mean())
    assert not np.diagonal(found.support).any()
    pairs = diagnostics.most_confused(found, top=4, minimum=1)
    best = sorted((found.rate[i, j] for i in range(5) for j in range(5) if i != j), reverse=True)[:4]
    assert [found.rate[i, j] for i, j in pairs] == pytest.approx(best)
    assert diagnostics.most_confused(found, minimum=10_000) == []


def test_a_perfect_model_confuses_nothing(split):
    _, labels = split
    assert diagnostics.most_confused(diagnostics.confusions(labels, labels), minimum=1) == []


def test_conditional_probabilities_and_cosines():
    labels = np.array([[1, 1, 0], [1, 0, 0], [0, 0, 0]])
    counts = diagnostics.cooccurrence(labels)
    assert counts.tolist() == [[2, 1, 0], [1, 1, 0], [0, 0, 0]]
    shares = diagnostics.conditional(counts)
    assert shares[0].tolist() == [1.0, 0.5, 0.0]
    assert shares[1].tolist() == [1.0, 1.0, 0.0]
    assert np.isnan(shares[2]).all()
    found = diagnostics.cosines(np.array([[1.0, 1.0], [2.0, 0.0], [0.0, 0.0]]))
    np.testing.assert_allclose(found, [[1, 0.5**0.5, 0], [0.5**0.5, 1, 0], [0, 0, 0]], atol=1e-12)


@pytest.mark.parametrize("size", [1, 2, 3, 30])
def test_genres_that_occur_together_become_neighbours(size):
    labels = np.zeros((4 * size, size), int)
    group = np.arange(size) % 3  # scattered on purpose
    for track in range(len(labels)):
        labels[track, group == track % 3] = 1
    order = diagnostics.clustered(diagnostics.cooccurrence(labels))
    assert sorted(order) == list(range(size))
    assert (np.diff(group[order]) != 0).sum() == min(size, 3) - 1
