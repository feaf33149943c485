"""A hierarchical attention network (Yang et al., NAACL 2016) over lyrics, trained from scratch.

Axis letters: B batch, L lyric tokens, S sentences, W words of a sentence, N sequences, K steps, D width.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

SENTENCE = 16
"""Tokens of a sentence: the token stream has no line breaks, so that a sentence is a fixed run of tokens."""


class HierarchicalAttention(nnx.Module):
    """Words -> sentences -> lyrics: tokens (B, L) int32, num_tokens (B,) -> (B, ``out_features``).

    Embeddings, a bidirectional GRU and attention over the words of each sentence (equations (5) to (7) of the
    publication), then a bidirectional GRU and attention over the sentences ((8) to (10)). The published widths are
    200 for a word and 50 for each direction of a GRU; ``width`` scales them. What stands behind ``num_tokens`` is
    not read; a track without lyrics gives a learned null vector.

    Departures: words are the tokenizer's word pieces ([CLS] and [SEP] among them) with embeddings learned from
    scratch, not word2vec; a sentence is a run of 16 of them, not what a full stop ends.
    """

    def __init__(self, vocab_size: int, *, width: float, dtype: DTypeLike = jnp.float32, rngs: nnx.Rngs):
        word, hidden = (max(1, round(size * width)) for size in (200, 50))
        self.out_features = 2 * hidden
        self.embedding = nnx.Embed(vocab_size, word, rngs=rngs)  # float32, in which gradients of a word add up
        self.words = AttentiveGRU(word, hidden, dtype, rngs)
        self.sentences = AttentiveGRU(2 * hidden, hidden, dtype, rngs)
        self.null = nnx.Param(nnx.initializers.normal(1.0)(rngs.params(), (2 * hidden,), jnp.float32))
        self.dtype = dtype

    def __call__(self, tokens: jax.Array, num_tokens: jax.Array) -> jax.Array:
        batch, length = tokens.shape
        tokens = jnp.pad(tokens, ((0, 0), (0, -length % SENTENCE)))
        mask = (jnp.arange(tokens.shape[1])[None] < num_tokens[:, None]).reshape(-1, SENTENCE)
        words = self.embedding(tokens.reshape(-1, SENTENCE))
        sentences = self.words(words, mask).reshape(batch, -1, self.out_features)
        lyrics = self.sentences(sentences, mask.any(-1).reshape(batch, -1))
        return jnp.where((num_tokens == 0)[:, None], self.null[...].astype(self.dtype), lyrics)


class AttentiveGRU(nnx.Module):
    """Bidirectional GRU and attention: (N, K, D), mask (N, K) -> (N, 2 ``hidden``); 0 where no step is real."""

    def __init__(self, features_in: int, hidden: int, dtype: DTypeLike, rngs: nnx.Rngs):
        self.forward = GRU(features_in, hidden, dtype, rngs)
        self.backward = GRU(features_in, hidden, dtype, rngs)
        self.attention = nnx.Linear(2 * hidden, 2 * hidden, dtype=dtype, rngs=rngs)
        self.context = nnx.Linear(2 * hidden, 1, use_bias=False, dtype=dtype, rngs=rngs)

    def __call__(self, x: jax.Array, mask: jax.Array) -> jax.Array:
        hidden = jnp.concatenate([self.forward(x, mask), self.backward(x, mask, reverse=True)], axis=-1)
        scores = self.context(jnp.tanh(self.attention(hidden)))[..., 0].astype(jnp.float32)
        weights = jax.nn.softmax(jnp.where(mask, scores, jnp.finfo(jnp.float32).min), axis=-1)
        weights = jnp.where(mask, weights, 0.0).astype(hidden.dtype)
        return jnp.einsum("nk,nkd->nd", weights, hidden)


class GRU(nnx.Module):
    """One direction: (N, K, D), mask (N, K) -> the state after each step (N, K, ``hidden``).

    The state is float32 and stays as it is where the mask is False, so that padding at the end changes nothing in
    either direction.
    """

    def __init__(self, features_in: int, hidden: int, dtype: DTypeLike, rngs: nnx.Rngs):
        self.input = nnx.Linear(features_in, 3 * hidden, dtype=dtype, rngs=rngs)
        self.recurrent = nnx.Linear(
            hidden, 3 * hidden, use_bias=False, kernel_init=nnx.initializers.orthogonal(), dtype=dtype, rngs=rngs
        )
        self.hidden, self.dtype = hidden, dtype

    def __call__(self, x: jax.Array, mask: jax.Array, *, reverse: bool = False) -> jax.Array:
        # The input's share of all steps is one product; only the recurrence goes step by step.
        kernel = self.recurrent.kernel[...].astype(self.dtype)

        def step(state: jax.Array, given: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
            x_update, x_reset, x_new = jnp.split(given[0].astype(jnp.float32), 3, axis=-1)
            h_update, h_reset, h_new = jnp.split((state.astype(self.dtype) @ kernel).astype(jnp.float32), 3, axis=-1)
            update = jax.nn.sigmoid(x_update + h_update)
            new = jnp.tanh(x_new + jax.nn.sigmoid(x_reset + h_reset) * h_new)
            state = jnp.where(given[1][:, None], (1.0 - update) * state + update * new, state)
            return state, state.astype(self.dtype)

        steps = (jnp.swapaxes(self.input(x), 0, 1), mask.T)
        start = jnp.zeros((x.shape[0], self.hidden), jnp.float32)
        return jnp.swapaxes(jax.lax.scan(step, start, steps, reverse=reverse)[1], 0, 1)
