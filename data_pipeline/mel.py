"""Slaney's mel scale and its bank of triangular filters, as librosa's defaults have them.

librosa itself would bring numba and LLVM along, a fifth of what the base installation takes, for these few lines. The
tests hold them against it.
"""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import ArrayLike

_LINEAR = 200 / 3  # Hz a mel below the knee
_KNEE = 1000.0  # Hz
_STEP = np.log(6.4) / 27  # a mel above the knee, in the logarithm of the frequency


def frequencies(n_mels: int, sample_rate: float, lowest: float = 0.0, highest: float | None = None) -> np.ndarray:
    """The edges and centres (M + 2,) in Hz of ``n_mels`` bands: equally far from each other in mels, from ``lowest`` to
    ``highest`` Hz, which is Nyquist's frequency unless given.

    Band m rises from entry m to entry m + 1, its centre, and falls to entry m + 2.
    """
    highest = sample_rate / 2 if highest is None else highest
    return _hertz(np.linspace(_mels(lowest), _mels(highest), n_mels + 2))


def filters(
    n_mels: int, sample_rate: float, n_fft: int, lowest: float = 0.0, highest: float | None = None
) -> np.ndarray:
    """The bank (M, 1 + n_fft // 2) float32 that turns a power spectrum into bands; every triangle has the area 1."""
    edges = frequencies(n_mels, sample_rate, lowest, highest)
    away = edges[:, None] - np.fft.rfftfreq(n_fft, 1 / sample_rate)  # Hz
    width = np.diff(edges)[:, None]
    triangles = np.maximum(0.0, np.minimum(-away[:-2] / width[:-1], away[2:] / width[1:]))
    if empty := int((~triangles.any(axis=1)).sum()):
        warnings.warn(
            f"{empty} of {n_mels} mel bands lie between the bins of an FFT of {n_fft} and stay empty", stacklevel=2
        )
    return (triangles * (2 / (edges[2:] - edges[:-2]))[:, None]).astype(np.float32)


def _mels(hertz: float) -> float:
    return hertz / _LINEAR if hertz < _KNEE else _KNEE / _LINEAR + np.log(hertz / _KNEE) / _STEP


def _hertz(mels: ArrayLike) -> np.ndarray:
    mels = np.asarray(mels)
    return np.where(mels < _KNEE / _LINEAR, mels * _LINEAR, _KNEE * np.exp(_STEP * (mels - _KNEE / _LINEAR)))
