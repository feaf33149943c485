import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from mgc_jax.models.audio_cnn import PRESETS
from mgc_jax.models.bert import Bert, BertConfig, Frozen
from mgc_jax.models.classifier import GenreClassifier
from mgc_jax.models.config import ModelConfig
from mgc_jax.models.constant import Constant
from mgc_jax.models.losses import contrastive_loss, genre_loss, total_loss

B, T, M, L, H, G, D = 5, 67, 37, 11, 14, 7, 24
CONFIG = BertConfig(
    vocab_size=101, hidden_size=H, num_hidden_layers=1, num_attention_heads=2, intermediate_size=17,
    max_position_embeddings=13,
)  # fmt: skip
RNG = np.random.default_rng(0)
ADJACENCY, NODES = RNG.random((G, G)) / G, RNG.normal(size=(G, 5))
PRIOR = np.linspace(-2.0, 1.0, G)


@pytest.fixture(autouse=True)
def small_preset(monkeypatch):
    """The presets themselves are tested with the encoder; here their five blocks would only cost compile time."""
    monkeypatch.setitem(PRESETS, "small", {"widths": (3, 5), "pools": ((4, 4), (2, 2))})


def build(order=slice(None), **options):
    """``options`` are settings, or arguments that are none: ``adjacency`` is the array here."""
    small = {"width": D, "audio_preset": "small", "heads": 3, "gcn_hidden": 19, "dropout": 0.0}
    settings = {field.name for field in dataclasses.fields(ModelConfig)} - {"adjacency"}
    config = ModelConfig(**small | {name: value for name, value in options.items() if name in settings})
    return GenreClassifier(
        config,
        **{
            "num_mels": M,
            "num_frames": T,
            "max_tokens": L,
            "bert": Bert(CONFIG, rngs=nnx.Rngs(1)),
            "lyrics_features": H,
            "num_genres": G,
            "adjacency": ADJACENCY[order][:, order],
            "node_features": NODES[order],
            "prior_logits": PRIOR[order],
            "rngs": nnx.Rngs(0),
            **{name: value for name, value in options.items() if name not in settings},
        },
    )


def batch():
    rng = np.random.default_rng(3)
    return {
        "spectrogram": rng.integers(0, 256, (B, T, M), dtype=np.uint8),
        "tokens": rng.integers(1, 101, (B, L)).astype(np.int32),
        "num_tokens": np.array([L, 0, 3, 1, 0], np.int32),
        "labels": rng.integers(0, 2, (B, G)).astype(np.uint8),
        "weight": np.ones(B, np.float32),
    }


def compiled(model, *, train=False):
    """The model as one compiled function of (batch, dropout key): eager dispatch would compile every operation."""
    graph, state = nnx.split(model)

    def run(state, given, key):
        return nnx.merge(graph, state, copy=True)(given, train=train, dropout_key=key)

    run = jax.jit(run)
    return lambda given, key=None: run(state, given, key)


def same(a, b, atol=2e-5):
    for x, y in zip(a, b, strict=True):
        np.testing.assert_allclose(x, y, atol=atol)


OPTIONS = [
    {},
    {"heads": 1, "residual_norm": False, "pooling": "flatten", "genre_bias": False},
    {"audio_tokens": "all", "contrastive_normalise": True},
    {"fusion": "concat"},
    {"fusion": "audio", "head": "linear"},
    {"fusion": "lyrics", "gcn_depth": 3},
]


@pytest.mark.parametrize("options", OPTIONS, ids=lambda o: "-".join(map(str, o.values())) or "default")
def test_shapes_dtypes_and_row_independence(options):
    model, given = compiled(build(**options)), batch()
    out = model(given)
    assert [x.shape for x in out] == [(B, G), (B, 4), (B, 4), (), (B, 24)]
    assert {x.dtype for x in out} == {np.dtype(np.float32)}
    assert all(np.isfinite(x).all() for x in out)
    order = np.array([3, 0, 4, 1, 2])
    shuffled = model({k: v[order] for k, v in given.items()})
    same(shuffled, [x[order] if x.ndim else x for x in out])
    # What lies behind the lyrics' end is not read.
    behind = np.arange(L)[None] >= given["num_tokens"][:, None]
    same(model({**given, "tokens": np.where(behind, 0, given["tokens"])}), out)


def test_permuting_genres_permutes_logits():
    order = np.array([4, 2, 6, 0, 1, 5, 3])
    out = compiled(build())(batch()).logits
    np.testing.assert_allclose(compiled(build(order))(batch()).logits, out[:, order], atol=2e-5)


def test_features_computed_earlier_give_the_same():
    model, given = build(), batch()
    mask = np.arange(L)[None] < np.maximum(given["num_tokens"], 1)[:, None]
    features = np.asarray(model.bert(given["tokens"], mask))
    stored = {k: v for k, v in given.items() if k != "tokens"} | {"lyrics_features": features}
    same(compiled(build(bert=None))(stored), compiled(model)(given))
    with pytest.raises(ValueError, match="lyrics_features"):
        build(bert=None)(given, train=False)


def test_missing_lyrics_read_the_null_token():
    model, given = build(), batch()
    lyrics, mask = model.represent(given, train=False)[1:]
    np.testing.assert_array_equal(mask.sum(1), [L, 1, 3, 1, 1])
    np.testing.assert_array_equal(lyrics[1, 0], model.null_token[...])
    assert not np.allclose(lyrics[3, 0], model.null_token[...])


def test_logits_start_moderate_and_at_the_prior():
    out = compiled(build(), train=True)(batch()).logits
    assert np.abs(out - PRIOR).mean() < 2.0


def test_temperature_is_held_under_one_hundred():
    model = build()
    assert float(model.log_scale[...]) == 0.0
    model.log_scale[...] = jnp.float32(50.0)
    assert float(jnp.exp(compiled(model)(batch()).log_scale)) == pytest.approx(100.0)
    out = compiled(build(contrastive_normalise=True))(batch())
    np.testing.assert_allclose(np.linalg.norm(out.audio_embedding, axis=-1), 1.0, rtol=1e-5)
    assert float(jnp.exp(out.log_scale)) == pytest.approx(1 / 0.07, rel=1e-5)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_every_parameter_learns_and_nothing_else(dtype):
    model = build(dropout=0.1, dtype=dtype)
    kinds = (nnx.Param, nnx.BatchStat, Frozen, Constant)
    graph, params, stats, frozen, constants = nnx.split(model, *kinds)  # exhaustive: raises if anything is left
    assert {leaf.dtype for leaf in jax.tree.leaves((params, stats, constants))} == {np.dtype(np.float32)}

    @jax.jit
    def slopes(params, stats, frozen, constants, given, key):
        def loss(params):
            model = nnx.merge(graph, params, stats, frozen, constants, copy=True)
            out = model(given, train=True, dropout_key=key)
            contrastive = contrastive_loss(*out[1:4], given["num_tokens"] > 0)
            return total_loss(
                contrastive, genre_loss(out.logits, given["labels"], given["weight"], kind="bce", reduction="sum"), 0.3
            )

        return jax.grad(loss)(params)

    got = nnx.to_flat_state(slopes(params, stats, frozen, constants, batch(), jax.random.key(0)))
    for path, slope in got:
        assert np.isfinite(slope[...]).all(), path
        # A key's bias moves every score of a query alike: the softmax does not see it.
        if path[-2:] != ("key", "bias"):
            assert np.any(slope[...]), path


def test_dropout_is_a_function_of_its_key_and_off_in_evaluation():
    model = build(dropout=0.5)
    train = compiled(model, train=True)
    runs = [train(batch(), jax.random.key(k)).logits for k in (1, 1, 2)]
    np.testing.assert_array_equal(runs[0], runs[1])
    assert not np.allclose(runs[0], runs[2])
    with pytest.raises(ValueError, match="dropout_key"):
        model(batch(), train=True)
    same(compiled(model)(batch()), compiled(build())(batch()))


@pytest.mark.parametrize(
    "bad",
    [{"lyrics_features": 13}, {"adjacency": None}, {"num_genres": 5}, {"prior_logits": np.zeros(3)}],
    ids=lambda bad: next(iter(bad)),
)  # fmt: skip
def test_what_does_not_fit_is_refused(bad):
    with pytest.raises(ValueError, match=r"."):
        build(**bad)
