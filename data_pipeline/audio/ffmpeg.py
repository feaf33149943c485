"""What FFmpeg's libraries decode: AAC, ALAC, WMA, WavPack, videos and more. The only file that knows PyAV."""

from __future__ import annotations

import functools
import logging
import math
from collections.abc import Generator, Iterator
from typing import Any, BinaryIO

import numpy as np

from data_pipeline import extras
from data_pipeline.audio.recording import AudioError

NAME = "ffmpeg"
_PLANES = 8  # AV_NUM_DATA_POINTERS
_FULL_SCALE = {"u1": 128.0, "i2": 2.0**15, "i4": 2.0**31, "i8": 2.0**63}


class Decoding:
    """The first sound track, or the one marked as default, on its way to samples.

    ``container`` is the name of the demuxer. Raises AudioError where FFmpeg cannot decode it.
    """

    def __init__(self, file: BinaryIO, container: str) -> None:
        av = _library()
        self._damaged = self._whole = 0
        self._reason, self._broken = "", False
        try:
            self._container: Any = av.open(file, format=container, metadata_errors="ignore")
        except (av.FFmpegError, ValueError, OSError, MemoryError) as error:
            raise AudioError(f"cannot be decoded: {_reason(error)}") from error
        tracks = self._container.streams.audio
        default = (track for track in tracks if track.disposition & av.stream.Disposition.default)
        self._track: Any = next(default, tracks[0] if tracks else None)
        if self._track is None or self._track.codec_context is None:
            self._container.close()
            raise AudioError("cannot be decoded: unknown coding" if tracks else "not audio: no sound track in it")
        self._track.codec_context.thread_count = 1
        self.seconds = self._claim()
        """What the file claims to hold; None where it says nothing."""
        # What an encoder appends to fill its last frame lies behind the end that these name, by the millisecond.
        lossless = self._track.codec_context.codec.lossless
        self._ends = container == "mov" and not lossless and self.seconds is not None
        self._frames = self._decoded()
        self._first = next(self._frames, None)
        if self._first is None:
            self._container.close()
            raise AudioError(f"cannot be decoded: {self._reason}" if self._reason else "no samples")
        self.rate: int = self._first.sample_rate
        """Hz: what is decoded, for a header may say half of it."""

    def chunks(self) -> Iterator[tuple[int, np.ndarray]]:
        """Hz and samples (n, C) float32, about a second at a time, as long as both stay the same."""
        parts: list[np.ndarray] = []
        rate = self.rate
        left = math.ceil((self.seconds or 0.0) * rate) if self._ends else None
        for frame in self._all():
            samples = _samples(frame)[:left]
            left = None if left is None else left - len(samples)
            changed = parts and (frame.sample_rate != rate or samples.shape[1] != parts[0].shape[1])
            if changed or sum(map(len, parts)) >= rate:
                yield rate, np.concatenate(parts)
                parts = []
            rate = frame.sample_rate
            parts.append(samples)
        if parts:
            yield rate, np.concatenate(parts)
        if self._broken and not self.seconds:  # else what is missing is to be seen
            raise AudioError(f"cannot be decoded: {self._reason}")
        if self._damaged > self._whole:
            total = self._damaged + self._whole
            raise AudioError(f"cannot be decoded: {self._damaged} of {total} packets are damaged")

    def close(self) -> None:
        """Ends it, wherever it is."""
        self._frames.close()
        self._container.close()

    def _all(self) -> Iterator[Any]:
        if self._first is not None:
            yield self._first
            self._first = None
        yield from self._frames

    def _decoded(self) -> Generator[Any]:
        """The frames; packets that are damaged are left out, as MP3 decoders have it."""
        av = _library()
        packets = self._container.demux(self._track)
        while True:
            try:
                packet = next(packets, None)
            except LookupError:  # of a track that was not there at first: PyAV does not know it
                packets = self._container.demux(self._track)
                continue
            except (av.FFmpegError, OSError, ValueError) as error:
                self._reason, self._broken = _reason(error), True
                return
            if packet is None:
                return
            try:
                frames = packet.decode()
            except (av.FFmpegError, OSError, ValueError) as error:
                self._damaged, self._reason = self._damaged + 1, _reason(error)
                continue
            self._whole += 1
            yield from frames

    def _claim(self) -> float | None:
        if self._track.duration and self._track.time_base:
            return float(self._track.duration * self._track.time_base)
        return self._container.duration / 1e6 if self._container.duration else None


def _samples(frame: Any) -> np.ndarray:
    """(n, C) float32, full scale at 1."""
    channels = len(frame.layout.channels)
    if frame.format.is_planar and channels >= _PLANES:
        frame = _packed(frame)
    array = frame.to_ndarray()
    array = array.T if frame.format.is_planar else array.reshape(-1, channels)
    if array.dtype.kind == "f":
        return array.astype(np.float32)
    scale = _FULL_SCALE[array.dtype.str[1:]]
    floats = array.astype(np.float64 if array.dtype.itemsize > 2 else np.float32)
    return ((floats - scale if array.dtype.kind == "u" else floats) / scale).astype(np.float32)


def _packed(frame: Any) -> Any:
    """The frame with its channels side by side: of so many planes PyAV finds no end, and reads what is no sound."""
    av = _library()
    try:
        (packed,) = av.AudioResampler(frame.format.packed, frame.layout, frame.sample_rate).resample(frame)
    except (av.FFmpegError, ValueError) as error:
        raise AudioError(f"cannot be decoded: {_reason(error)}") from error
    return packed


def _reason(error: Exception) -> str:
    """What FFmpeg logged last, which says more than its error."""
    logged = getattr(error, "log", None)
    text = logged[2] if logged else getattr(error, "strerror", None) or str(error)
    return " ".join(str(text).split()).rstrip(".") or "unknown format"


@functools.cache
def _library() -> Any:
    """PyAV, whose log goes into its errors and nowhere else."""
    try:
        import av
    except ImportError as error:
        raise AudioError(str(extras.missing("this format", ("formats",), str(error))).rstrip(".")) from None

    logger = logging.getLogger("libav")
    logger.addHandler(logging.NullHandler())
    logger.propagate = False
    av.logging.set_level(av.logging.ERROR)
    return av
