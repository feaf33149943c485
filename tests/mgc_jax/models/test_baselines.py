from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from data_pipeline.errors import InputError
from mgc_jax.cli import main
from mgc_jax.config import recipes
from mgc_jax.models import inception
from mgc_jax.models.baselines import DenseResidualCNN, GenreHead, Pandeya, Santana
from mgc_jax.models.config import ModelConfig
from mgc_jax.models.hierarchical_attention import GRU, AttentiveGRU, HierarchicalAttention
from mgc_jax.models.losses import genre_loss
from tests.support.recipe import CONFIG, TINY

B, L, G, VOCABULARY = 5, 37, 7, 101
PICTURE = {"santana": (83, 75), "pandeya": (37, 33)}
RECIPES = Path(CONFIG).parent
PRIOR = np.linspace(-2.0, 1.0, G)


pytestmark = pytest.mark.usefixtures("one_block_of_each_kind")


def build(name, *, dropout=0.0, **options):
    frames, mels = PICTURE[name]
    sizes = {"num_mels": mels, "num_frames": frames, "num_genres": G, "prior_logits": PRIOR, "rngs": nnx.Rngs(0)}
    if name == "santana":
        return Santana(ModelConfig(baseline_width=0.02, dropout=dropout), **{**sizes, **options})
    return Pandeya(ModelConfig(baseline_width=0.1, dropout=dropout), vocab_size=VOCABULARY, **{**sizes, **options})


def batch(name):
    rng = np.random.default_rng(3)
    return {
        "spectrogram": rng.integers(0, 256, (B, *PICTURE[name]), dtype=np.uint8),
        "tokens": rng.integers(1, VOCABULARY, (B, L)).astype(np.int32),
        "num_tokens": np.array([L, 0, 16, 17, 0], np.int32),
        "labels": rng.integers(0, 2, (B, G)).astype(np.uint8),
        "weight": np.ones(B, np.float32),
    }


def parts(name, **options):
    """The model's definition, parameters and statistics. The values are drawn by numpy: jax would compile each draw."""
    graph, params, stats = nnx.split(nnx.eval_shape(lambda: build(name, **options)), nnx.Param, nnx.BatchStat)
    rng = np.random.default_rng(1)

    def draw(path, leaf):
        if leaf.ndim > 1:
            value = rng.normal(size=leaf.shape) * (2 / np.prod(leaf.shape[:-1])) ** 0.5
        else:
            value = rng.uniform(0.5, 1.5, leaf.shape) - ("mean" in jax.tree_util.keystr(path))
        return jnp.asarray(value, leaf.dtype)

    return graph, *(jax.tree_util.tree_map_with_path(draw, tree) for tree in (params, stats))


def compiled(name, *, train=False, **options):
    """The model's logits as one compiled function of (batch, dropout key)."""
    graph, *values = parts(name, **options)

    def run(values, given, key):
        return nnx.merge(graph, *values, copy=True)(given, train=train, dropout_key=key)

    run = jax.jit(run)
    return lambda given, key=None: run(values, given, key)


@pytest.mark.parametrize("name", PICTURE)
def test_shapes_dtypes_and_row_independence(name):
    model, given = compiled(name, dropout=0.5), batch(name)
    out = model(given)
    assert out.logits.shape == (B, G)
    assert out.logits.dtype == np.float32
    assert out[1:] == (None, None, None, None)
    assert np.isfinite(out.logits).all()
    assert np.ptp(out.logits, axis=0).min() > 1e-3
    order = np.array([3, 0, 4, 1, 2])
    shuffled = model({k: v[order] for k, v in given.items()})
    np.testing.assert_allclose(shuffled.logits, out.logits[order], atol=2e-5)


def test_what_lies_behind_the_lyrics_is_not_read():
    model, given = compiled("pandeya"), batch("pandeya")
    behind = np.arange(L)[None] >= given["num_tokens"][:, None]
    out = model(given).logits
    np.testing.assert_array_equal(model({**given, "tokens": np.where(behind, 0, given["tokens"])}).logits, out)
    for row, position in ((0, L - 1), (0, 0), (2, 15), (3, 16)):  # the last real tokens are read
        tokens = given["tokens"].copy()
        tokens[row, position] = VOCABULARY - tokens[row, position]
        changed = np.abs(model({**given, "tokens": tokens}).logits - out).max(-1)
        assert np.flatnonzero(changed).tolist() == [row]


def test_missing_lyrics_give_the_null_vector():
    @jax.jit
    def run(tokens, num_tokens):
        model = HierarchicalAttention(VOCABULARY, width=0.1, rngs=nnx.Rngs(0))
        return model(tokens, num_tokens), model.null[...]

    lyrics, null = run(*(batch("pandeya")[name] for name in ("tokens", "num_tokens")))
    missing = (lyrics == null).all(-1)
    np.testing.assert_array_equal(missing, batch("pandeya")["num_tokens"] == 0)


def test_the_gru_is_the_published_one_and_padding_leaves_its_state_alone():
    gru = GRU(3, 4, jnp.float32, nnx.Rngs(0))
    x = np.random.default_rng(0).normal(size=(1, 5, 3)).astype(np.float32)
    mask = np.array([[True, True, True, False, False]])
    forward, backward = gru(x, mask), gru(x, mask, reverse=True)
    np.testing.assert_array_equal(forward[0, 3:], forward[0, [2, 2]])
    np.testing.assert_array_equal(backward[0, 3:], np.zeros((2, 4)))
    np.testing.assert_allclose(backward[0, :3], gru(x[:, 2::-1], mask[:, :3])[0, ::-1], atol=1e-6)

    sigmoid = lambda v: 1 / (1 + np.exp(-v))  # noqa: E731
    state = np.zeros(4)
    for step in range(3):
        from_input = np.split(x[0, step] @ np.asarray(gru.input.kernel[...]) + np.asarray(gru.input.bias[...]), 3)
        from_state = np.split(state @ np.asarray(gru.recurrent.kernel[...]), 3)
        update, reset = (sigmoid(a + b) for a, b in zip(from_input[:2], from_state[:2], strict=True))
        state = (1 - update) * state + update * np.tanh(from_input[2] + reset * from_state[2])
        np.testing.assert_allclose(forward[0, step], state, atol=1e-6)


def test_attention_over_nothing_is_zero():
    module = AttentiveGRU(3, 4, jnp.float32, nnx.Rngs(0))
    x = np.random.default_rng(0).normal(size=(2, 5, 3)).astype(np.float32)
    out = module(x, np.array([[True] * 5, [False] * 5]))
    assert np.any(out[0])
    np.testing.assert_array_equal(out[1], np.zeros(8))


@pytest.mark.parametrize(("name", "dtype"), [("santana", jnp.float32), ("pandeya", jnp.bfloat16)])
def test_every_parameter_learns_and_nothing_else(name, dtype):
    graph, params, stats = parts(name, dropout=0.1, dtype=dtype)  # exhaustive: raises if anything is left
    assert {leaf.dtype for leaf in jax.tree.leaves((params, stats))} == {np.dtype(np.float32)}

    @jax.jit
    def slopes(params, stats, given, key):
        def loss(params):
            model = nnx.merge(graph, params, stats, copy=True)
            logits = model(given, train=True, dropout_key=key).logits
            return genre_loss(logits, given["labels"], given["weight"], kind="bce", reduction="sum"), nnx.state(
                model, nnx.BatchStat
            )

        return jax.grad(loss, has_aux=True)(params)

    got, after = slopes(params, stats, batch(name), jax.random.key(0))
    for path, slope in nnx.to_flat_state(got):
        assert np.isfinite(slope[...]).all(), path
        assert np.any(slope[...]), path
    for before, now in zip(jax.tree.leaves(stats), jax.tree.leaves(after), strict=True):
        assert not np.array_equal(before, now)


@pytest.mark.parametrize("name", PICTURE)
def test_dropout_is_a_function_of_its_key(name):
    model = compiled(name, train=True, dropout=0.5)
    first, again, other = (model(batch(name), jax.random.key(k)).logits for k in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)
    with pytest.raises(ValueError, match="dropout_key"):
        model(batch(name))


def count(module):
    return sum(np.prod(leaf.shape) for leaf in jax.tree.leaves(nnx.state(module, nnx.Param)))


def test_published_numbers_of_parameters(monkeypatch):
    """torchvision's inception_v3 without head and auxiliary head has 21 785 568; ours has one channel, not three."""
    monkeypatch.undo()
    sizes = {"num_mels": 128, "num_frames": 1292, "num_genres": 87}
    santana = nnx.eval_shape(lambda: Santana(ModelConfig(), **sizes, rngs=nnx.Rngs(0)))
    assert santana.audio_cnn.out_features == 2048
    assert count(santana.audio_cnn) == 21_785_568 - 2 * 3 * 3 * 32
    assert count(santana.dense) == 2 * (2048 * 2048 + 2048)
    pandeya = nnx.eval_shape(lambda: Pandeya(ModelConfig(), **sizes, vocab_size=30_522, rngs=nnx.Rngs(0)))
    assert pandeya.audio_cnn.out_features == 512
    assert 1.9e6 < count(pandeya.audio_cnn) < 2.1e6
    assert pandeya.lyrics.out_features == 100


@pytest.mark.parametrize("frames", [75, 130, 259, 1292])
def test_spectrograms_of_every_length_fit(frames):
    def out(kind, *shape):
        return jax.eval_shape(lambda x: kind(width=0.1, rngs=nnx.Rngs(0))(x, train=False), np.zeros(shape)).shape

    assert out(inception.Inception, 2, frames, 128, 1) == (2, 203)
    assert out(DenseResidualCNN, 2, frames, 128) == (2, 51)


@pytest.mark.parametrize(("name", "smallest"), [("santana", 75), ("pandeya", 32)])
def test_too_small_pictures_are_refused(name, smallest):
    for side in ("num_frames", "num_mels"):
        with pytest.raises(ValueError, match=f"{smallest} mel bands"):
            build(name, **{side: smallest - 1})
    small = {**batch(name), "spectrogram": np.zeros((B, smallest - 1, 128), np.uint8)}
    with pytest.raises(ValueError, match=f"{smallest} frames"):
        jax.eval_shape(lambda: build(name)(small, train=False))


def test_what_does_not_fit_is_refused():
    features = {k: v for k, v in batch("pandeya").items() if k != "tokens"}
    with pytest.raises(ValueError, match="tokens"):
        jax.eval_shape(lambda: build("pandeya")(features, train=False))
    with pytest.raises(ValueError, match="prior_logits"):
        GenreHead(3, G, True, np.zeros(G + 1), jnp.float32, nnx.Rngs(0))


@pytest.mark.parametrize("name", ["santana", "pandeya", "audio_only", "lyrics_only"])
def test_recipes(name):
    recipe = recipes.load(f"baselines:{name}")
    assert recipe.loss.contrastive_weight == 0
    assert recipes.first_difference(recipe, recipes.load("music4all"), ignore=("model.", "loss.")) is None


@pytest.mark.parametrize("spec", ["baselines", "baselines:rnn"])
def test_an_unknown_recipe_is_one_sentence_with_the_known_ones(spec):
    with pytest.raises(InputError, match="santana, pandeya, audio_only, lyrics_only"):
        recipes.load(spec)


def test_a_rival_has_no_contrastive_loss():
    with pytest.raises(InputError, match="no A-L loss"):
        recipes.load(None, ["model.architecture=santana"])
    assert recipes.load(None, ["model.architecture=santana", "loss.contrastive_weight=0.0"])


RIVAL = "--config.model.baseline_width=0.1 --config.loss.contrastive_weight=0.0 --config.train.epochs=1".split()


@pytest.mark.slow
@pytest.mark.parametrize("name", PICTURE)
def test_train_and_evaluate(name, data, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(inception, "PLAN", (*inception.STEM, inception.PLAN[-1]))
    recipe = ["--config", CONFIG, *TINY, *RIVAL, f"--config.model.architecture={name}"]
    workdir = str(tmp_path / "run")
    assert main(["train", *recipe, "--data", str(data), "--workdir", workdir]) == 0
    assert "bert" not in capsys.readouterr().out
    assert main(["evaluate", "--workdir", workdir, "--data", str(data)]) == 0
    assert (tmp_path / "run" / "evaluation_test.json").is_file()
