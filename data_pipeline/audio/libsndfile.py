"""What libsndfile decodes: WAV, FLAC, MP3, Ogg, AIFF and others. The only file that reads with soundfile."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np

from data_pipeline.audio.quiet import quiet
from data_pipeline.audio.recording import AudioError

NAME = "libsndfile"


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
        self.seconds: float | None = self._file.frames / self.rate if self.rate else None
        """What the file claims to hold."""

    def chunks(self) -> Iterator[tuple[int, np.ndarray]]:
        """Hz and samples (n, C) float32, a second at a time."""
        import soundfile

        while True:
            try:
                with quiet:
                    samples = self._file.read(self.rate, dtype="float32", always_2d=True)
            except (soundfile.SoundFileError, RuntimeError, ValueError, MemoryError) as error:
                raise AudioError(f"cannot be decoded: {_reason(error)}") from error
            if not len(samples):
                return
            yield self.rate, samples

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
