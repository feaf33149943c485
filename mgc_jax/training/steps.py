"""The fused training step: one compiled, sharded program."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from mgc_jax.models import losses
from mgc_jax.network.state import ModelState, Network, TrainState
from mgc_jax.runtime import sharding
from mgc_jax.training.batches import Batch
from mgc_jax.training.state import shardings

Metrics = dict[str, jax.Array]
TrainStep = Callable[[TrainState, nnx.State, Batch], tuple[TrainState, Metrics]]


class Objective(NamedTuple):
    """What a training step does besides the model. ``genre_loss`` and ``augment`` are functions of a batch's arrays;
    ``same_lyrics`` keeps tracks with the same words from being each other's negatives in the A-L loss."""

    seed: int
    contrastive_weight: float
    genre_loss: Callable[..., jax.Array]
    same_lyrics: bool
    augment: Callable[..., dict[str, jax.Array]] | None


def make_train_step(
    network: Network, state: TrainState, optimiser: optax.GradientTransformation, objective: Objective
) -> TrainStep:
    """Encoders, A-L loss over the global batch, fusion, genre graph, backward pass and optimiser in one program.

    The states that it takes and gives lie where ``state`` does, which may be shapes; the one that it takes is donated.
    The random key is a function of (seed, step), so that a resumed run repeats itself.
    """

    def loss_fn(params: nnx.State, before: ModelState, frozen: nnx.State, batch: Any) -> tuple[jax.Array, Any]:
        model = network.merge(dataclasses.replace(before, params=params), frozen)
        key = jax.random.fold_in(jax.random.key(objective.seed), before.step)
        if objective.augment is not None:
            key, for_augmentation = jax.random.split(key)
            with jax.named_scope("batch"):
                batch = objective.augment(batch, for_augmentation)
        out = model(batch, train=True, dropout_key=key)
        with jax.named_scope("losses"):
            genre = objective.genre_loss(out.logits, batch["labels"], batch["weight"])
            if out.log_scale is None:  # a rival, which has no A-L loss
                contrastive, scale = jnp.float32(0.0), {}
            else:
                has_lyrics = (batch["num_tokens"] > 0) & (batch["weight"] > 0)
                same = losses.same_rows(batch["tokens"]) if objective.same_lyrics else None
                contrastive = losses.contrastive_loss(
                    out.audio_embedding, out.lyrics_embedding, out.log_scale, has_lyrics, same
                )
                scale = {"scale": jnp.exp(out.log_scale)}
            loss = losses.total_loss(contrastive, genre, objective.contrastive_weight)
            # As validation has it, whatever is learned.
            bce = losses.genre_loss(out.logits, batch["labels"], batch["weight"], kind="bce", reduction="sum")
            metrics = {"loss": loss, "genre_loss": genre, "bce": bce, "contrastive": contrastive, **scale}
        return loss, (nnx.pure(nnx.state(model, nnx.BatchStat)), metrics)

    def step(state: TrainState, frozen: nnx.State, batch: Batch) -> tuple[TrainState, Metrics]:
        model = state.model
        with jax.named_scope("batch"):
            arrays = batch.gather(network.mesh)
        gradients, (batch_stats, metrics) = jax.grad(loss_fn, has_aux=True)(model.params, model, frozen, arrays)
        with jax.named_scope("optimiser"):
            updates, opt_state = optimiser.update(gradients, state.opt_state, model.params)
            params = optax.apply_updates(model.params, updates)
            metrics["gradient_norm"] = optax.global_norm(gradients)
        return TrainState(ModelState(model.step + 1, params, batch_stats, model.constants), opt_state), metrics

    state_shardings = shardings(state)
    return jax.jit(
        step,
        in_shardings=(state_shardings, network.frozen_shardings, sharding.batch_sharding(network.mesh)),
        out_shardings=(state_shardings, sharding.replicated(network.mesh)),
        donate_argnums=0,
    )
