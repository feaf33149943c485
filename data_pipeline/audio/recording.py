"""What is handed in as a recording, and its bytes."""

from __future__ import annotations

import contextlib
import io
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import ArrayLike

from data_pipeline.errors import InputError
from data_pipeline.signatures import SIGNATURES

Recording = Path | bytes
"""A file of music, or what one holds."""
RATES = 1_000, 1_000_000
"""Hz, the least and the most; a second of a broken header's 1 Hz would be resampled from one sample."""
LARGEST_PIPE = 1 << 30
"""Bytes that are read of what is no file on a disk."""
_MAGIC = SIGNATURES | {b"PK\x03\x04": "a ZIP archive", b"<!DOC": "an HTML page", b"<html": "an HTML page"}


class AudioError(InputError):
    """Why a file cannot be used as audio, in a few words fit for ``quarantine.tsv``."""


def held(source: Recording) -> Recording:
    """The recording itself; of a pipe such as ``/dev/stdin``, which can be read once only, what comes out of it.

    Raises AudioError where that is too much, or cannot be read.
    """
    if isinstance(source, bytes):
        return source
    try:
        mode = source.stat().st_mode
        if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
            return source
        with source.open("rb") as pipe:
            content = pipe.read(LARGEST_PIPE + 1)
    except (OSError, ValueError):  # which says itself when it is opened
        return source
    if len(content) > LARGEST_PIPE:
        raise AudioError(f"a stream of more than {LARGEST_PIPE >> 20} MiB")
    return content


@contextlib.contextmanager
def opened(source: Recording) -> Iterator[BinaryIO]:
    """The bytes of a recording; raises AudioError where there are none, or they are obviously no sound."""
    try:
        file = io.BytesIO(source) if isinstance(source, bytes) else Path(source).open("rb")  # noqa: SIM115
    except (OSError, ValueError) as error:  # ValueError: a path that holds a NUL
        raise AudioError(f"cannot be opened: {getattr(error, 'strerror', None) or error}") from error
    with file:
        try:
            head = file.read(8)
        except OSError as error:
            raise AudioError(f"cannot be opened: {error.strerror or error}") from error
        if not head:
            raise AudioError("empty file")
        for magic, what in _MAGIC.items():
            if head.startswith(magic):
                raise AudioError(f"not audio: {what}")
        yield file


def as_file(samples: ArrayLike, rate: int) -> bytes:
    """What a WAV file of ``samples`` at ``rate`` Hz holds.

    (n,) or one column or row a channel, whichever axis is shorter; floats with full scale at 1, or integers of 8 to
    32 bits. Raises AudioError for anything else.
    """
    import soundfile

    try:
        array = np.atleast_1d(np.asarray(samples))
    except ValueError:  # rows of several lengths
        raise AudioError("no samples of sound: no array") from None
    if array.ndim > 2 or array.size == 0 or array.dtype.kind not in "fiu":
        raise AudioError(f"no samples of sound: an array {array.shape} of {array.dtype}")
    if not isinstance(rate, int | float | np.number) or not RATES[0] <= rate <= RATES[1]:
        raise AudioError(f"a sample rate that no music has: {rate} Hz")
    if array.dtype.kind in "iu" and array.dtype.itemsize == 8:
        raise AudioError("samples in integers of 64 bits, whose full scale nobody knows: give int16, int32 or floats")
    if array.ndim == 2 and array.shape[0] < array.shape[1]:
        array = array.T
    if array.dtype.kind in "iu":
        lowest, highest = np.iinfo(array.dtype).min, np.iinfo(array.dtype).max
        array = (array.astype(np.float64) - (lowest + highest + 1) // 2) / ((highest - lowest + 1) / 2)
    file = io.BytesIO()
    try:
        soundfile.write(file, array.astype(np.float32), int(rate), format="WAV", subtype="FLOAT")
    except (soundfile.SoundFileError, RuntimeError, ValueError):
        raise AudioError(f"no samples of sound: an array {array.shape}") from None
    return file.getvalue()
