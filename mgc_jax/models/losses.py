"""The training losses, in float32: contrastive (5)(6), classification, and their weighted sum (7).

Axis letters: B batch (global, not one device's share), D embedding width, G genres.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax


def contrastive_loss(
    audio: jax.Array, lyrics: jax.Array, log_scale: jax.Array, valid: jax.Array, same: jax.Array | None = None
) -> jax.Array:
    """L_AL: InfoNCE from audio to lyrics and back, equations (5) and (6), averaged -> scalar.

    ``audio`` and ``lyrics`` are (B, D), s(A, L) their dot product, ``log_scale`` = -log tau. Rows where ``valid``
    (B,) is 0 (no lyrics, or padding) are neither anchors nor negatives. 0 with fewer than two valid rows: there is
    nothing to contrast. Two tracks with the same lyrics count as negatives of each other, unless ``same`` (B, B) bool
    marks them as such.
    """
    valid = valid.astype(bool)
    # Zeroed before the product, so that whatever an invalid row holds cannot reach the loss or its gradient.
    audio = jnp.where(valid[:, None], audio.astype(jnp.float32), 0.0)
    lyrics = jnp.where(valid[:, None], lyrics.astype(jnp.float32), 0.0)
    similarity = jnp.matmul(audio, lyrics.T, precision=jax.lax.Precision.HIGHEST)
    logits = jnp.exp(log_scale.astype(jnp.float32)) * similarity
    pair = valid[:, None] & valid[None, :]
    if same is not None:
        pair = pair & ~same
    # A valid row sees valid columns only; an invalid one sees itself, to stay finite, and is not counted.
    logits = jnp.where(pair | jnp.eye(len(valid), dtype=bool), logits, -jnp.inf)
    own = jnp.diagonal(logits)
    to_lyrics = jax.nn.logsumexp(logits, axis=1) - own
    to_audio = jax.nn.logsumexp(logits, axis=0) - own
    count = jnp.maximum(jnp.sum(valid.astype(jnp.float32)), 1.0)
    return jnp.sum(jnp.where(valid, to_lyrics + to_audio, 0.0)) / (2.0 * count)


def same_rows(tokens: jax.Array) -> jax.Array:
    """Which rows of token ids (B, L) are equal -> (B, B) bool, by a 32-bit hash of each."""
    digest = row_digest(tokens)
    return digest[:, None] == digest[None, :]


def row_digest(tokens: jax.Array) -> jax.Array:
    """A 32-bit hash of each row of token ids (B, L) -> (B,) uint32."""
    weights = jax.random.bits(jax.random.key(0), (tokens.shape[1],), jnp.uint32)
    return jnp.sum(tokens.astype(jnp.uint32) * weights, axis=1, dtype=jnp.uint32)


def cross_entropy(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Sigmoid cross-entropy of each genre, elementwise: (B, G), (B, G) -> (B, G)."""
    return jax.nn.softplus(logits) - logits * labels


def asymmetric(
    logits: jax.Array, labels: jax.Array, *, gamma: float = 4.0, gamma_positive: float = 1.0, margin: float = 0.05
) -> jax.Array:
    """Asymmetric loss (Ridnik et al., ICCV 2021, equation (7)) of each genre: negatives weigh less the surer they are,
    and nothing under the score ``margin``: (B, G) -> (B, G)."""
    score = jax.nn.sigmoid(logits)
    shifted = jnp.maximum(score - margin, 0.0)
    positive = labels * (1.0 - score) ** gamma_positive * jax.nn.softplus(-logits)
    return positive - (1.0 - labels) * shifted**gamma * jnp.log1p(-shifted)


GENRE_LOSSES: dict[str, Callable[..., jax.Array]] = {
    "bce": cross_entropy,
    "focal": optax.losses.sigmoid_focal_loss,
    "asymmetric": asymmetric,
}
"""Elementwise (B, G), (B, G) -> (B, G); ``focal`` is Lin et al. (ICCV 2017), equation (4), gamma 2, no alpha."""


def genre_loss(logits: jax.Array, labels: jax.Array, weight: jax.Array, *, kind: str, reduction: str) -> jax.Array:
    """L_BCE of logits (B, G) against labels (B, G), or another loss of ``GENRE_LOSSES`` in its place -> scalar.

    The mean over tracks of the ``sum`` or the ``mean`` over genres. The paper does not say which; the sum is the log
    likelihood of a track's genres, as in Chen et al. (CVPR 2019), and of the size of L_AL, so that lambda weighs two
    comparable losses. The mean is G times smaller, and L_AL drowns it. ``weight`` (B,) is 0 for rows that only pad the
    batch; soft labels are allowed.
    """
    logits, labels, weight = (x.astype(jnp.float32) for x in (logits, labels, weight))
    logits = jnp.where(weight[:, None] > 0, logits, 0.0)  # before the loss: NaN times 0 would reach the gradient
    each = GENRE_LOSSES[kind](logits, labels)
    each = jnp.sum(each, axis=1) if reduction == "sum" else jnp.mean(each, axis=1)
    total = jnp.sum(weight)
    return jnp.sum(each * weight) / jnp.where(total > 0, total, 1.0)


def total_loss(contrastive: jax.Array, bce: jax.Array, lambda_: float) -> jax.Array:
    """Equation (7): lambda L_AL + (1 - lambda) L_BCE; the paper's best lambda is 0.3, and 0 switches A-L off."""
    return lambda_ * contrastive + (1.0 - lambda_) * bce
