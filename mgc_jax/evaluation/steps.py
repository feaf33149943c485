"""The evaluation step and its siblings: one compiled, sharded program each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from mgc_jax.models import classifier, losses
from mgc_jax.network.state import ModelState, Network
from mgc_jax.runtime import sharding

Outputs = dict[str, jax.Array]
EvaluationStep = Callable[[ModelState, nnx.State, dict[str, jax.Array]], Outputs]


def make_embedding_step(network: Network) -> EvaluationStep:
    """Where tracks are in the space that the A-L loss makes, ``audio`` and ``lyrics`` (B, C), their fused vectors
    ``fused`` (B, D) and their scores (B, G), all in float32; for the paper's own model."""

    def step(state: ModelState, frozen: nnx.State, batch: Any) -> Outputs:
        model = network.merge(state, frozen)
        out = model(batch, train=False)
        found = _embeddings(out) | {"scores": jax.nn.sigmoid(out.logits)}
        if not model.contrasts:  # the space is there, whether it was taught or not
            found["audio"], found["lyrics"], _ = model.contrast(*model.represent(batch, train=False))
        return found

    return _compiled(network, step)


def make_lyrics_step(network: Network) -> EvaluationStep:
    """What the lyrics encoder makes of ``tokens`` (B, L) of which ``num_tokens`` (B,) are real: ``lyrics_features``
    (B, L, H), which stand for the tokens in other steps' batches; for the paper's own model."""

    def step(state: ModelState, frozen: nnx.State, batch: Any) -> Outputs:
        mask = jnp.arange(batch["tokens"].shape[1]) < batch["num_tokens"][:, None]
        return {"lyrics_features": network.merge(state, frozen).bert(batch["tokens"], mask)}

    return _compiled(network, step)


def make_score_step(network: Network) -> EvaluationStep:
    """Scores (B, G) alone."""

    def step(state: ModelState, frozen: nnx.State, batch: Any) -> Outputs:
        return {"scores": jax.nn.sigmoid(network.merge(state, frozen)(batch, train=False).logits)}

    return _compiled(network, step)


def make_evaluation_step(network: Network) -> EvaluationStep:
    """Scores (B, G), labels, index and each track's cross-entropy (B,), replicated so that every host can read them.

    Also ``words`` (B,), a hash of each track's lyrics, their ``num_tokens``, and of the paper's own model ``audio`` and
    ``lyrics`` (B, C), the embeddings of the A-L loss, and ``fused`` (B, D).
    """

    def step(state: ModelState, frozen: nnx.State, batch: Any) -> Outputs:
        out = network.merge(state, frozen)(batch, train=False)
        return _embeddings(out) | {
            "scores": jax.nn.sigmoid(out.logits),
            "bce": losses.cross_entropy(out.logits, batch["labels"].astype(jnp.float32)).sum(-1),
            "labels": batch["labels"],
            "index": batch["index"],
            "words": losses.row_digest(batch["tokens"]),
            "num_tokens": batch["num_tokens"],
        }

    return _compiled(network, step)


def _embeddings(out: classifier.Outputs) -> Outputs:
    """Where tracks are in a model's spaces; nothing for a model that has none."""
    found = {"audio": out.audio_embedding, "lyrics": out.lyrics_embedding, "fused": out.fused}
    return {name: array for name, array in found.items() if array is not None}


def words_digest(tokens: np.ndarray, max_tokens: int) -> int:
    """The hash of one track's lyrics ``tokens`` (n,), as the evaluation step has it in ``words``."""
    row = np.pad(tokens.astype(np.int32), (0, max_tokens - len(tokens)))
    return int(losses.row_digest(jnp.asarray(row[None]))[0])


def genre_graph(network: Network, state: ModelState) -> dict[str, np.ndarray]:
    """What the model has learned of the genres: ``genre_vectors`` (G, D), from the graph or of the linear head, and the
    graph's ``adjacency`` (G, G); what a model has not is left out."""

    def vectors(state: ModelState, frozen: nnx.State) -> Outputs:
        model = network.merge(state, frozen)
        if getattr(model, "genre_graph", None) is not None:
            vectors = model.genre_graph()
            return {"genre_vectors": vectors.astype(jnp.float32), "adjacency": model.genre_graph.adjacency[...]}
        if hasattr(model, "genre_vectors"):
            return {"genre_vectors": model.genre_vectors.kernel[...].astype(jnp.float32).T}
        return {}

    given = (network.state_shardings, network.frozen_shardings)
    every_host = sharding.replicated(network.mesh)
    return jax.device_get(jax.jit(vectors, in_shardings=given, out_shardings=every_host)(state, network.frozen))


def _compiled(network: Network, step: EvaluationStep) -> EvaluationStep:
    """A function of (state, frozen, batch) over the mesh, whose results every host can read."""
    given = (network.state_shardings, network.frozen_shardings, sharding.batch_sharding(network.mesh))
    return jax.jit(step, in_shardings=given, out_shardings=sharding.replicated(network.mesh))
