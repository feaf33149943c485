"""Which song belongs to which lyrics, by the embeddings of the A-L loss.

Axis letters: N tracks, C width of the embeddings.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy.special import gammaln

AT = (1, 5, 10)
MOST_QUERIES = 20_000
"""Of more, :data:`DRAWN` are asked: all of Music4All's test split would take as long as all the other metrics."""
DRAWN = 5_000
_ROWS_AT_ONCE = 1024


class Retrieval(NamedTuple):
    """One direction: of ``queries`` questions, each with ``candidates`` answers to rank, the share with a right answer
    among the best k (``recall[k]``), and the median rank of the best right answer; the same for ranking at random.

    Where there are many, the queries were drawn among ``drawn_from``, and ``error[k]`` is the half width of the
    recall's 95 % interval for that; 0 where all were asked."""

    queries: int
    drawn_from: int
    candidates: int
    recall: dict[int, float]
    error: dict[int, float]
    median_rank: float
    chance_recall: dict[int, float]
    chance_median_rank: float

    def to_json(self) -> dict[str, Any]:
        """The form of an evaluation's ``retrieval``."""
        return {
            "queries": self.queries,
            "drawn_from": self.drawn_from,
            "candidates": self.candidates,
            **{f"recall_at_{k}": value for k, value in self.recall.items()},
            **{f"error_at_{k}": value for k, value in self.error.items()},
            "median_rank": self.median_rank,
            "chance": {f"recall_at_{k}": value for k, value in self.chance_recall.items()}
            | {"median_rank": self.chance_median_rank},
        }


def retrieval(
    audio: np.ndarray, lyrics: np.ndarray, words: np.ndarray, at: tuple[int, ...] = AT
) -> dict[str, Retrieval] | None:
    """Both directions for the N tracks of a split by the dot product of their embeddings (N, C).

    ``words`` (N,) is the same number for tracks with the same lyrics, and negative for a track without, which takes
    no part. Lyrics that several tracks share are one text: asked once, with all of these tracks as right answers,
    and one candidate when the tracks ask. A wrong candidate that scores as high as the best right one counts half.

    Returns:
        ``lyrics_to_audio`` and ``audio_to_lyrics``, or None where there are not two different lyrics.
    """
    sung = np.flatnonzero(np.asarray(words) >= 0)
    _, first, text, tracks_of = np.unique(
        np.asarray(words)[sung], return_index=True, return_inverse=True, return_counts=True
    )
    if len(first) < 2:
        return None
    audio_side = np.asarray(audio, np.float64)[sung]
    lyrics_side = np.asarray(lyrics, np.float64)[sung][first]  # the U different texts
    texts = np.arange(len(first))
    from_lyrics, from_audio = _asked(len(lyrics_side)), _asked(len(audio_side))
    to_audio = _ranks(lyrics_side[from_lyrics], audio_side, texts[from_lyrics], text)
    to_lyrics = _ranks(audio_side[from_audio], lyrics_side, text[from_audio], texts)
    one_each = np.ones(len(from_audio), np.int64)
    return {
        "lyrics_to_audio": _summary(to_audio, tracks_of[from_lyrics], len(lyrics_side), len(audio_side), at),
        "audio_to_lyrics": _summary(to_lyrics, one_each, len(audio_side), len(lyrics_side), at),
    }


def _asked(queries: int) -> np.ndarray:
    """The numbers of those that are asked: all, or some drawn, always the same ones."""
    if queries <= MOST_QUERIES:
        return np.arange(queries)
    return np.sort(np.random.default_rng(0).choice(queries, DRAWN, replace=False))


def _ranks(queries: np.ndarray, candidates: np.ndarray, query_ids: np.ndarray, candidate_ids: np.ndarray) -> np.ndarray:
    """The rank, from 1 on, of the best right candidate of each query; right is who has the query's number."""
    ranks = []
    for start in range(0, len(queries), _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        similarity = queries[rows] @ candidates.T
        right = query_ids[rows, None] == candidate_ids[None, :]
        best = np.where(right, similarity, -np.inf).max(axis=1, keepdims=True)
        above, equal = (similarity > best) & ~right, (similarity == best) & ~right
        ranks.append(1.0 + above.sum(axis=1) + 0.5 * equal.sum(axis=1))
    return np.concatenate(ranks)


def _summary(ranks: np.ndarray, right: np.ndarray, drawn_from: int, candidates: int, at: tuple[int, ...]) -> Retrieval:
    """``right`` (Q,) is how many right answers each query has among the candidates."""
    cutoffs = np.arange(1, candidates + 1)
    chance = _chance(right, candidates, cutoffs)
    recall = {k: float(np.mean(ranks <= k)) for k in at}
    # Drawn without replacement: nothing is uncertain where all were asked.
    scale = 1.96 * np.sqrt((1 - len(ranks) / drawn_from) / len(ranks))
    return Retrieval(
        queries=len(ranks),
        drawn_from=drawn_from,
        candidates=candidates,
        recall=recall,
        error={k: float(scale * np.sqrt(share * (1 - share))) for k, share in recall.items()},
        median_rank=float(np.median(ranks)),
        chance_recall={k: float(chance[min(k, candidates) - 1]) for k in at},
        chance_median_rank=float(cutoffs[np.argmax(chance >= 0.5 - 1e-9)]),
    )


def _chance(right: np.ndarray, candidates: int, cutoffs: np.ndarray) -> np.ndarray:
    """The probability that a random order has a right answer among the first k, averaged over the queries, for each k
    of ``cutoffs``: 1 - C(n - r, k) / C(n, k)."""
    total = np.zeros(len(cutoffs))
    for r, count in zip(*np.unique(right, return_counts=True), strict=True):
        left = candidates - int(r)
        possible = cutoffs <= left
        k = np.where(possible, cutoffs, 0)
        log = gammaln(left + 1) - gammaln(left - k + 1) + gammaln(candidates - k + 1) - gammaln(candidates + 1)
        total += count * np.where(possible, 1.0 - np.exp(log), 1.0)
    return total / len(right)
