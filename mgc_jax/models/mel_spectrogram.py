"""From a waveform to mel bands inside a JAX program: what the pretrained encoders' front ends have in common.

Axis letters: N windows, P samples of a window, T frames, n samples of a frame, M mels, K tokens, H width.
"""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike


def frames(waveform: jax.Array, length: int, hop: int) -> jax.Array:
    """(N, P) -> (N, T, n = ``length``): frame t begins at sample t ``hop``, and none runs over the end."""
    count = 1 + (waveform.shape[1] - length) // hop
    return waveform[:, hop * np.arange(count)[:, None] + np.arange(length)]


def mel_power(framed: jax.Array, filters: ArrayLike) -> jax.Array:
    """The power in the bands of ``filters`` (M, 1 + n_fft // 2): (N, T, n), n <= n_fft -> (N, T, M) float32."""
    filters = jnp.asarray(filters)
    spectrum = jnp.fft.rfft(framed, 2 * (filters.shape[1] - 1))
    power = spectrum.real**2 + spectrum.imag**2
    # Bands are up to 1e5 apart: what accelerators make of a product by default would be their noise.
    return jnp.einsum("ntf,mf->ntm", power, filters, precision=jax.lax.Precision.HIGHEST)


def means_over_time(x: jax.Array, tokens: int) -> jax.Array:
    """(N, T, H) -> (N, K, H): the mean of each of K spans of time, as equally long as whole steps allow."""
    edges = np.linspace(0, x.shape[1], tokens + 1).round().astype(int)
    return jnp.stack([x[:, first:behind].mean(1) for first, behind in itertools.pairwise(edges)], axis=1)
