"""Tracks that belong together, as numbers: the same number, the same group."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence

import numpy as np
from scipy import sparse


def sharing(keys: Sequence[Iterable[Hashable]]) -> np.ndarray:
    """The group (N,) of each of N tracks: tracks that share a key are of one group, and so are those tied by others.

    Groups are numbered in the order in which they first occur.
    """
    numbers: dict[Hashable, int] = {}
    ties = [(track, numbers.setdefault(each, len(numbers))) for track, own in enumerate(keys) for each in own]
    tracks, named = np.array(ties, np.int64).reshape(-1, 2).T
    size = len(keys) + len(numbers)
    graph = sparse.coo_matrix((np.ones(len(ties), bool), (tracks, len(keys) + named)), shape=(size, size))
    return in_order(sparse.csgraph.connected_components(graph, directed=False)[1][: len(keys)])


def in_order(groups: np.ndarray) -> np.ndarray:
    """The groups (N,) numbered in the order in which they first occur."""
    _, first, inverse = np.unique(groups, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse]
