"""Tracks that are the same recording: by the bytes of their files, and by the fingerprints of their sound."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from data_pipeline.prepare import groups
from data_pipeline.prepare.fingerprints import SAME, SAME_IF_SHORT, SHORT, steps

_TABLES = 48
_CROWD = 32
"""Tracks in one bucket that are all compared with each other; in a larger one, with so many of them."""
_APART = 0.35
"""Of all planes, the share that may part two copies; those that correlate by SAME are parted by .24."""
_ROWS = 4096


def find(contents: Sequence[str], fingerprints: np.ndarray) -> np.ndarray:
    """The recording (N,) of each of N tracks, numbered in order of occurrence.

    ``contents`` are digests of their files, ``fingerprints`` (N, D) int8. Pairs are looked for by random projections
    (Charikar, 2002) in time that grows as N log N: of two copies whose fingerprints correlate by .9, 1 pair in 1000
    is missed among 1 000 tracks, and 1 in 25 among 100 000.
    """
    keys: list[list[object]] = [[content] for content in contents]
    for pair in _alike(fingerprints):
        for track in pair:
            keys[track].append(pair)
    return groups.sharing(keys)


def _alike(fingerprints: np.ndarray) -> Iterator[tuple[int, int]]:
    """Pairs of tracks whose fingerprints are those of one recording."""
    sounding = np.flatnonzero(fingerprints.any(axis=1))
    if len(sounding) < 2:
        return
    norms = np.array([np.linalg.norm(row.astype(np.float32)) for row in fingerprints[sounding]])
    bounds = np.where(steps(fingerprints[sounding]) < SHORT, SAME_IF_SHORT, SAME)
    bits = int(np.clip(np.ceil(np.log2(len(sounding))), 4, 20))
    planes = np.random.default_rng(0).standard_normal((fingerprints.shape[1], _TABLES * bits), np.float32)
    sides = np.concatenate(
        [
            fingerprints[sounding[first : first + _ROWS]].astype(np.float32) @ planes > 0
            for first in range(0, len(sounding), _ROWS)
        ]
    )
    packed = np.packbits(sides, axis=1)
    for table in range(_TABLES):
        buckets = sides[:, table * bits : (table + 1) * bits] @ (1 << np.arange(bits))
        pairs = np.array([*_neighbours(buckets)], np.int64).reshape(-1, 2)
        apart = np.bitwise_count(packed[pairs[:, 0]] ^ packed[pairs[:, 1]]).sum(axis=1)
        pairs = pairs[apart < _APART * sides.shape[1]]
        for first in range(0, len(pairs), _ROWS):
            one, two = pairs[first : first + _ROWS].T
            left, right = (fingerprints[sounding[side]].astype(np.float32) for side in (one, two))
            same = np.einsum("nd,nd->n", left, right) >= np.maximum(bounds[one], bounds[two]) * norms[one] * norms[two]
            yield from zip(sounding[one[same]].tolist(), sounding[two[same]].tolist(), strict=True)


def _neighbours(buckets: np.ndarray) -> Iterator[tuple[int, int]]:
    """Pairs of tracks in one bucket, at most a fixed number for each track."""
    order = np.argsort(buckets, kind="stable")
    for bucket in np.split(order, np.flatnonzero(np.diff(buckets[order])) + 1):
        for place, two in enumerate(bucket.tolist()):
            yield from ((one, two) for one in bucket[: min(place, _CROWD)].tolist())
