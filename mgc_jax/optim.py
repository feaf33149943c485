"""AdamW with warm-up and the paper's halving schedule."""

from __future__ import annotations

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
    clip = optax.clip_by_global_norm(clip_norm) if clip_norm else optax.identity()
    decay_mask = lambda params: jax.tree.map(lambda p: p.ndim > 1, params)  # noqa: E731
    return optax.chain(clip, optax.adamw(schedule, weight_decay=weight_decay, mask=decay_mask))
