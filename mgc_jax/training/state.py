"""The state that training carries, begun from a model and an optimiser, already sharded."""

from __future__ import annotations

from typing import Any

import jax
import optax

from mgc_jax.network.state import ModelState, Network, TrainState, shapes_on
from mgc_jax.runtime import sharding


def begin(network: Network, model: ModelState, optimiser: optax.GradientTransformation) -> TrainState:
    """``model`` with the optimiser's first state, which is cut over the mesh as the parameters are."""
    shardings = _of_optimiser(network, model, optimiser)
    return TrainState(model, jax.jit(optimiser.init, out_shardings=shardings)(model.params))


def shapes(network: Network, model: ModelState, optimiser: optax.GradientTransformation) -> TrainState:
    """Like :func:`begin` with shapes and shardings only, ``model`` too: for absent devices, and to restore into."""
    made = jax.eval_shape(optimiser.init, model.params)
    return TrainState(model, shapes_on(made, _of_optimiser(network, model, optimiser)))


def shardings(state: TrainState) -> Any:
    """Where the arrays of a state are, or will be: a TrainState of NamedShardings."""
    return jax.tree.map(lambda x: x.sharding, state)


def _of_optimiser(network: Network, model: ModelState, optimiser: optax.GradientTransformation) -> Any:
    made = jax.eval_shape(optimiser.init, model.params)
    return sharding.tree_shardings(made, network.mesh, network.rules)
