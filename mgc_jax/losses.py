"""The training losses, in float32: contrastive (5)(6), binary cross-entropy, and their weighted sum (7).

Axis letters: B batch (global, not one device's share), D embedding width, G genres.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp


def contrastive_loss(audio: jax.Array, lyrics: jax.Array, log_scale: jax.Array, valid: jax.Array) -> jax.Array:
    """L_AL: InfoNCE from audio to lyrics and back, equations (5) and (6), averaged -> scalar.

    ``audio`` and ``lyrics`` are (B, D), s(A, L) their dot product, ``log_scale`` = -log tau. Rows where ``valid``
    (B,) is 0 (no lyrics, or padding) are neither anchors nor negatives. 0 with fewer than two valid rows: there is
    nothing to contrast. Two tracks with the same lyrics still count as negatives of each other.
    """
    valid = valid.astype(bool)
    # Zeroed before the product, so that whatever an invalid row holds cannot reach the loss or its gradient.
    audio = jnp.where(valid[:, None], audio.astype(jnp.float32), 0.0)
    lyrics = jnp.where(valid[:, None], lyrics.astype(jnp.float32), 0.0)
    similarity = jnp.matmul(audio, lyrics.T, precision=jax.lax.Precision.HIGHEST)
    logits = jnp.exp(log_scale.astype(jnp.float32)) * similarity
    pair = valid[:, None] & valid[None, :]
    # A valid row sees valid columns only; an invalid one sees itself, to stay finite, and is not counted.
    logits = jnp.where(pair | jnp.eye(len(valid), dtype=bool), logits, -jnp.inf)
    own = jnp.diagonal(logits)
    to_lyrics = jax.nn.logsumexp(logits, axis=1) - own
    to_audio = jax.nn.logsumexp(logits, axis=0) - own
    count = jnp.maximum(jnp.sum(valid.astype(jnp.float32)), 1.0)
    return jnp.sum(jnp.where(valid, to_lyrics + to_audio, 0.0)) / (2.0 * count)


def bce_loss(logits: jax.Array, labels: jax.Array, weight: jax.Array) -> jax.Array:
    """L_BCE: sigmoid cross-entropy of logits (B, G) against labels (B, G), mean over tracks and genres -> scalar.

    ``weight`` (B,) is 0 for rows that only pad the batch; soft labels are allowed.
    """
    logits, labels, weight = (x.astype(jnp.float32) for x in (logits, labels, weight))
    logits = jnp.where(weight[:, None] > 0, logits, 0.0)  # before the loss: NaN times 0 would reach the gradient
    each = jnp.mean(jax.nn.softplus(logits) - logits * labels, axis=1)
    total = jnp.sum(weight)
    return jnp.sum(each * weight) / jnp.where(total > 0, total, 1.0)


def total_loss(contrastive: jax.Array, bce: jax.Array, lambda_: float) -> jax.Array:
    """Equation (7): lambda L_AL + (1 - lambda) L_BCE; the paper's best lambda is 0.3, and 0 switches A-L off."""
    return lambda_ * contrastive + (1.0 - lambda_) * bce
