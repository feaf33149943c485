import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from mgc_jax.models.audio_cnn import PRESETS, AudioCNN, dequantise


def small(**options):
    usual = {"num_mels": 13, "widths": (3, 5), "pools": ((2, 2), (2, 2)), "tokens": "time", "rngs": nnx.Rngs(0)}
    return AudioCNN(**usual | options)


def test_dequantise_spans_minus_one_to_one():
    got = dequantise(jnp.array([0, 51, 255], jnp.uint8))
    np.testing.assert_allclose(got, [-1.0, -0.6, 1.0], rtol=1e-6)
    assert got.dtype == jnp.float32
    assert dequantise(jnp.array([0, 255], jnp.uint8), jnp.bfloat16).dtype == jnp.bfloat16
    np.testing.assert_array_equal(dequantise(jnp.array([-0.25])), [-0.25])


@pytest.mark.parametrize("tokens", ["time", "all"])
def test_shapes(tokens):
    model = small(tokens=tokens)
    out = model(jnp.zeros((7, 23, 13)), train=False)
    assert out.shape == ((7, 5, 3 * 5) if tokens == "time" else (7, 5 * 3, 5))
    assert model.out_features == out.shape[-1]
    assert model.num_tokens(23) == out.shape[1]


@pytest.mark.parametrize(
    ("preset", "tokens", "shape"),
    [("paper", "time", (1, 40, 2048)), ("paper", "all", (1, 160, 512)), ("narrow", "time", (1, 40, 512)),
     ("paper_patches", "time", (1, 40, 2048)), ("narrow_patches", "all", (1, 160, 128)),
     ("fcn5", "time", (1, 1, 64))],
)  # fmt: skip
def test_presets_on_thirty_seconds(preset, tokens, shape):
    model = nnx.eval_shape(lambda: AudioCNN(num_mels=128, **PRESETS[preset], tokens=tokens, rngs=nnx.Rngs(0)))
    graph, state = nnx.split(model)
    out = jax.eval_shape(lambda s, x: nnx.merge(graph, s, copy=True)(x, train=False), state, jnp.zeros((1, 1292, 128)))
    assert out.shape == shape


def test_training_normalises_and_moves_the_running_statistics():
    model = small()
    x = jax.random.normal(jax.random.key(0), (7, 23, 13))
    before = np.array(model.blocks[0].norm.mean[...])
    model(x, train=False)
    np.testing.assert_array_equal(before, model.blocks[0].norm.mean[...])
    trained = model(x, train=True)
    assert not np.allclose(before, model.blocks[0].norm.mean[...])
    # With batch statistics the input's scale falls out, but for BatchNorm's epsilon.
    np.testing.assert_allclose(trained, model(100.0 * x, train=True), atol=1e-3)


def test_bfloat16_keeps_parameters_and_statistics_in_float32():
    model = small(dtype=jnp.bfloat16)
    assert model(jnp.ones((2, 23, 13)), train=True).dtype == jnp.bfloat16
    assert {leaf.dtype for leaf in jax.tree.leaves(nnx.state(model))} == {np.dtype(np.float32)}


def test_rematerialising_computes_twice_and_changes_nothing():
    x = jax.random.normal(jax.random.key(1), (8, 64, 13))

    def training(rematerialise):
        graph, params, rest = nnx.split(small(widths=(16, 5), rematerialise=rematerialise), nnx.Param, ...)

        def loss(params):
            model = nnx.merge(graph, params, rest, copy=True)
            return (model(x, train=True) ** 2).sum(), nnx.to_pure_dict(nnx.state(model, nnx.BatchStat))

        program = jax.jit(jax.value_and_grad(loss, has_aux=True))
        return program.lower(params).as_text(), program(params)

    (plain_text, plain), (again_text, again) = training(False), training(True)
    assert again_text.count("stablehlo.convolution") == plain_text.count("stablehlo.convolution") + 2
    for a, b in zip(jax.tree.leaves(again), jax.tree.leaves(plain), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="no mel band"):
        small(num_mels=3)
    with pytest.raises(ValueError, match="too few"):
        small()(jnp.zeros((1, 3, 13)), train=False)
    with pytest.raises(ValueError, match="mel bands"):
        small()(jnp.zeros((1, 23, 11)), train=False)
    with pytest.raises(ValueError, match="pools"):
        small(widths=(3,))
