"""The windows of many songs through a model, in batches of one size.

Axis letters: N windows of a batch, L lyric tokens, H the lyrics encoder's width.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import jax
import numpy as np

from data_pipeline.errors import InputError
from mgc_jax.inference.listening import Sound
from mgc_jax.inference.prediction import WeightedMean
from mgc_jax.inference.song import Song


@dataclasses.dataclass(eq=False)
class Pass:
    """A song on its way through a model: what is heard of it and its word-piece ids (n,), or the ``error`` that it ends
    by; then the mean of each output over its windows."""

    song: Song
    sound: Sound | None
    tokens: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0, np.uint16))
    error: InputError | None = None
    words: np.ndarray | None = None
    """What the lyrics encoder made of the tokens (L, H)."""
    means: dict[str, WeightedMean] = dataclasses.field(default_factory=dict)
    waiting: int = 0
    """Windows whose outputs are not there yet."""
    heard: bool = False
    """Whether all windows were taken."""


class Row(NamedTuple):
    """A window in a batch."""

    song: Pass
    clip: np.ndarray
    weight: float


Compute = Callable[[Sequence[Row], int], dict[str, jax.Array]]
"""Outputs (N, ...) of the model for rows, which are filled up to N."""


def through(songs: Iterable[Pass], compute: Compute, size: int) -> Iterator[Pass]:
    """Each song with its means or its error, in the order of the songs.

    Windows of several songs share a batch, so that one compiled program of ``size`` rows sees all of them. Where there
    are fewer at all, the batch is the next power of two: a short song is not computed as a long one. The outputs of a
    batch are awaited when the next one is on its way.
    """
    queue: deque[Pass] = deque()
    rows: list[Row] = []
    computing: deque[tuple[list[Row], dict[str, jax.Array]]] = deque()
    several = False
    for song in songs:
        queue.append(song)
        for row in _rows(song):
            rows.append(row)
            if len(rows) == size:
                computing.append((rows, compute(rows, size)))
                rows, several = [], True
                if len(computing) > 1:
                    _take(*computing.popleft())
                    yield from _finished(queue)
        yield from _finished(queue)
    if rows:
        computing.append((rows, compute(rows, size if several else min(size, 1 << (len(rows) - 1).bit_length()))))
    for batch in computing:
        _take(*batch)
    yield from _finished(queue)


def _rows(song: Pass) -> Iterator[Row]:
    try:
        for clip in song.sound or ():
            song.waiting += 1
            yield Row(song, clip.values, clip.weight)
    except InputError as error:  # a file that changed or is gone while it is read
        song.error = error
    song.heard = True


def _take(rows: Sequence[Row], outputs: dict[str, jax.Array]) -> None:
    """Add a batch's outputs to the means of its songs."""
    found = jax.device_get(outputs)
    first = 0
    while first < len(rows):
        song, end = rows[first].song, first
        while end < len(rows) and rows[end].song is song:
            end += 1
        weights = np.array([row.weight for row in rows[first:end]])
        for name, values in found.items():
            song.means.setdefault(name, WeightedMean()).add(values[first:end], weights)
        song.waiting -= end - first
        first = end


def _finished(queue: deque[Pass]) -> Iterator[Pass]:
    while queue and queue[0].heard and (queue[0].error or not queue[0].waiting):
        yield queue.popleft()
