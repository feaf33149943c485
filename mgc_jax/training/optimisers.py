"""AdamW or LAMB with warm-up and the paper's halving schedule, and an average of the weights on the way."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax


def halving_schedule(learning_rate: float, *, warmup_steps: int, halve_every_steps: int) -> optax.Schedule:
    """Linear warm-up from 0, then the rate halved every ``halve_every_steps`` (paper: every 50 epochs)."""

    def schedule(step: jax.Array) -> jax.Array:
        warmup = jnp.minimum(1.0, (step + 1) / max(warmup_steps, 1))
        return learning_rate * warmup * 0.5 ** (step // halve_every_steps)

    return schedule


def adamw(schedule: optax.Schedule, *, weight_decay: float, clip_norm: float) -> optax.GradientTransformation:
    """Clipping by global norm (0 = none), then AdamW that decays matrices and kernels, not biases and norms."""
    return optax.chain(_clip(clip_norm), optax.adamw(schedule, weight_decay=weight_decay, mask=_decays))


def lamb(schedule: optax.Schedule, *, weight_decay: float, clip_norm: float) -> optax.GradientTransformation:
    """LAMB (You et al., 2020), clipped and decayed as :func:`adamw` is: Adam's update of each parameter, scaled to the
    parameter's own length.

    As in optax biases and norms are scaled too, and what has no length yet takes Adam's update as it is.
    """
    return optax.chain(_clip(clip_norm), optax.lamb(schedule, weight_decay=weight_decay, mask=_decays))


def _clip(norm: float) -> optax.GradientTransformation:
    return optax.clip_by_global_norm(norm) if norm else optax.identity()


def _decays(params: optax.Params) -> Any:
    return jax.tree.map(lambda p: p.ndim > 1, params)


def at_rate(optimiser: optax.GradientTransformation, part: str, share: float) -> optax.GradientTransformation:
    """``optimiser`` with ``share`` of its learning rate for the ``part`` of the network, such as ``bert``."""
    of_part = lambda params: jax.tree_util.tree_map_with_path(lambda path, _: path[0].key == part, params)  # noqa: E731
    return optax.chain(optimiser, optax.masked(optax.scale(share), of_part))


class AverageState(NamedTuple):
    """``average``: the exponential moving average of the parameters after ``steps`` steps."""

    steps: jax.Array
    average: optax.Params


def with_average(optimiser: optax.GradientTransformation, decay: float) -> optax.GradientTransformation:
    """``optimiser``, and an exponential moving average of the parameters in its state (see :func:`average`).

    The first steps decay faster, as (1 + n) / (10 + n), so that the start is soon forgotten.
    """

    def init(params: optax.Params) -> AverageState:
        return AverageState(jnp.zeros((), jnp.int32), jax.tree.map(jnp.copy, params))

    def update(updates: optax.Updates, state: AverageState, params: optax.Params | None = None) -> Any:
        now = jnp.minimum(decay, (1.0 + state.steps) / (10.0 + state.steps))
        moved = optax.incremental_update(optax.apply_updates(params, updates), state.average, 1.0 - now)
        return updates, AverageState(state.steps + 1, moved)

    return optax.chain(optimiser, optax.GradientTransformation(init, update))


def average(opt_state: optax.OptState, params: optax.Params) -> optax.Params:
    """The averaged parameters that :func:`with_average` keeps, or ``params`` where there is no average."""
    parts = opt_state if isinstance(opt_state, tuple) else ()
    return next((part.average for part in parts if isinstance(part, AverageState)), params)
