"""A recording as one stream of mono samples, whatever decodes it and however many parts its file has."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from typing import Any, BinaryIO, Protocol

import numpy as np

from data_pipeline.audio import ffmpeg, libsndfile
from data_pipeline.audio.containers import Part, parts
from data_pipeline.audio.recording import RATES, AudioError, Recording, opened
from data_pipeline.audio.spec import MIN_SECONDS
from data_pipeline.audio.view import View

JOINED = "joined recordings read"
CUT_OFF = "cut off: read as far as it goes"
ONE_CHANNEL = "one channel taken"
_BUFFER = 1 << 16
_LOUDEST = 64.0
"""Of full scale: 36 dB over it. Mixes in floats and lossy decoders go some dB over; integers that are called floats,
by a header or by who wrote them, are thousands of times over, or no numbers."""
_CANCELLED = 0.01  # of the power that a mix of unrelated channels keeps
_BY_LIBSNDFILE = ("wav", "aiff", "flac", "ogg", "mp3", "au", "caf", "w64", "")
_RESYNCHRONISES = ("mp3", "aac", "ac3")  # their frames do not depend on what is missing


class Decoding(Protocol):
    """A decoder at work on one part of a file."""

    rate: int
    seconds: float | None

    def chunks(self) -> Iterator[tuple[int, np.ndarray]]:
        """Hz and samples (n, C) float32, about a second at a time."""
        ...

    def close(self) -> None:
        """Ends it."""
        ...


class Stream:
    """The samples of a recording, once from the beginning to the end: see :func:`decoded`.

    ``rate`` is the first part's, in Hz, to which those of others are resampled. ``notes`` grow while it is read: what
    was done with the recording that is not a matter of course, and who decoded it.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._parts = file, parts(file)
        self._first = next(self._parts)
        self.notes: set[str] = set()
        self._decoding = self._decode(self._first)
        self.rate = self._decoding.rate

    def seconds(self) -> Iterator[np.ndarray]:
        """Mono samples (rate,) float32, of which the last may be fewer.

        Raises AudioError where they cannot be decoded, are no numbers, or are less than 1 s.
        """
        total, block, size = 0, list[np.ndarray](), 0
        for samples in self._mono():
            total += len(samples)
            while size + len(samples) >= self.rate:
                rest = self.rate - size
                yield np.concatenate([*block, samples[:rest]]) if block else samples[:rest]
                block, size, samples = [], 0, samples[rest:]
            if len(samples):
                block.append(samples)
                size += len(samples)
        if total == 0:
            raise AudioError("no samples")
        if total < MIN_SECONDS * self.rate:
            raise AudioError("shorter than 1 s")
        if block:
            yield np.concatenate(block)

    def close(self) -> None:
        """Ends it, wherever it is."""
        self._decoding.close()

    def _mono(self) -> Iterator[np.ndarray]:
        """Samples (n,) at the stream's rate, part by part."""
        yield from self._part(self._first)
        for number, part in enumerate(self._parts, 2):
            self._decoding.close()
            self.notes.add(JOINED)
            try:
                self._decoding = self._decode(part)
                yield from self._part(part)
            except AudioError as error:
                raise AudioError(f"{error} (in recording {number} of those joined in this file)") from None

    def _part(self, part: Part) -> Iterator[np.ndarray]:
        given = 0.0
        to_ours = _Resampler(self.rate)
        for rate, samples in self._decoding.chunks():
            _check_rate(rate)
            given += len(samples) / rate
            _check_scale(samples)
            yield from to_ours(rate, self._mixed(samples))
        yield from to_ours.rest()
        if self._view.error:
            raise AudioError(f"cannot be read: {self._view.error.strerror or self._view.error}")
        if part.cut:
            self.notes.add(CUT_OFF)
        claimed = self._decoding.seconds
        if claimed and given < claimed - MIN_SECONDS / 2:
            lost = f"truncated: {given:.1f} of {claimed:.1f} s decoded"
            if 2 * given < claimed and (given < MIN_SECONDS or part.container not in _RESYNCHRONISES):
                raise AudioError(lost)
            self.notes.add(CUT_OFF)

    def _decode(self, part: Part) -> Decoding:
        """The decoder that takes the part: libsndfile if it can, else FFmpeg."""
        decoding: Decoding | None = None
        if part.container in _BY_LIBSNDFILE:
            try:
                decoding = libsndfile.Decoding(self._bytes(part))
                name = libsndfile.NAME
                # Of an MP3 without a header it guesses the length from the first frame.
                if (decoding.seconds or 0.0) < part.seconds - MIN_SECONDS / 2:
                    decoding.close()
                    decoding = None
            except AudioError:
                if not part.container:
                    raise
        if decoding is None:
            decoding = ffmpeg.Decoding(self._bytes(part), part.container)
            name = ffmpeg.NAME
        try:
            _check_rate(decoding.rate)
        except AudioError:
            decoding.close()
            raise
        self.notes.add(f"decoded with {name}")
        return decoding

    def _bytes(self, part: Part) -> BinaryIO:
        self._view = View(self._file, part.start, part.stop, part.patches)
        return io.BufferedReader(self._view, _BUFFER)

    def _mixed(self, samples: np.ndarray) -> np.ndarray:
        """(n, C) -> (n,): the mean of the channels; where they cancel each other, the loudest one."""
        if samples.shape[1] == 1:
            return samples[:, 0]
        channels = np.ascontiguousarray(samples.T)
        mix = channels.mean(axis=0)
        power = [channel @ channel for channel in channels]
        if mix @ mix >= _CANCELLED * sum(power) / len(power) ** 2:
            return mix
        self.notes.add(ONE_CHANNEL)
        return channels[np.argmax(power)]


class _Resampler:
    """Chunks of any rate to one, without a seam where two have the same."""

    def __init__(self, rate: int) -> None:
        self._rate = self._from = rate
        self._stream: Any = None

    def __call__(self, rate: int, samples: np.ndarray) -> Iterator[np.ndarray]:
        import soxr

        if rate != self._from:
            yield from self.rest()
            self._from = rate
            self._stream = soxr.ResampleStream(rate, self._rate, 1, dtype="float32", quality="HQ")
        yield samples if rate == self._rate else self._stream.resample_chunk(samples)

    def rest(self) -> Iterator[np.ndarray]:
        """What is still inside."""
        if self._from != self._rate:
            yield self._stream.resample_chunk(np.zeros(0, np.float32), last=True)
            self._from, self._stream = self._rate, None


@contextlib.contextmanager
def decoded(source: Recording) -> Iterator[Stream]:
    """A recording to be read once; raises AudioError where it is none."""
    with opened(source) as file:
        stream = Stream(file)
        try:
            yield stream
        finally:
            stream.close()


def _check_rate(rate: int) -> None:
    if not RATES[0] <= rate <= RATES[1]:
        raise AudioError(f"a sample rate that no music has: {rate} Hz")


def _check_scale(samples: np.ndarray) -> None:
    peak = max(samples.max(initial=0.0), -samples.min(initial=0.0))
    if not np.isfinite(peak):
        raise AudioError("contains NaN or infinite samples")
    if peak > _LOUDEST:
        raise AudioError(f"samples far over full scale: up to {peak:.6g} where 1 is the most")
