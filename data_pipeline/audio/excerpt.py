"""The stretch of a recording that becomes a training example."""

from __future__ import annotations

import itertools
import math

import numpy as np

from data_pipeline.audio.cutting import cut, fit
from data_pipeline.audio.levels import GATE, SILENCE, Levels
from data_pipeline.audio.recording import AudioError, Recording, held
from data_pipeline.audio.spec import MIN_SECONDS, AudioSpec
from data_pipeline.audio.stream import decoded

SEARCHED = 600
"""Seconds of a recording among which its excerpt is chosen."""
BEGINNING_SKIPPED = "silence or noise before the music skipped"


def load_clip(source: Recording, spec: AudioSpec, notes: set[str] | None = None) -> np.ndarray:
    """The ``spec.excerpt`` of a recording, mono, resampled, zero-padded: (num_samples,) float32.

    What counts as sound is said in :mod:`data_pipeline.audio.levels`; the loudest second is that of the first ten
    minutes, for no more is looked at. ``start`` stops reading as soon as it knows: a second at 40 dB under full scale
    is not 40 dB under anything. Less than 1 s of quiet before the music stays. ``notes`` are given what was done with
    the recording.

    Raises:
        AudioError: the file is not usable audio, with a short reason.
    """
    with decoded(held(source)) as stream:
        seconds, length = stream.seconds(), math.ceil(spec.seconds * stream.rate)
        levels = Levels(stream.rate)
        read: list[np.ndarray] = []
        for second in itertools.islice(seconds, SEARCHED):
            read.append(second)
            levels.add(second)
            if spec.excerpt == "start" and levels.samples >= length and levels.loudest >= GATE:
                break
        begin = _begin(levels, spec, length)
        while (total := sum(map(len, read))) < begin + length and (more := next(seconds, None)) is not None:
            read.append(more)
        begin = min(begin, total - length)
        if begin < MIN_SECONDS * stream.rate:
            begin = 0
    if notes is not None:
        notes |= stream.notes
        if begin and spec.excerpt == "start":
            notes.add(BEGINNING_SKIPPED)
    return fit(next(cut(read, [(begin, begin + length)])), stream.rate, spec)


def _begin(levels: Levels, spec: AudioSpec, length: int) -> int:
    """Where the excerpt of ``length`` samples begins, as far as the recording is long enough."""
    if levels.samples >= SEARCHED * levels.rate and levels.peak < SILENCE:
        raise AudioError(f"silent: for its first {SEARCHED // 60} min")
    sounding = np.flatnonzero(levels.sounding())
    if spec.excerpt == "start":
        return levels.begin(sounding[0])
    if spec.excerpt == "middle":
        return levels.begin(sounding[len(sounding) // 2]) - length // 2
    sums, blocks = np.concatenate([[0.0], np.cumsum(levels.energies())]), levels.blocks_of(spec.seconds)
    return levels.begin(int(np.argmax(sums[blocks:] - sums[:-blocks]))) if len(sums) > blocks else 0
