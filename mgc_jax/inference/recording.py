"""What a model is given to hear: a file, what one holds, or samples, cut into windows."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from data_pipeline import audio as sound
from data_pipeline.audio import AudioError, AudioSpec, Windows
from data_pipeline.errors import InputError

WINDOW_BATCH = 8
"""Windows of a song that are computed at once."""
Audio = str | Path | bytes | np.ndarray
"""A file of any format and length, what one holds, or samples (n,) or (n, channels), which need their rate in Hz."""


def windows(audio: Audio, rate: int | None, spec: AudioSpec, *, repeat: bool = False) -> Windows:
    """The sounding windows of a recording, each as long as a clip of ``spec``, and how much each counts.

    Args:
        rate: of the samples of an array, in Hz; None for a file.
        repeat: whether a recording shorter than a window is repeated in it.

    Raises:
        InputError: the audio cannot be decoded, or is no sound.
    """
    if isinstance(audio, bytearray | memoryview):  # which numpy would take for samples
        audio = bytes(audio)
    is_file = isinstance(audio, str | Path | bytes)
    if audio is None or hasattr(audio, "read"):
        kind = type(audio).__name__
        raise InputError(f"A song is a path, the bytes of a file, or samples with their rate, not {kind}.")
    if not is_file and rate is None:
        raise InputError("Samples need their rate: predict(samples, rate=44100).")
    if is_file and rate is not None:
        raise InputError("A file tells its rate by itself: leave rate out.")
    try:
        source = Path(audio) if isinstance(audio, str) else audio
        if not isinstance(source, Path | bytes):
            source = sound.as_file(source, rate or 0)
        return Windows(source, spec, repeat=repeat)
    except AudioError as error:
        raise InputError(f"{name(audio)}: {error}.") from None


def name(audio: Audio) -> str:
    """What messages and results call a recording."""
    if isinstance(audio, str | Path):
        return os.fsencode(audio).decode(errors="backslashreplace")  # a name need not be UTF-8
    if isinstance(audio, bytes):
        return f"{len(audio)} bytes"
    return f"an array {audio.shape}" if isinstance(audio, np.ndarray) else f"samples in a {type(audio).__name__}"
