import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mgc_jax.evaluation import retrieval as module
from mgc_jax.evaluation.retrieval import retrieval


def by_loop(audio, lyrics, words, at):
    """Every question asked one by one: (recall at each k, median rank) of both directions."""
    sung = [i for i, w in enumerate(words) if w >= 0]
    texts = {w: next(i for i in sung if words[i] == w) for w in sorted({int(words[i]) for i in sung})}

    def rank(scores, right):
        best = max(scores[c] for c in right)
        wrong = [score for c, score in scores.items() if c not in right]
        return 1 + sum(s > best for s in wrong) + sum(s == best for s in wrong) / 2

    to_audio = [
        rank({i: float(lyrics[first] @ audio[i]) for i in sung}, {i for i in sung if words[i] == w})
        for w, first in texts.items()
    ]
    to_lyrics = [rank({w: float(audio[i] @ lyrics[first]) for w, first in texts.items()}, {words[i]}) for i in sung]
    return [([np.mean([r <= k for r in ranks]) for k in at], np.median(ranks)) for ranks in (to_audio, to_lyrics)]


@settings(max_examples=40)
@given(st.integers(2, 12), st.integers(0, 10_000))
def test_the_ranks_are_those_of_a_loop(size, seed):
    random = np.random.default_rng(seed)
    words = random.integers(-1, 6, size)
    # Small integers: products are exact, and there are ties.
    text = random.integers(-2, 3, (7, 3)).astype(np.float32)
    audio, lyrics = random.integers(-2, 3, (size, 3)).astype(np.float32), text[words]
    found = retrieval(audio, lyrics, words)
    if len(set(words) - {-1}) < 2:
        assert found is None
        return
    for one, (recall, median) in zip(found.values(), by_loop(audio, lyrics, words, (1, 5, 10)), strict=True):
        assert list(one.recall.values()) == pytest.approx(recall)
        assert one.median_rank == median


def test_chance_is_that_of_all_orders():
    words = np.array([0, 0, 1, 2, -1])
    found = retrieval(np.eye(5), np.eye(5), words, at=(1, 2))["lyrics_to_audio"]
    assert (found.queries, found.candidates) == (3, 4)
    right = [{0, 1}, {2}, {3}]
    orders = list(itertools.permutations(range(4)))
    for k in (1, 2):
        expected = np.mean([bool(r & set(order[:k])) for r in right for order in orders])
        assert found.chance_recall[k] == pytest.approx(expected)
    places = [min(order.index(c) for c in r) + 1 for r in right for order in orders]
    assert found.chance_median_rank == np.median(places)


def test_embeddings_that_say_nothing_are_no_better_than_chance():
    words = np.arange(40)
    same = retrieval(np.ones((40, 3)), np.ones((40, 3)), words)
    assert same["lyrics_to_audio"].median_rank == 20.5
    assert same["audio_to_lyrics"].recall == {1: 0.0, 5: 0.0, 10: 0.0}
    perfect = retrieval(np.eye(40), np.eye(40), words)
    assert perfect["audio_to_lyrics"].recall[1] == perfect["lyrics_to_audio"].recall[1] == 1.0
    assert perfect["audio_to_lyrics"].chance_recall[10] == pytest.approx(10 / 40)
    assert perfect["audio_to_lyrics"].to_json()["chance"]["recall_at_5"] == pytest.approx(5 / 40)


def test_many_tracks_are_ranked_in_parts_as_at_once():
    random = np.random.default_rng(3)
    audio, lyrics = random.normal(size=(1500, 4)), random.normal(size=(1500, 4))
    ranks = (audio @ lyrics.T > np.sum(audio * lyrics, axis=1)[:, None] + 1e-12).sum(axis=1) + 1
    assert retrieval(audio, lyrics, np.arange(1500))["audio_to_lyrics"].median_rank == np.median(ranks)


def test_without_lyrics_there_is_nothing_to_retrieve():
    assert retrieval(np.eye(3), np.eye(3), np.array([-1, -1, -1])) is None
    assert retrieval(np.eye(3), np.eye(3), np.array([7, 7, -1])) is None


def test_of_many_queries_some_are_drawn_and_the_error_is_said(monkeypatch):
    random = np.random.default_rng(0)
    lyrics = random.standard_normal((600, 4))
    audio = lyrics + random.standard_normal((600, 4))
    whole = retrieval(audio, lyrics, np.arange(600))
    monkeypatch.setattr(module, "MOST_QUERIES", 599)
    monkeypatch.setattr(module, "DRAWN", 200)
    drawn = retrieval(audio, lyrics, np.arange(600))
    for direction, one in drawn.items():
        assert (one.queries, one.drawn_from, one.candidates) == (200, 600, 600)
        for k, recall in whole[direction].recall.items():
            assert whole[direction].error[k] == 0
            assert 0 < one.error[k] < 0.06
            assert abs(one.recall[k] - recall) < 1.5 * one.error[k]
