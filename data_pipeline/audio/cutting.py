"""Stretches out of a stream of samples."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

import numpy as np

from data_pipeline.audio.spec import AudioSpec

Range = tuple[int, int]
"""The first sample, and the one behind the last."""


def cut(seconds: Iterable[np.ndarray], ranges: Iterable[Range]) -> Iterator[np.ndarray]:
    """The samples of each range, of which the first ones ascend; no more is kept than a range needs."""
    pieces: deque[tuple[int, np.ndarray]] = deque()
    source, behind = iter(seconds), 0
    for begin, end in ranges:
        while pieces and pieces[0][0] + len(pieces[0][1]) <= begin:
            pieces.popleft()
        while behind < end and (block := next(source, None)) is not None:
            if behind + len(block) > begin:
                pieces.append((behind, block))
            behind += len(block)
        yield np.concatenate([block[max(0, begin - first) : max(0, end - first)] for first, block in pieces])


def fit(samples: np.ndarray, rate: int, spec: AudioSpec, repeat: bool = False) -> np.ndarray:
    """Mono samples at ``spec.sample_rate``, cut or zero-padded to one clip, before which they may ``repeat``:
    (num_samples,) float32."""
    if rate != spec.sample_rate:
        import soxr

        samples = soxr.resample(samples, rate, spec.sample_rate, quality="HQ")
    samples = samples[: spec.num_samples].astype(np.float32, copy=False)
    if repeat:
        samples = np.tile(samples, spec.num_samples // len(samples))
    return np.pad(samples, (0, spec.num_samples - len(samples)))
