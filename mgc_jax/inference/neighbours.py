"""Exact search for the nearest of many vectors, a chunk of them at a time.

Axis letters: N vectors, D their width, K neighbours.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

CHUNK_BYTES = 1 << 24
"""Of vectors that are looked at at once: memory does not grow with their number."""


class Nearest(NamedTuple):
    """The ``rows`` (K,) of the neighbours, nearest first, and their ``similarity`` (K,) float32; ``compared`` is how
    many there were to choose from."""

    rows: np.ndarray
    similarity: np.ndarray
    compared: int


def nearest(
    vectors: np.ndarray, query: np.ndarray, count: int, *, cosine: bool = True, without: int | None = None
) -> Nearest:
    """The ``count`` nearest of ``vectors`` (N, D), which may be memory-mapped, to a query (D,); fewer where there are
    no more. Of two that are equally near the one with the lower row comes first.

    A vector that has no direction, with a number that is not finite or of length 0, is nobody's neighbour.

    Args:
        cosine: whether nearness is the cosine, else the dot product.
        without: the row of the query itself, which is not its own neighbour.

    Raises:
        ValueError: the query has no direction.
    """
    query = np.asarray(query, np.float32)
    length = np.linalg.norm(query)
    if not 0 < length < np.inf:
        raise ValueError("the query has no direction")
    if cosine:
        query = query / length
    best = Nearest(np.zeros(0, np.int64), np.zeros(0, np.float32), 0)
    for first, chunk in _chunks(vectors):
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            lengths = np.sqrt(np.einsum("nd,nd->n", chunk, chunk))
            similarity = chunk @ query
            if cosine:
                similarity /= lengths
        known = (lengths > 0) & np.isfinite(lengths)
        if without is not None and first <= without < first + len(chunk):
            known[without - first] = False
        rows = np.flatnonzero(known)
        best = _better(best, first + rows, similarity[rows], count)
    return best


def _chunks(vectors: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Rows of ``vectors`` in float32, and the number of the first."""
    step = max(1, CHUNK_BYTES // (4 * vectors.shape[1]))
    for first in range(0, len(vectors), step):
        yield first, np.asarray(vectors[first : first + step], np.float32)


def _better(best: Nearest, rows: np.ndarray, values: np.ndarray, count: int) -> Nearest:
    """The nearest of those found so far and of later rows."""
    compared = best.compared + len(rows)
    if len(values) > count:  # all that reach the last one's place: of equal ones the first rows are kept below
        keep = values >= np.partition(values, len(values) - count)[len(values) - count]
        rows, values = rows[keep], values[keep]
    rows, values = np.concatenate([best.rows, rows]), np.concatenate([best.similarity, values])
    order = np.lexsort((rows, -values))[:count]
    return Nearest(rows[order], values[order], compared)
