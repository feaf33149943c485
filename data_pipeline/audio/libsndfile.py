"""What libsndfile decodes: WAV, FLAC, MP3, Ogg, AIFF and others. The only file that reads with soundfile."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np

from data_pipeline.audio.quiet import quiet
from data_pipeline.audio.recording import AudioError

NAME = "libsndfile"
_UNKNOWN = 2**63 - 1  # SF_COUNT_MAX, of a FLAC that was written into a pipe


class Decoding:
    """A recording on its way to samples; raises AudioError where libsndfile cannot decode it."""

    def __init__(self, file: BinaryIO) -> None:
        import soundfile

        try:
            with quiet:
                self._file = _forward_only()(file)
        except (soundfile.SoundFileError, RuntimeError, TypeError, ValueError, OSError) as error:
            reason = _reason(error) or "unknown format"
            # libsndfile takes an MP3 without one whole frame for a file that is not there.
            if "format not recogni" in reason.lower() or "does not exist" in reason:
                raise AudioError("not audio: format not recognised") from error
            raise AudioError(f"cannot be decoded: {reason}") from error
        self.rate: int = self._file.samplerate
        """Hz."""
        known = self.rate and self._file.frames < _UNKNOWN
        self.seconds: float | None = self._file.frames / self.rate if known else None
        """What the file claims to hold; None where it says nothing."""

    def chunks(self) -> Iterator[tuple[int, np.ndarray]]:
        """Hz and samples (n, C) float32, a second at a time; up to where the file is broken, if it has told how long it
        is, so that what is missing is to be seen."""
        import soundfile

        given = 0
        while True:
            try:
                second = np.empty((self.rate, self._file.channels), np.float32)
                with quiet:
                    samples = self._file.read(out=second)
            except (soundfile.SoundFileError, RuntimeError, ValueError, MemoryError) as error:
                whole = 0 if isinstance(error, MemoryError) else self._whole(given)
                if not (whole and self.seconds):
                    raise AudioError(f"cannot be decoded: {_reason(error)}") from error
                yield self.rate, second[: whole - given]
                return
            if not len(samples):
                return
            given += len(samples)
            yield self.rate, samples

    def _whole(self, given: int) -> int:
        """Samples in front of what cannot be decoded, of which so many are given already."""
        try:
            return max(given, self._file.tell())
        except RuntimeError:
            return given

    def close(self) -> None:
        """Ends it, wherever it is."""
        self._file.close()


@functools.cache
def _forward_only() -> Any:
    """soundfile's file without its seeking behind each read, from which an MP3 goes on with a few wrong frames."""
    import soundfile

    class ForwardOnly(soundfile.SoundFile):
        def seekable(self) -> bool:
            return False

    return ForwardOnly


def _reason(error: Exception) -> str:
    return str(getattr(error, "error_string", error)).strip().rstrip(".")
