"""Lyrics that are longer than their encoder reads, read in overlapping windows and put together again.

Axis letters: B batch, L lyric tokens, K windows, W tokens of a window, H encoder width.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp


def stride(window: int) -> int:
    """How far apart windows of W tokens begin: half of the words that one holds, W - 2."""
    return (window - 2) // 2


def count(length: int, window: int) -> int:
    """K of lyrics of L tokens: 1 where they fit into one window."""
    return 1 + max(0, -(-(length - window) // stride(window)))


def read_in_windows(
    encode: Callable[[jax.Array, jax.Array], jax.Array], tokens: jax.Array, mask: jax.Array, window: int
) -> jax.Array:
    """Hidden states (B, L, H) of tokens (B, L) whose first places, by ``mask`` (B, L), are real.

    ``encode`` makes hidden states (N, W, H) of tokens and mask (N, W). Each window holds the lyrics' first and last
    token ([CLS], [SEP]) around W - 2 words; windows overlap by half. A token's state comes from the window in which it
    has most words on both sides: a quarter of a window at least, where there are as many. [CLS] is the first window's,
    [SEP] the last one's. Lyrics that fit into one window are read as if there were no others.
    """
    rows, length = tokens.shape
    step, windows = stride(window), count(length, window)
    number = jnp.maximum(mask.sum(axis=1, dtype=jnp.int32), 1)  # (B,)
    last = jnp.maximum(0, -(-(number - window) // step))  # (B,), each lyrics' last window
    separator = jnp.take_along_axis(tokens, number[:, None] - 1, axis=1)[:, :, None]  # (B, 1, 1)

    # Place p of window k is place k * step + p of the lyrics, but for the first and the last token of each window.
    begin, place = jnp.arange(windows) * step, jnp.arange(window)
    source = jnp.minimum(begin[:, None] + place, length - 1)  # (K, W)
    end = jnp.minimum(number[:, None] - 1 - begin, window - 1)[:, :, None]  # (B, K, 1), where the window's [SEP] stands
    pieces = jnp.where(place < end, tokens[:, source], separator)
    pieces = jnp.where(place == 0, tokens[:, :1, None], pieces)
    used = jnp.arange(windows) <= last[:, None]  # (B, K)
    real = (place <= end) & used[:, :, None] | (place == 0)
    hidden = encode(pieces.reshape(rows * windows, window), real.reshape(rows * windows, window))
    hidden = hidden.reshape(rows, windows * window, hidden.shape[-1])

    position = jnp.arange(length)
    nearest = jnp.maximum(0, (position - 1 - step // 2) // step)  # whose middle is nearest
    owner = jnp.minimum(nearest, last[:, None])  # (B, L)
    owner = jnp.where(position >= number[:, None] - 1, last[:, None], owner)
    inside = jnp.clip(position - owner * step, 0, window - 1)
    return jnp.take_along_axis(hidden, (owner * window + inside)[:, :, None], axis=1)
