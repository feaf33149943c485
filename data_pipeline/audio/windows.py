"""The windows of a recording that are heard: all that sounds, however long it is."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from data_pipeline.audio.cutting import Range, cut, fit
from data_pipeline.audio.levels import GATE, PER_SECOND, Levels, level
from data_pipeline.audio.recording import Recording, held
from data_pipeline.audio.spec import MIN_SECONDS, AudioSpec
from data_pipeline.audio.stream import decoded

_KEPT = 1 << 24  # samples of a recording that are kept to be gone through again: 6 min of a CD, 64 MiB


class Window(NamedTuple):
    """A stretch of a recording: its ``start`` in s, its ``samples`` (num_samples,) float32 as a clip has them, and how
    much it counts, about 1 for the loudest one."""

    start: float
    samples: np.ndarray
    weight: float


class Windows:
    """The sounding windows of a recording, as long as a clip each, which can be gone through again and again.

    Silence and noise at the ends are left out, and so is what lasts as long as a window between two sounds; what
    sounds between is cut from its beginning. Its last window ends where it ends, unless less than 1 s is left; one
    that is shorter than a window is padded with zeros behind, before which it may ``repeat`` as often as it fits.
    So is a recording that is not longer than a window, which is taken as it is. Windows under the gate of
    :mod:`data_pipeline.audio.levels` are left out, too; how much the others count is their level.

    Raises:
        AudioError: the recording cannot be decoded, is silent throughout, or shorter than 1 s.
    """

    def __init__(self, source: Recording, spec: AudioSpec, *, repeat: bool = False) -> None:
        self._source, self._spec, self._repeat = held(source), spec, repeat
        kept: list[np.ndarray] = []
        with decoded(self._source) as stream:
            self._levels = Levels(stream.rate)
            for second in stream.seconds():
                self._levels.add(second)
                if self._levels.samples <= _KEPT:
                    kept.append(second)
        self.notes: frozenset[str] = frozenset(stream.notes)
        """What was done with the recording, and who decoded it: see :class:`data_pipeline.audio.stream.Stream`."""
        self._kept = kept if self._levels.samples <= _KEPT else None
        self._rate = stream.rate
        self.seconds = self._levels.samples / stream.rate
        """How long the recording is."""
        self._length = math.ceil(spec.seconds * stream.rate)
        self._ranges = self._layout()
        self.too_quiet = self._left_out()
        """Windows that would lie in what is left out; those among others are counted when they were gone through."""
        self._at_the_gate = 0

    @property
    def most(self) -> int:
        """How many there are, with those that turn out to be under the gate."""
        return len(self._ranges)

    def __iter__(self) -> Iterator[Window]:
        self.too_quiet -= self._at_the_gate
        self._at_the_gate = 0
        if self._kept is not None:
            yield from self._heard(self._kept)
        else:
            with decoded(self._source) as stream:
                yield from self._heard(stream.seconds())

    def _heard(self, seconds: Iterable[np.ndarray]) -> Iterator[Window]:
        loudest, best, given = self._levels.loudest, (0.0, 0.0, np.zeros(0, np.float32)), 0
        for (begin, _), samples in zip(self._ranges, cut(seconds, self._ranges), strict=True):
            weight = level(samples) / loudest
            if weight >= GATE:
                given += 1
                yield Window(begin / self._rate, fit(samples, self._rate, self._spec, self._repeat), weight)
            else:
                self._at_the_gate += 1
                self.too_quiet += 1
                best = max(best, (weight, begin / self._rate, samples), key=lambda one: one[0])
        if not given:  # all that is loud was a moment in a window
            self._at_the_gate -= 1
            self.too_quiet -= 1
            weight, start, samples = best
            yield Window(start, fit(samples, self._rate, self._spec, self._repeat), weight)

    def _layout(self) -> list[Range]:
        """Where the windows lie."""
        sounding = self._levels.sounding()
        if self._levels.samples <= self._length:
            return [(0, self._levels.samples)]
        runs = [self._run(*run) for run in _runs(sounding, self._levels.blocks_of(self._spec.seconds))]
        long = [run for run in runs if run[1] - run[0] >= MIN_SECONDS * self._rate]
        if not long:  # moments alone: with what is around them
            firsts = sorted({min(begin, self._levels.samples - self._length) for begin, _ in runs})
            return [(first, first + self._length) for first in firsts]
        return [window for run in long for window in self._windows(*run)]

    def _run(self, first: int, last: int) -> Range:
        """What sounds from one block to another; less than 1 s of quiet before all and behind all is left as it is."""
        begin, end, moment = self._levels.begin(first), self._levels.end(last), MIN_SECONDS * self._rate
        return (begin if begin >= moment else 0), (
            end if self._levels.samples - end >= moment else self._levels.samples
        )

    def _windows(self, begin: int, end: int) -> Iterator[Range]:
        whole = math.ceil((end - begin) / self._length) * self._length
        if whole - (end - begin) <= self._rate // PER_SECOND and begin + whole <= self._levels.samples:
            end = begin + whole  # what ends with a window but for a moment
        for start in range(begin, end, self._length):
            if start + self._length <= end or start == begin:
                yield start, min(start + self._length, end)
            elif end - start >= MIN_SECONDS * self._rate:
                yield end - self._length, end

    def _left_out(self) -> int:
        """Whole windows that fit into what no window covers."""
        count, behind = 0, 0
        for begin, end in [*self._ranges, (self._levels.samples, self._levels.samples)]:
            count += max(0, begin - behind) // self._length
            behind = max(behind, end)
        return count


def _runs(sounding: np.ndarray, gap: int) -> list[tuple[int, int]]:
    """The first and the last block of everything that sounds, where quiet of ``gap`` blocks and more divides it."""
    blocks = np.flatnonzero(sounding)
    breaks = np.flatnonzero(np.diff(blocks) > gap)
    firsts, lasts = blocks[[0, *(breaks + 1)]], blocks[[*breaks, -1]]
    return list(zip(firsts.tolist(), lasts.tolist(), strict=True))
