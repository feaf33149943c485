import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from mgc_jax.models.cross_attention import CrossAttention, CrossModalAttention, dropout

B, S, L, D = 5, 7, 11, 12
LENGTHS = np.array([11, 1, 3, 7, 2])
MASK = np.arange(L)[None] < LENGTHS[:, None]


def tokens(seed, length):
    return jax.random.normal(jax.random.key(seed), (B, length, D))


def build(**options):
    usual = {"heads": 3, "residual_norm": True, "pooling": "mean", "dropout": 0.0}
    sizes = {"num_audio_tokens": S, "max_tokens": L, "rngs": nnx.Rngs(0)}
    return CrossAttention(D, **usual | sizes | options)


def compiled(model, *, train=False):
    """The module as one compiled function: eager dispatch would compile every operation by itself."""
    graph, state = nnx.split(model)

    def run(state, *args, key):
        return nnx.merge(graph, state)(*args, train=train, dropout_key=key)

    run = jax.jit(run)
    return lambda *args, key=None: run(state, *args, key=key)


@pytest.mark.parametrize(
    ("heads", "residual_norm", "pooling"),
    [(3, True, "mean"), (3, True, "flatten"), (1, False, "flatten"), (1, False, "mean"), (1, True, "mean")],
)
def test_padding_changes_nothing_and_rows_are_independent(pooling, residual_norm, heads):
    model = compiled(build(pooling=pooling, residual_norm=residual_norm, heads=heads))
    audio, lyrics = tokens(0, S), tokens(1, L)
    out = model(audio, lyrics, MASK)
    assert out.shape == (B, D)
    noisy = jnp.where(MASK[..., None], lyrics, 1e3)
    np.testing.assert_allclose(model(audio, noisy, MASK), out, atol=1e-5)
    order = np.array([3, 0, 4, 1, 2])
    shuffled = model(audio[order], lyrics[order], MASK[order])
    np.testing.assert_allclose(shuffled, out[order], atol=1e-5)
    # A shorter length bucket holds the same tracks.
    short = model(audio[1:], lyrics[1:, :7], MASK[1:, :7])
    np.testing.assert_allclose(short, out[1:], atol=1e-5)


def test_equation_1_in_plain_numpy():
    model = CrossModalAttention(D, heads=1, residual_norm=False, dtype=jnp.float32, rngs=nnx.Rngs(0))
    queries, context = tokens(0, S), tokens(1, L)
    got = model(queries, context, MASK, rate=0.0, key=None)

    def linear(layer, x):
        return np.asarray(x) @ np.asarray(layer.kernel[...]) + np.asarray(layer.bias[...])

    for b in range(B):
        q, k, v = (
            linear(model.query, queries[b]), linear(model.key, context[b]), linear(model.value, context[b])
        )  # fmt: skip
        scores = np.exp(q @ k[: LENGTHS[b]].T / np.sqrt(D))
        want = scores / scores.sum(-1, keepdims=True) @ v[: LENGTHS[b]]
        np.testing.assert_allclose(got[b], want, rtol=1e-5, atol=1e-5)


def test_weights_are_those_used():
    model = build()
    audio, lyrics = tokens(0, S), tokens(1, L)
    heard, read = model.weights(audio, lyrics, MASK)
    assert heard.shape == (B, 3, S, L)
    assert read.shape == (B, 3, L, S)
    np.testing.assert_allclose(heard.sum(-1), 1.0, rtol=1e-5)
    assert not np.any(np.asarray(heard) * ~MASK[:, None, None, :])
    value = model.audio_attention.value(lyrics).reshape(B, L, 3, D // 3)
    attended = jnp.einsum("bnqk,bknd->bqnd", heard, value).reshape(B, S, D)
    got = model.audio_attention.norm(audio + model.audio_attention.out(attended))
    np.testing.assert_allclose(got, model.audio_attention(audio, lyrics, MASK, rate=0.0, key=None), atol=1e-5)


def test_dropout_is_a_function_of_its_key():
    model = build(dropout=0.5)
    args = tokens(0, S), tokens(1, L), MASK
    train = compiled(model, train=True)
    first, again, other = (train(*args, key=jax.random.key(k)) for k in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)
    np.testing.assert_array_equal(model(*args, train=False, dropout_key=jax.random.key(1)), build()(*args, train=False))
    with pytest.raises(ValueError, match="dropout_key"):
        model(*args, train=True)
    kept = dropout(jnp.ones(20_011), 0.3, jax.random.key(0))
    assert float(kept.mean()) == pytest.approx(1.0, abs=0.03)
    assert dropout(jnp.ones(3, jnp.bfloat16), 0.3, jax.random.key(0)).dtype == jnp.bfloat16


def test_what_does_not_fit_is_refused():
    for bad in ({"heads": 5}, {"pooling": "flatten", "max_tokens": None}):
        with pytest.raises(ValueError, match=r"heads|pooling"):
            build(**bad)
