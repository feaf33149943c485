"""The linear rival scores as plain scikit-learn does, is fitted once, and never stops an evaluation."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.preprocessing import StandardScaler

from data_pipeline.reading.prepared_data import PreparedData
from mgc_jax.cli import main
from mgc_jax.evaluation import linear, metrics, rival
from mgc_jax.evaluation.difference import average_precisions, map_difference
from tests.support.recipe import CONFIG, TINY

N, FRAMES, MELS, TOKENS, WIDTH = 53, 7, 5, 11, 3
GENRES = 4
RNG = np.random.default_rng(3)
LENGTHS = RNG.integers(0, TOKENS + 1, N)
LENGTHS[:2] = 0, TOKENS
FRAMES_OF = RNG.integers(0, 256, (N, FRAMES, MELS), dtype=np.uint8)
FEATURES = RNG.normal(size=(N, TOKENS, WIDTH)).astype(np.float16)
PIECES = RNG.integers(1, 20, (N, TOKENS), dtype=np.int32)
SOUND = np.concatenate([FRAMES_OF.mean(1), FRAMES_OF.std(1)], 1)
LABELS = np.argsort(np.argsort(SOUND[:, :GENRES] + 40 * RNG.normal(size=(N, GENRES)), axis=0), axis=0) > N // 2
TRAIN, VALIDATION, TEST = np.split(np.arange(N), [31, 41])


def pooled(index: np.ndarray, words: np.ndarray) -> linear.Pooled:
    parts = [linear.pool(FRAMES_OF[i], words[i], LENGTHS[i]) for i in (index[:6], index[6:])]
    return linear.Pooled.joined(parts)


def regressions(words: np.ndarray, labels: np.ndarray = LABELS) -> linear.Regressions:
    return linear.fit(pooled(TRAIN, words), labels[TRAIN], pooled(VALIDATION, words), labels[VALIDATION])


def fitted(words: np.ndarray, labels: np.ndarray = LABELS) -> tuple[float, np.ndarray]:
    found = regressions(words, labels)
    return found.strength, found.scores(pooled(TEST, words))


def mean_of_features() -> np.ndarray:
    words = np.array([row[:n].astype(float).mean(0) if n else np.zeros(WIDTH) for row, n in zip(FEATURES, LENGTHS)])  # noqa: B905
    return StandardScaler().fit(words[TRAIN]).transform(words) / WIDTH**0.5


def tf_idf() -> np.ndarray:
    counts = np.array([np.bincount(row[:n], minlength=20) for row, n in zip(PIECES, LENGTHS)])  # noqa: B905
    counts = counts[:, (counts[TRAIN] > 0).sum(0) > 1]
    return TfidfTransformer(sublinear_tf=True).fit(counts[TRAIN]).transform(counts).toarray()


@pytest.mark.parametrize(("words", "expected"), [(FEATURES, mean_of_features), (PIECES, tf_idf)])
@pytest.mark.parametrize("components", [linear.COMPONENTS, 12])
def test_the_scores_are_those_of_plain_scikit_learn(words, expected, components, monkeypatch):
    """With principal components, too, where these are all there are: 12 are more than the features of the first."""
    monkeypatch.setattr(linear, "COMPONENTS", 2 * MELS + WIDTH if components == 12 and words is FEATURES else 31)
    sound = StandardScaler().fit(SOUND[TRAIN]).transform(SOUND) / (2 * MELS) ** 0.5
    x = np.concatenate([sound, expected()], axis=1)
    losses, scores = {}, {}
    for c in linear.STRENGTHS:
        models = [LogisticRegression(C=c, tol=1e-10, max_iter=1000).fit(x[TRAIN], y) for y in LABELS[TRAIN].T]
        both = np.array([model.predict_proba(x)[:, 1] for model in models]).T
        losses[c] = -np.log(np.where(LABELS, both, 1 - both))[VALIDATION].mean()
        scores[c] = both[TEST]
    strength, found = fitted(words)
    assert strength == min(losses, key=losses.__getitem__)
    np.testing.assert_allclose(found, scores[strength], atol=2e-4)


@pytest.mark.parametrize("components", [linear.COMPONENTS, 5])
def test_one_kernel_says_the_same_of_what_is_pooled(components, monkeypatch):
    monkeypatch.setattr(linear, "COMPONENTS", components)
    found, test = regressions(FEATURES), pooled(TEST, FEATURES)
    kernel, bias = found.on_pooled()
    logits = np.concatenate([test.sound, test.words], axis=1) @ kernel + bias
    np.testing.assert_allclose(1 / (1 + np.exp(-logits)), found.scores(test), atol=1e-5)


def test_tf_idf_is_no_kernel():
    with pytest.raises(ValueError, match="affine"):
        regressions(PIECES).on_pooled()


def test_a_genre_that_all_have_or_none_is_a_constant():
    labels = LABELS.copy()
    labels[TRAIN, 0], labels[TRAIN, 2] = True, False
    _, scores = fitted(FEATURES, labels)
    assert set(scores[:, 0]) == {1.0}
    assert set(scores[:, 2]) == {0.0}
    np.testing.assert_allclose(scores[:, [1, 3]], fitted(FEATURES)[1][:, [1, 3]], atol=0.2)
    _, one = fitted(FEATURES, labels[:, :1])
    assert set(one.ravel()) == {1.0}


@pytest.mark.parametrize("words", [FEATURES, PIECES])
def test_songs_without_lyrics_are_told_by_their_sound(words, monkeypatch):
    monkeypatch.setitem(globals(), "LENGTHS", np.zeros(N, int))
    _, scores = fitted(words)
    assert np.isfinite(scores).all()
    assert np.ptp(scores) > 0.1


def test_a_draw_of_many_tracks_is_always_the_same():
    np.testing.assert_array_equal(rival.chosen(500, 30), np.arange(500))
    few = rival.chosen(100_000, 30)
    assert len(few) == len(set(few.tolist())) == rival.MOST_TRACKS
    np.testing.assert_array_equal(few, rival.chosen(100_000, 30))
    assert len(rival.chosen(100_000, 400)) == rival.MOST_WORK // 400


def test_the_difference_of_two_models_has_an_interval():
    truth = RNG.random((200, GENRES)) < 0.3
    good, bad = truth + RNG.normal(size=truth.shape), RNG.random(truth.shape).round(1)  # with ties
    found = map_difference(good, bad, truth)
    assert found is not None
    expected = metrics.evaluate_scores(good, truth)["map_macro"] - metrics.evaluate_scores(bad, truth)["map_macro"]
    assert found.value == pytest.approx(expected, abs=1e-6)
    assert found.low < found.value < found.high
    assert found.clear
    other = map_difference(bad, good, truth)
    assert other is not None
    assert other == pytest.approx((-found.value, -found.high, -found.low), abs=1e-9)
    same = map_difference(good, good, truth)
    assert same == (0.0, 0.0, 0.0)
    assert not same.clear
    assert map_difference(good, bad, np.zeros_like(truth)) is None


def test_weighted_average_precision_is_that_of_repeated_tracks():
    truth, scores = RNG.random(40) < 0.4, RNG.random(40).round(1)
    weights = RNG.multinomial(40, np.full(40, 1 / 40), size=5)
    expected = [average_precision_score(np.repeat(truth, w), np.repeat(scores, w)) for w in weights]
    np.testing.assert_allclose(average_precisions(scores, truth, weights.astype(np.float32)), expected, atol=1e-6)
    nobody = np.where(truth, 0, 1)[None].astype(np.float32)
    assert np.isnan(average_precisions(scores, truth, nobody)).all()


@pytest.fixture
def forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """What this process fitted before."""
    monkeypatch.setattr(rival, "_last", {})


def never(*_: object) -> None:
    raise AssertionError("it was fitted again")


@pytest.mark.usefixtures("forgotten")
def test_it_is_fitted_once_for_a_data_set(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    prepared = PreparedData(data)
    first = rival.rival(prepared, "test", tmp_path)
    assert isinstance(first, rival.Rival)
    assert first.scores["test"].shape == (prepared.split_sizes["test"], prepared.vocabulary.size)
    assert first.tracks == prepared.split_sizes["train"]
    with monkeypatch.context() as patch:
        patch.setattr(rival, "_fit", never)
        assert rival.rival(prepared, "validation") is first  # in this process
        rival._last.clear()
        again = rival.rival(prepared, "test", tmp_path)
        assert isinstance(again, rival.Rival)
        np.testing.assert_array_equal(again.scores["test"], first.scores["test"])
        np.testing.assert_array_equal(again.thresholds, first.thresholds)
        assert (again.strength, again.tracks) == (first.strength, first.tracks)
    for broken in (b"PK", (tmp_path / rival.NAME).read_bytes()[:-90]):
        (tmp_path / rival.NAME).write_bytes(broken)
        rival._last.clear()
        anew = rival.rival(prepared, "test", tmp_path)
        assert isinstance(anew, rival.Rival)
        np.testing.assert_allclose(anew.scores["test"], first.scores["test"], atol=1e-6)
    other = shutil.copytree(data, tmp_path / "other")
    report = json.loads((other / "report.json").read_text())
    (other / "report.json").write_text(json.dumps(report | {"total_s": -1}))  # another preparation
    monkeypatch.setattr(rival, "_fit", never)
    with pytest.raises(AssertionError, match="again"):
        rival.rival(PreparedData(other), "test", tmp_path)


@pytest.mark.usefixtures("forgotten")
def test_tokens_are_read_as_counts(corpus: Path, tmp_path: Path):
    tokens = [*TINY, "--config.lyrics.input=tokens", "--config.data.fractions=(0.6,0.2,0.2)"]
    assert main(["prepare", "--config", CONFIG, *tokens, "--source", str(corpus), "--out", str(tmp_path / "data")]) == 0
    found = rival.rival(PreparedData(tmp_path / "data"), "train")
    assert isinstance(found, rival.Rival)
    assert found.scores.keys() == {"train", "validation", "test"}


@pytest.mark.usefixtures("forgotten")
def test_an_evaluation_goes_on_without_it(run: Path, data: Path, tmp_path: Path, capsys):
    """Where the train split cannot be read, of which the model itself needs nothing."""
    shutil.copytree(data, tmp_path / "data")
    (shard,) = (tmp_path / "data").rglob("*-train.array_record*")
    content = bytearray(shard.read_bytes())
    content[2 * len(content) // 3] ^= 255
    shard.write_bytes(content)
    workdir = shutil.copytree(run, tmp_path / "run")
    (workdir / rival.NAME).unlink(missing_ok=True)
    out = tmp_path / "result.json"
    arguments = ["evaluate", "--workdir", str(workdir), "--data", str(tmp_path / "data"), "--json", str(out)]
    assert main(arguments) == 0
    result = json.loads(out.read_text())
    assert result["linear"] is None
    assert f"{shard} is broken" in result["no_linear"]
    assert f"No linear model to compare with: {result['no_linear']}\n" in capsys.readouterr().out
    assert main(["report", "--workdir", str(workdir), "--no-audio"]) == 0
    assert "No linear model to compare with" in (workdir / "report.html").read_text()
    shard.unlink()
    rival._last.clear()
    reason = rival.rival(PreparedData(tmp_path / "data"), "test")
    assert isinstance(reason, str)
    assert "is missing; copy or prepare" in reason
