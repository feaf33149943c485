"""The model asked again and again about altered songs: a few compiled programs that see batches of one size.

Axis letters: B batch, A sounds, V texts, P pairs, T frames, M mel bands, S audio tokens, H the audio encoder's width,
L lyric tokens, D width, E explained genres, G genres.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from mgc_jax.network.state import ModelState, Network
from mgc_jax.runtime import sharding

AT_ONCE = 8


class AlteredSongs(NamedTuple):
    """Altered sounds and texts as a model takes them, and the ``pairs`` (P, 2) of their numbers to ask about."""

    sounds: np.ndarray  # (A, T, M) or (A, S, H), or (A, S, D) where they are encoded
    texts: np.ndarray  # (V, L), or (V, L, D)
    lengths: np.ndarray  # (V,) real tokens, 0 for no lyrics
    pairs: np.ndarray
    shares: tuple[np.ndarray, np.ndarray] | None = None  # (A, G) and (V, G) of the wide path, where they are encoded


class Occlusion:
    """Logits of altered songs, by a model that takes sound and words together: one of the paper's rivals.

    ``audio`` is the name of the sound in the model's batches. ``uses_audio`` and ``uses_lyrics`` say which of the two
    the model takes at all; of the other one the first alone is asked about.
    """

    def __init__(
        self,
        network: Network,
        state: ModelState,
        audio: str,
        max_tokens: int,
        uses_audio: bool = True,
        uses_lyrics: bool = True,
    ):
        self.network, self.state, self.audio, self.max_tokens = network, state, audio, max_tokens
        self._modalities = np.array([uses_audio, uses_lyrics], np.int64)

    def songs(self, sounds: Sequence[np.ndarray], texts: Sequence[np.ndarray], pairs: np.ndarray) -> AlteredSongs:
        """From sounds as the model takes them and word-piece ids (n,), of which an empty one is a song without
        lyrics."""
        uses_audio, uses_lyrics = self._modalities
        sounds, texts = sounds if uses_audio else sounds[:1], texts if uses_lyrics else texts[:1]
        ids = np.zeros((len(texts), self.max_tokens), np.int32)
        for row, text in zip(ids, texts, strict=True):
            row[: len(text)] = text
        return AlteredSongs(np.stack(sounds), ids, np.array([len(text) for text in texts], np.int32), np.asarray(pairs))

    def logits(self, songs: AlteredSongs) -> np.ndarray:
        """(P, G) float64 of the pairs."""
        unique, inverse = np.unique(songs.pairs * self._modalities, axis=0, return_inverse=True)
        return self._over(self._classify, songs._replace(pairs=unique))["logits"].astype(np.float64)[inverse.ravel()]

    def _over(self, step: Any, songs: AlteredSongs) -> dict[str, np.ndarray]:
        """``step`` over the pairs, in full batches; its results are each (P, ...)."""
        sound, text = (songs.pairs * self._modalities).T
        shards = self.network.mesh.shape["data"]
        size = -(-AT_ONCE // shards) * shards
        parts = []
        for first in range(0, len(songs.pairs), size):
            rows = np.minimum(np.arange(first, first + size), len(songs.pairs) - 1)
            batch = {"sound": songs.sounds[sound[rows]], "text": songs.texts[text[rows]]}
            batch["num_tokens"] = songs.lengths[text[rows]]
            if songs.shares is not None:
                batch |= {"of_sound": songs.shares[0][sound[rows]], "of_words": songs.shares[1][text[rows]]}
            out = step(self.state, self.network.frozen, sharding.place_batch(batch, self.network.mesh))
            parts.append(jax.device_get(out))
        return {name: np.concatenate([part[name] for part in parts])[: len(songs.pairs)] for name in parts[0]}

    def _compiled(self, function: Callable[[Any, Any], dict[str, jax.Array]]) -> Any:
        def step(state: ModelState, frozen: nnx.State, batch: Any) -> dict[str, jax.Array]:
            return function(self.network.merge(state, frozen), batch)

        rows, whole = sharding.batch_sharding(self.network.mesh), sharding.replicated(self.network.mesh)
        given = (self.network.state_shardings, self.network.frozen_shardings, rows)
        return jax.jit(step, in_shardings=given, out_shardings=whole)

    @cached_property
    def _classify(self) -> Any:
        def classify(model: Any, batch: Any) -> dict[str, jax.Array]:
            return {"logits": model(self._inputs(batch), train=False).logits}

        return self._compiled(classify)

    def _inputs(self, batch: Any) -> dict[str, jax.Array]:
        return {self.audio: batch["sound"], "tokens": batch["text"], "num_tokens": batch["num_tokens"]}


class PaperOcclusion(Occlusion):
    """The same for the paper's own model, whose encoders see each altered sound and each altered text once: a pair
    costs no more than the fusion."""

    def songs(self, sounds: Sequence[np.ndarray], texts: Sequence[np.ndarray], pairs: np.ndarray) -> AlteredSongs:
        """As :class:`Occlusion` has it, and encoded."""
        raw = super().songs(sounds, texts, pairs)
        a, v = len(raw.sounds), len(raw.texts)
        numbers = np.arange(max(a, v))
        every_pair = np.stack([np.minimum(numbers, a - 1), np.minimum(numbers, v - 1)], axis=1)
        audio = self._over(self._encode_audio, raw._replace(pairs=every_pair[:a]))
        lyrics = self._over(self._encode_lyrics, raw._replace(pairs=every_pair[:v]))
        shares = (audio["share"], lyrics["share"]) if "share" in audio else None
        return AlteredSongs(audio["tokens"], lyrics["tokens"], raw.lengths, raw.pairs, shares)

    def attention(self, songs: AlteredSongs) -> tuple[np.ndarray, np.ndarray]:
        """Where audio looks in the lyrics (P, S, L) and where lyrics look in the audio (P, L, S), means over heads."""
        out = self._over(self._attend, songs)
        return out["audio"], out["lyrics"]

    def graph(self, songs: AlteredSongs, genres: Sequence[int], weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What the genre graph's edges do to the logits of the E ``genres``, as means over the pairs with these
        ``weights`` (P,), which add up to 1.

        The fused vectors and all weights stay as they are.

        Returns:
            (E,) the logits minus those without edges between genres, and (E, G) the logits minus those without the one
            edge A_ij from genre j to genre i (0 from itself). Its weight of itself stays with each genre: with the
            identity for an adjacency, whose weights of oneself are larger, the scale of all logits would be most of the
            difference.
        """
        fused = (weights @ self._over(self._fuse, songs)["fused"]).astype(np.float32)
        calls = [(self.state, self.network.frozen, fused, np.int32(genre)) for genre in genres]
        every, one = zip(*(jax.device_get(self._edges(*arguments)) for arguments in calls), strict=True)
        return np.array(every, np.float64), np.array(one, np.float64)

    @cached_property
    def _encode_audio(self) -> Any:
        def encode_audio(model: Any, batch: Any) -> dict[str, jax.Array]:
            inputs = self._inputs(batch)
            out = {"tokens": model.represent(inputs, train=False)[0].astype(jnp.float32)}
            return out | ({"share": model.wide_of_sound(inputs)} if model.wide else {})  # XLA leaves the words out

        return self._compiled(encode_audio)

    @cached_property
    def _encode_lyrics(self) -> Any:
        def encode_lyrics(model: Any, batch: Any) -> dict[str, jax.Array]:
            inputs = self._inputs(batch)
            out = {"tokens": model.represent(inputs, train=False)[1].astype(jnp.float32)}
            return out | ({"share": model.wide_of_words(inputs)} if model.wide else {})  # XLA leaves the sound out

        return self._compiled(encode_lyrics)

    @cached_property
    def _classify(self) -> Any:
        def classify(model: Any, batch: Any) -> dict[str, jax.Array]:
            deep = model.classify(_fused(model, batch))
            return {"logits": model.widen(deep, batch["of_sound"], batch["of_words"]) if model.wide else deep}

        return self._compiled(classify)

    @cached_property
    def _fuse(self) -> Any:
        def fuse(model: Any, batch: Any) -> dict[str, jax.Array]:
            return {"fused": _fused(model, batch).astype(jnp.float32)}

        return self._compiled(fuse)

    @cached_property
    def _attend(self) -> Any:
        def attend(model: Any, batch: Any) -> dict[str, jax.Array]:
            audio, lyrics = model.cross_attention.weights(*_tokens(model, batch))
            return {"audio": audio.mean(1), "lyrics": lyrics.mean(1)}

        return self._compiled(attend)

    @cached_property
    def _edges(self) -> Any:
        def edges(state: ModelState, frozen: nnx.State, fused: jax.Array, genre: jax.Array) -> tuple[Any, Any]:
            def logit(adjacency: jax.Array) -> jax.Array:
                model = self.network.merge(state, frozen)
                model.genre_graph.adjacency[...] = adjacency
                deep = model.classify(fused[None].astype(model.dtype))[0, genre]
                return (1 - model.config.wide) * deep  # its share in the logit

            learned = self.network.merge(state, frozen).genre_graph.adjacency[...]
            whole, genres = logit(learned), jnp.arange(len(learned))
            one = jax.lax.map(lambda other: logit(learned.at[genre, other].set(0.0)), genres, batch_size=AT_ONCE)
            return whole - logit(jnp.diag(jnp.diagonal(learned))), jnp.where(genres == genre, 0.0, whole - one)

        return jax.jit(edges)


def _tokens(model: Any, batch: Any) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Audio tokens (B, S, D), lyric tokens (B, L, D) and which of the latter are real (B, L), all encoded before."""
    position = jnp.arange(batch["text"].shape[1])[None]
    mask = position < jnp.maximum(batch["num_tokens"], 1)[:, None]  # without lyrics there is one null token
    return batch["sound"].astype(model.dtype), batch["text"].astype(model.dtype), mask


def _fused(model: Any, batch: Any) -> jax.Array:
    return model.fuse(*_tokens(model, batch), train=False, key=None)
