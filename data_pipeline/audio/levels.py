"""How loud a recording is from moment to moment, and the one rule by which what is too quiet does not count.

Whoever scales every stretch of a recording to its own maximum hears music in the noise behind it. So a stretch counts
by its level, the root mean square of its samples about their mean (a constant offset is no sound): twice the amplitude
counts twice. A stretch that is :data:`GATE_DB` under the recording's loudest second is left out altogether. By then its
weight is a hundredth, so that nothing jumps at the gate; but minutes of it, the noise of a run-out groove or before a
hidden track, would add up. The gates of EBU R 128 lie nearer, at 10 LU under a programme's mean loudness and, for its
loudness range (EBU Tech 3342), at 20 LU: they measure what stands out. Ours has to keep what is music: orchestras play
over 40 dB and more seldom, and most recordings over much less.
"""

from __future__ import annotations

import math

import numpy as np

from data_pipeline.audio.recording import AudioError

GATE_DB = 40.0
"""How far under the loudest second of a recording a stretch of it may be, in dB."""
GATE = 10 ** (-GATE_DB / 20)
PER_SECOND = 10
"""Blocks of a second, the finest that levels are told of."""
SILENCE = 1e-4
"""The peak under which all is silence: -80 dB of full scale; what lossy coders leave of digital silence is less."""
_ROUNDING = 1e-6
"""The level under which a block may be a constant: float64's rounding of it."""
_WAVE = 0.01  # s, of the lowest note that matters


def level(samples: np.ndarray) -> float:
    """The root mean square of samples (n,) about their mean."""
    exact = samples.astype(np.float64)
    return _level(len(exact), float(exact.sum()), float(exact @ exact)) if len(exact) else 0.0


def _level(number: int, total: float, squares: float) -> float:
    return math.sqrt(max(squares / number - (total / number) ** 2, 0.0))


class Levels:
    """The levels of a recording that is added second by second.

    Block ``i`` begins at sample ``i * rate // PER_SECOND``; the last one may be shorter.
    """

    def __init__(self, rate: int) -> None:
        self.rate, self.samples = rate, 0
        self.peak, self.loudest = 0.0, 0.0
        """The largest amplitude, and the level of the loudest second."""
        self._blocks: list[tuple[int, float, float, int]] = []  # length, sum, sum of squares, end of what is loud

    def add(self, second: np.ndarray) -> None:
        """The next second of samples (rate,), of which the last one may be shorter."""
        edges = np.arange(PER_SECOND + 1) * self.rate // PER_SECOND
        edges = np.append(edges[edges < len(second)], len(second))
        lengths = np.diff(edges)
        exact, amplitudes = second.astype(np.float64), np.abs(second)
        sums, squares = (np.add.reduceat(values, edges[:-1]) for values in (exact, exact * exact))
        peaks = np.maximum.reduceat(amplitudes, edges[:-1])
        loud = np.flatnonzero(amplitudes >= np.repeat(peaks / 8, lengths))
        ends = loud[np.searchsorted(loud, edges[1:]) - 1] + 1
        ends = np.where(edges[1:] - ends > self.rate * _WAVE, ends, edges[1:])
        self.peak = max(self.peak, float(peaks.max()))
        if 2 * len(second) >= self.rate:  # of a few samples there is no level
            self.loudest = max(self.loudest, _level(len(second), sums.sum(), squares.sum()))
        self._blocks += zip(
            lengths.tolist(), sums.tolist(), squares.tolist(), (ends - edges[:-1]).tolist(), strict=True
        )
        self.samples += len(second)

    def begin(self, block: int) -> int:
        """The first sample of a block."""
        return min(block * self.rate // PER_SECOND, self.samples)

    def end(self, block: int) -> int:
        """Where a song that breaks off in the midst of a block does so, be it followed by nothing or by noise.

        It is behind the last sample that has an eighth of the block's largest amplitude, or with the block where no
        whole wave has room between.
        """
        return self.begin(block) + self._blocks[block][3]

    def sounding(self) -> np.ndarray:
        """The blocks (N,) that are above the gate: bool.

        Raises AudioError where all is silence, or one constant.
        """
        if self.peak < SILENCE:
            raise AudioError("silent: throughout")
        length, total, squares, _ = np.array(self._blocks, np.float64).T
        levels = np.sqrt(np.maximum(squares / length - (total / length) ** 2, 0.0))
        if levels.max() < _ROUNDING:
            raise AudioError("silent: a constant offset throughout")
        return (levels >= GATE * self.loudest) & (levels > 0)

    def energies(self) -> np.ndarray:
        """The sums (N,) of the blocks' squares."""
        return np.array([block[2] for block in self._blocks])

    def blocks_of(self, seconds: float) -> int:
        """How many blocks last so long at least."""
        return math.ceil(seconds * PER_SECOND)
