"""Clips -> uint8 log-mel spectrograms."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from data_pipeline import mel
from data_pipeline.audio.spec import AudioSpec

RANGE_DB = 80
"""What the 255 steps of a stored spectrogram span, in dB under the clip's maximum."""
_FRAMES_AT_ONCE = 64  # keeps the FFT's work set inside the L2 cache


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
    """The Hann window (n_fft,) and the sparse mel filter bank (M, 1 + n_fft // 2), both float32."""
    from scipy import sparse

    # As scipy.signal.get_window has it, the import of which takes longer than the spectrograms of five songs.
    window = (0.5 + 0.5 * np.cos(np.linspace(-np.pi, np.pi, spec.n_fft + 1)[:-1])).astype(np.float32)
    return window, sparse.csr_matrix(mel.filters(spec.n_mels, spec.sample_rate, spec.n_fft))
