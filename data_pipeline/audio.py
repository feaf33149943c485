"""Audio files -> float32 clips -> uint8 log-mel spectrograms (the only file that decodes and resamples).

Axis letters: T frames, M mel bands. Times in s, rates in Hz.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import io
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from data_pipeline import mel
from data_pipeline.errors import InputError
from data_pipeline.shared_context import SharedContext
from data_pipeline.validation import check

RANGE_DB = 80
"""What the 255 steps of a stored spectrogram span, in dB under the clip's maximum."""

_SILENCE = 1e-4  # -80 dB of full scale: what lossy coders leave of digital silence stays under it
_LOUDEST = 1e12  # float files hold full scale as 1, or as 2**31 at most; the power of far more overflows
_MIN_SECONDS = 1.0
_RATES = 1_000, 1_000_000  # Hz; a second of a broken header's 1 Hz would be resampled from one sample
_Count = Annotated[int, {"ge": 1, "le": 1 << 20}]  # Hz, samples or bands
_FRAMES_AT_ONCE = 64  # keeps the FFT's work set inside the L2 cache
_MAGIC = {
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"GIF8": "a GIF image",
    b"%PDF": "a PDF document",
    b"PK\x03\x04": "a ZIP archive",
    b"\x1f\x8b": "a gzip archive",
    b"<!DOC": "an HTML page",
    b"<html": "an HTML page",
    b"\x7fELF": "a program",
}


Recording = Path | bytes
"""A file of music, or what one holds."""
AudioInput = Literal["spectrogram", "features", "filterbank"]
"""Whether the model hears spectrograms, what a frozen encoder made of the waveform when the data set was prepared, or
what that encoder's front end made of it."""


class AudioError(InputError):
    """Why a file cannot be used as audio, in a few words fit for ``quarantine.tsv``."""


@dataclasses.dataclass(frozen=True)
class AudioSpec:
    """How clips are cut and analysed.

    >>> AudioSpec().num_frames  # the paper's 30 s
    1292
    """

    sample_rate: _Count = 22_050
    """Hz, to which every recording is resampled."""
    n_fft: _Count = 2048
    """Samples of the Hann window."""
    hop_length: _Count = 512
    """Samples from one window to the next."""
    n_mels: _Count = 128
    """Mel bands M."""
    seconds: Annotated[float, {"ge": _MIN_SECONDS, "le": 3600.0}] = 30.0
    """Length of one clip."""
    input: AudioInput = "spectrogram"
    """`spectrogram` is heard by the model's own CNN; `features` stores a frozen encoder's outputs with the data set;
    `filterbank` stores what an AST's front end makes of the waveform, and the encoder runs in every step."""
    encoder: str = "musicnn"
    """The pretrained audio encoder of `audio.input=features` and `filterbank`: `musicnn`, a folder, or a name on the
    Hugging Face hub. It hears the waveform at `audio.sample_rate`, which must be its own."""

    def __post_init__(self) -> None:
        check(self, "audio.")

    @property
    def num_samples(self) -> int:
        """Samples in one clip."""
        return int(self.sample_rate * self.seconds)

    @property
    def num_frames(self) -> int:
        """Frames T of one clip's spectrogram (centred windows)."""
        return 1 + self.num_samples // self.hop_length


def load_clip(source: Recording, spec: AudioSpec) -> np.ndarray:
    """The first ``spec.seconds`` of a file, mono, resampled, zero-padded: (num_samples,) float32.

    Raises AudioError with a short reason when the file is not usable audio.
    """
    with _open(source) as file:
        wanted = math.ceil(spec.seconds * file.samplerate)
        samples = _read(file, wanted)
        _check_length(samples, file, wanted)
        rate = file.samplerate
    _check_finite(samples)
    if not np.abs(samples).max() >= _SILENCE:
        raise AudioError("silent")
    return _fit(samples, rate, spec)


def windows(source: Recording, spec: AudioSpec, *, repeat: bool = False) -> Iterator[tuple[float, np.ndarray]]:
    """Consecutive windows (start in s, samples (num_samples,) float32) of a file of any length.

    A file shorter than one window gives one window, zero-padded, before which its sound may be repeated as often as it
    fits; the last window of a longer one ends with the file, unless less than 1 s is left. Silent windows are skipped.
    Raises AudioError as ``load_clip`` does.
    """
    with _open(source) as file:
        rate, length = file.samplerate, math.ceil(spec.seconds * file.samplerate)
        previous, start, sounding = np.zeros(0, np.float32), 0, False
        while True:
            block = _read(file, length)
            if start == 0:
                _check_length(block, file, length)
            elif len(block) < _MIN_SECONDS * rate:
                break
            _check_finite(block)
            window = np.concatenate([previous, block])[-length:] if len(block) < length else block
            if np.abs(window).max() >= _SILENCE:
                sounding = True
                yield (start + len(block) - len(window)) / rate, _fit(window, rate, spec, repeat)
            if len(block) < length:
                break
            previous, start = block, start + length
    if not sounding:
        raise AudioError("silent")


def as_file(samples: ArrayLike, rate: int) -> bytes:
    """What a WAV file of ``samples`` at ``rate`` Hz holds, fit for :func:`windows`.

    (n,) or one column or row a channel, whichever axis is shorter; floats with full scale at 1, or integers. Raises
    AudioError for anything else.
    """
    import soundfile

    try:
        array = np.atleast_1d(np.asarray(samples))
    except ValueError:  # rows of several lengths
        raise AudioError("no samples of sound: no array") from None
    if array.ndim > 2 or array.size == 0 or array.dtype.kind not in "fiu":
        raise AudioError(f"no samples of sound: an array {array.shape} of {array.dtype}")
    if not isinstance(rate, int | float | np.number) or not _RATES[0] <= rate <= _RATES[1]:
        raise AudioError(f"a sample rate that no music has: {rate} Hz")
    if array.ndim == 2 and array.shape[0] < array.shape[1]:
        array = array.T
    if array.dtype.kind in "iu":
        lowest, highest = np.iinfo(array.dtype).min, np.iinfo(array.dtype).max
        array = (array.astype(np.float64) - (lowest + highest + 1) // 2) / ((highest - lowest + 1) / 2)
    file = io.BytesIO()
    mono = array.astype(np.float32) if array.ndim == 1 else array.mean(axis=1, dtype=np.float32)
    soundfile.write(file, mono, int(rate), format="WAV", subtype="FLOAT")
    return file.getvalue()


def log_mel(samples: np.ndarray, spec: AudioSpec) -> np.ndarray:
    """The mel power spectrogram (T, M) uint8 in dB: 0 = 80 dB or more under the clip's maximum, 255 = the maximum.

    Centred Hann windows and Slaney's mel scale and norm, as librosa's defaults have it.
    """
    window, filters = _analysis(spec)
    half = spec.n_fft // 2
    padded = np.pad(np.asarray(samples, np.float32), half)
    frames = np.lib.stride_tricks.sliding_window_view(padded, spec.n_fft)[:: spec.hop_length]
    import scipy.fft

    bands = np.empty((len(frames), spec.n_mels), np.float32)
    for first in range(0, len(frames), _FRAMES_AT_ONCE):
        spectrum = scipy.fft.rfft(frames[first : first + _FRAMES_AT_ONCE] * window, axis=1)
        power = spectrum.real**2 + spectrum.imag**2
        bands[first : first + _FRAMES_AT_ONCE] = (filters @ power.T).T
    maximum = bands.max(initial=0.0)
    if not maximum > 0:
        return np.zeros(bands.shape, np.uint8)
    floor = np.float32(10 ** (-RANGE_DB / 10))
    level = np.log10(np.maximum(bands / maximum, floor))  # -8 .. 0
    return np.rint((level * (10 / RANGE_DB) + 1) * 255).astype(np.uint8)


def mel_frequencies(spec: AudioSpec) -> np.ndarray:
    """The centre (M,) of each mel band in Hz."""
    return mel.frequencies(spec.n_mels, spec.sample_rate)[1:-1]


@functools.lru_cache(maxsize=4)
def _analysis(spec: AudioSpec) -> tuple[np.ndarray, Any]:
    """The window (n_fft,) and the sparse mel filter bank (M, 1 + n_fft // 2), both float32."""
    from scipy import signal, sparse

    window = signal.get_window("hann", spec.n_fft, fftbins=True).astype(np.float32)
    return window, sparse.csr_matrix(mel.filters(spec.n_mels, spec.sample_rate, spec.n_fft))


@contextlib.contextmanager
def _without_standard_error() -> Iterator[None]:
    """Keeps what the MP3 decoder's C code prints off standard error: its errors reach us as exceptions."""
    try:
        saved = os.dup(2)
    except OSError:  # no standard error: nothing to keep clean
        yield
        return
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(null)


_silence = SharedContext(_without_standard_error)  # the file descriptor is the process's


def _open(source: Recording) -> Any:
    """An open soundfile.SoundFile, or AudioError."""
    import soundfile

    try:
        with io.BytesIO(source) if isinstance(source, bytes) else Path(source).open("rb") as file:
            head = file.read(8)
    except (OSError, ValueError) as error:  # ValueError: a path that holds a NUL
        raise AudioError(f"cannot be opened: {getattr(error, 'strerror', None) or error}") from error
    if not head:
        raise AudioError("empty file")
    for magic, what in _MAGIC.items():
        if head.startswith(magic):
            raise AudioError(f"not audio: {what}")
    try:
        with _silence:
            # A name need not be UTF-8.
            file = soundfile.SoundFile(io.BytesIO(source) if isinstance(source, bytes) else os.fsencode(source))
    except (soundfile.SoundFileError, RuntimeError, TypeError, ValueError, OSError) as error:
        reason = str(getattr(error, "error_string", error)).strip().rstrip(".") or "unknown format"
        # libsndfile takes an MP3 without one whole frame for a file that is not there; it was opened above.
        if "format not recogni" in reason.lower() or "does not exist" in reason:
            raise AudioError("not audio: format not recognised") from error
        raise AudioError(f"cannot be decoded: {reason}") from error
    if not _RATES[0] <= file.samplerate <= _RATES[1]:
        file.close()
        raise AudioError(f"a sample rate that no music has: {file.samplerate} Hz")
    return file


def _read(file: Any, num_frames: int) -> np.ndarray:
    """Up to ``num_frames`` frames from where the file stands, mixed to mono: (n,) float32."""
    import soundfile

    try:
        with _silence:
            samples = file.read(num_frames, dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, RuntimeError, ValueError, MemoryError) as error:
        reason = str(getattr(error, "error_string", error)).strip().rstrip(".")
        raise AudioError(f"cannot be decoded: {reason}") from error
    return samples[:, 0] if samples.shape[1] == 1 else samples.mean(axis=1)


def _check_length(samples: np.ndarray, file: Any, wanted: int) -> None:
    """Raises AudioError for a clip that is too short, or is far shorter than its header says."""
    rate = file.samplerate
    expected = min(wanted, file.frames)
    if len(samples) == 0:
        raise AudioError("no samples")
    lost = f"truncated: {len(samples) / rate:.1f} of {expected / rate:.1f} s decoded"
    if len(samples) < _MIN_SECONDS * rate:
        raise AudioError("shorter than 1 s" if 2 * len(samples) >= expected else lost)
    # What an MP3 still decodes is sound in itself: its frames do not depend on what is missing.
    if 2 * len(samples) < expected and file.format not in ("MP3", "MPEG"):
        raise AudioError(lost)


def _check_finite(samples: np.ndarray) -> None:
    if not np.isfinite(samples).all():
        raise AudioError("contains NaN or infinite samples")
    if np.abs(samples).max() > _LOUDEST:
        raise AudioError("samples far over full scale")


def _fit(samples: np.ndarray, rate: int, spec: AudioSpec, repeat: bool = False) -> np.ndarray:
    """Mono samples at ``spec.sample_rate``, cut or zero-padded to one clip, before which they may ``repeat``:
    (num_samples,) float32."""
    if rate != spec.sample_rate:
        import soxr

        samples = soxr.resample(samples, rate, spec.sample_rate, quality="HQ")
    samples = samples[: spec.num_samples].astype(np.float32, copy=False)
    if repeat:
        samples = np.tile(samples, spec.num_samples // len(samples))
    return np.pad(samples, (0, spec.num_samples - len(samples)))
