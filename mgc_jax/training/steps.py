"""The fused training step and the evaluation step: one compiled, sharded program each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from mgc_jax.models import losses
from mgc_jax.network.state import Network, TrainState
from mgc_jax.runtime import sharding
from mgc_jax.training.resident import Resident, gather

Metrics = dict[str, jax.Array]
TrainStep = Callable[[TrainState, nnx.State, dict[str, jax.Array] | Resident], tuple[TrainState, Metrics]]
EvaluationStep = Callable[[TrainState, nnx.State, dict[str, jax.Array]], Metrics]


class Recipe(NamedTuple):
    """What a training step does besides the model. ``genre_loss`` and ``augment`` are functions of a batch's arrays;
    ``same_lyrics`` keeps tracks with the same words from being each other's negatives in the A-L loss."""

    seed: int
    contrastive_weight: float
    genre_loss: Callable[..., jax.Array] = losses.genre_loss
    same_lyrics: bool = False
    augment: Callable[..., dict[str, jax.Array]] | None = None


def make_train_step(network: Network, optimiser: optax.GradientTransformation, recipe: Recipe) -> TrainStep:
    """Encoders, A-L loss over the global batch, fusion, genre graph, backward pass and optimiser in one program.

    The state is donated. The random key is a function of (seed, step), so that a resumed run repeats itself. The
    batch is one, or the rows of a split that is in the devices' memory already.
    """

    def loss_fn(params: nnx.State, state: TrainState, frozen: nnx.State, batch: Any) -> tuple[jax.Array, Any]:
        model = nnx.merge(network.graphdef, params, state.batch_stats, state.constants, frozen)
        key = jax.random.fold_in(jax.random.key(recipe.seed), state.step)
        if recipe.augment is not None:
            key, for_augmentation = jax.random.split(key)
            batch = recipe.augment(batch, for_augmentation)
        out = model(batch, train=True, dropout_key=key)
        genre = recipe.genre_loss(out.logits, batch["labels"], batch["weight"])
        if out.log_scale is None:  # a rival, which has no A-L loss
            contrastive, scale = jnp.float32(0.0), {}
        else:
            has_lyrics = (batch["num_tokens"] > 0) & (batch["weight"] > 0)
            same = losses.same_rows(batch["tokens"]) if recipe.same_lyrics else None
            contrastive = losses.contrastive_loss(
                out.audio_embedding, out.lyrics_embedding, out.log_scale, has_lyrics, same
            )
            scale = {"scale": jnp.exp(out.log_scale)}
        loss = losses.total_loss(contrastive, genre, recipe.contrastive_weight)
        bce = losses.genre_loss(
            out.logits, batch["labels"], batch["weight"]
        )  # as validation has it, whatever is learned
        metrics = {"loss": loss, "genre_loss": genre, "bce": bce, "contrastive": contrastive, **scale}
        return loss, (nnx.pure(nnx.state(model, nnx.BatchStat)), metrics)

    def step(state: TrainState, frozen: nnx.State, batch: Any) -> tuple[TrainState, Metrics]:
        if isinstance(batch, Resident):
            batch = gather(batch, network.mesh)
        gradients, (batch_stats, metrics) = jax.grad(loss_fn, has_aux=True)(state.params, state, frozen, batch)
        updates, opt_state = optimiser.update(gradients, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        metrics["gradient_norm"] = optax.global_norm(gradients)
        return TrainState(state.step + 1, params, batch_stats, state.constants, opt_state), metrics

    whole = sharding.replicated(network.mesh)
    rows = sharding.batch_sharding(network.mesh)
    return jax.jit(
        step,
        in_shardings=(network.state_shardings, network.frozen_shardings, rows),
        out_shardings=(network.state_shardings, whole),
        donate_argnums=0,
    )


def make_embedding_step(network: Network) -> EvaluationStep:
    """Where tracks are in the space that the A-L loss makes, ``audio`` and ``lyrics`` (B, C), and their fused vectors
    ``fused`` (B, D), all in float32; for the paper's own model."""

    def step(state: TrainState, frozen: nnx.State, batch: Any) -> Metrics:
        model = network.merge(state, frozen)
        audio, lyrics, mask = model.represent(batch, train=False)
        heard, read, _ = model.contrast(audio, lyrics, mask)
        fused = model.fuse(audio, lyrics, mask, train=False, key=None)
        return {"audio": heard, "lyrics": read, "fused": fused.astype(jnp.float32)}

    return _compiled(network, step)


def make_evaluation_step(network: Network) -> EvaluationStep:
    """Scores (B, G), labels, index and each track's cross-entropy (B,), replicated so that every host can read them.

    Also ``words`` (B,), a hash of each track's lyrics, their ``num_tokens``, and of a model with an A-L loss the
    embeddings ``audio`` and ``lyrics`` (B, C).
    """

    def step(state: TrainState, frozen: nnx.State, batch: Any) -> Metrics:
        out = network.merge(state, frozen)(batch, train=False)
        embeddings = (
            {} if out.audio_embedding is None else {"audio": out.audio_embedding, "lyrics": out.lyrics_embedding}
        )
        return embeddings | {
            "scores": jax.nn.sigmoid(out.logits),
            "bce": losses.cross_entropy(out.logits, batch["labels"].astype(jnp.float32)).sum(-1),
            "labels": batch["labels"],
            "index": batch["index"],
            "words": losses.row_digest(batch["tokens"]),
            "num_tokens": batch["num_tokens"],
        }

    return _compiled(network, step)


def genre_graph(network: Network, state: TrainState) -> dict[str, np.ndarray]:
    """What the model has learned of the genres: ``genre_vectors`` (G, D), from the graph or of the linear head, and the
    graph's ``adjacency`` (G, G); what a model has not is left out."""

    def read(state: TrainState, frozen: nnx.State) -> Metrics:
        model = network.merge(state, frozen)
        if getattr(model, "genre_graph", None) is not None:
            vectors = model.genre_graph()
            return {"genre_vectors": vectors.astype(jnp.float32), "adjacency": model.genre_graph.adjacency[...]}
        if hasattr(model, "genre_vectors"):
            return {"genre_vectors": model.genre_vectors.kernel[...].astype(jnp.float32).T}
        return {}

    given = (network.state_shardings, network.frozen_shardings)
    every_host = sharding.replicated(network.mesh)
    return jax.device_get(jax.jit(read, in_shardings=given, out_shardings=every_host)(state, network.frozen))


def _compiled(network: Network, step: EvaluationStep) -> EvaluationStep:
    """A function of (state, frozen, batch) over the mesh, whose results every host can read."""
    given = (network.state_shardings, network.frozen_shardings, sharding.batch_sharding(network.mesh))
    return jax.jit(step, in_shardings=given, out_shardings=sharding.replicated(network.mesh))
