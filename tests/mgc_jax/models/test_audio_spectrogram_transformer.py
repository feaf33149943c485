"""AST and MAEST against Transformers, in float32, with random weights of the published widths."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from data_pipeline import mel
from mgc_jax.models import audio_spectrogram_transformer as ast
from mgc_jax.models.bert import Frozen
from tests.support import published, tiny_ast
from tests.support.optional import Lazy

MAEST = {"feature_extractor_type": "MAESTFeatureExtractor", "num_mel_bins": 96, "max_length": 1876, "n_fft": 512}
SMALL = tiny_ast.CONFIG
torch, transformers = Lazy("torch"), Lazy("transformers")


def transformer(config, tokens=5, **kinds):
    return ast.AudioSpectrogramTransformer(config, tokens, rngs=nnx.Rngs(0), **kinds)


@pytest.fixture(scope="module")
def theirs():
    """The published shapes but for ten of twelve layers, which are alike."""
    model = transformers.ASTModel(transformers.ASTConfig(num_hidden_layers=2))
    published.randomise(model)
    return model


@pytest.fixture(scope="module")
def folder(theirs, tmp_path_factory):
    extractor = transformers.ASTFeatureExtractor()
    return published.save(tmp_path_factory.mktemp("ast"), theirs, extractor)


@pytest.fixture(scope="module")
def ours(folder):
    return published.read(folder)


@pytest.fixture(scope="module")
def encoder(ours):
    return ast.encoder(ours, mel.filters)


@pytest.fixture(scope="module")
def windows(encoder):
    return published.music(encoder.window / encoder.rate, encoder.rate, 2)


def test_feature_extractor(ours, windows):
    extractor = transformers.ASTFeatureExtractor()
    want = extractor(list(windows), sampling_rate=16_000, return_tensors="np").input_values
    got = jax.jit(ast.front_end(ast.AstConfig(), ours.preprocessor, mel.filters).spectrogram)(windows)
    assert got.shape == want.shape == (2, 1024, 128)
    np.testing.assert_allclose(got, want, atol=2e-4)


def test_network_and_tokens(theirs, encoder, ours, windows):
    hear = ast.front_end(ast.AstConfig(num_hidden_layers=2), ours.preprocessor, mel.filters).spectrogram
    spectrogram = np.asarray(jax.jit(hear)(windows[:1]))
    with torch.no_grad():
        want = theirs(torch.tensor(spectrogram)).last_hidden_state.numpy()
    network = ast.load(ours, encoder.tokens)
    graph, state = nnx.split(network)
    got = jax.jit(lambda state, x: nnx.merge(graph, state).hidden_states(x))(state, spectrogram)
    assert got.shape == want.shape == (1, 2 + 12 * 101, 768)
    np.testing.assert_allclose(got, want, rtol=2e-5, atol=2e-5)
    tokens = jax.jit(encoder.apply)(encoder.weights, windows[:1])
    assert tokens.shape == (1, encoder.tokens, encoder.width) == (1, 10, 768)
    patches = want[:, 2:].reshape(1, 12, 101, 768).mean(1)
    np.testing.assert_allclose(tokens[:, 0], patches[:, :10].mean(1), atol=2e-5)
    np.testing.assert_allclose(tokens[:, 9], patches[:, 91:].mean(1), atol=2e-5)


def test_windows_lie_frame_to_frame(encoder):
    assert encoder.starts(30 * 16_000).tolist() == [0, 163_840, 480_000 - encoder.window]
    assert encoder.hop == 1024 * 160
    assert encoder.token_times(30 * 16_000).shape == (30, 2)
    assert encoder.licence == "BSD-3-Clause"


def test_a_classifiers_file_holds_the_same_network(theirs, encoder, ours):
    prefixed = {f"audio_spectrogram_transformer.{name}": value for name, value in ours.tensors.items()}
    prefixed["classifier.dense.bias"] = np.zeros(527, np.float32)
    again = ast.encoder(dataclasses.replace(ours, tensors=prefixed), mel.filters)
    jax.tree.map(np.testing.assert_array_equal, again.weights, encoder.weights)


def test_front_end_of_maest():
    """As its feature extractor calls Transformers' functions."""
    audio_utils = transformers.audio_utils
    window = audio_utils.window_function(window_length=512, name="hann")
    bank = audio_utils.mel_filter_bank(257, 96, 0, 8000, 16_000, norm="slaney", mel_scale="slaney")
    waveform = published.music(30, 16_000)
    mels = audio_utils.spectrogram(
        waveform[0], window, 512, 256, power=2, mel_filters=bank, min_value=1e-30, mel_floor=1e-30, pad_mode="constant"
    )
    want = (np.log10(1 + 10_000 * mels.T) - 2.06755686098554) / (2 * 1.268292820667291)
    config = ast.AstConfig(num_mel_bins=96, max_length=1876)
    ears = ast.front_end(config, MAEST, mel.filters)
    assert (ears.window, ears.hop, ears.licence) == (480_000, 480_000, "CC-BY-NC-SA-4.0")
    got = jax.jit(ears.spectrogram)(waveform)[0]
    assert got.shape == want.shape == (1876, 96)
    np.testing.assert_allclose(got, want, atol=2e-5)


def test_silence_and_full_scale_give_numbers():
    loud = np.sign(np.sin(np.arange(20_000) / 40)).astype(np.float32)
    both = np.stack([np.zeros_like(loud), loud])
    for bank in (ast.kaldi_fbank, ast.log_mel):
        assert np.isfinite(bank(np.asarray(ast.kaldi_filters(47, 16_000)), both)).all()


def test_trained_in_the_step_or_frozen():
    spectrogram = np.random.default_rng(0).normal(size=(3, 119, 47)).astype(np.float32)
    for frozen in (True, False):
        network = transformer(SMALL, frozen=frozen)
        assert {type(v) for _, v in nnx.to_flat_state(nnx.state(network))} == {Frozen if frozen else nnx.Param}
        graph, state = nnx.split(network)

        def energy(state, graph=graph):
            return jnp.square(nnx.merge(graph, state)(spectrogram)).sum()

        slopes = jax.tree.leaves(jax.jit(jax.grad(energy))(state))
        assert all((jnp.abs(slope).max() == 0) == frozen for slope in slopes)


def test_bfloat16_stays_near_float32():
    spectrogram = np.random.default_rng(0).normal(size=(2, 119, 47)).astype(np.float32)
    state = nnx.state(transformer(SMALL))
    low, graph = (nnx.graphdef(transformer(SMALL, dtype=dtype)) for dtype in (jnp.bfloat16, jnp.float32))
    want = nnx.merge(graph, state)(spectrogram)
    got = nnx.merge(low, jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), state))(spectrogram)
    assert got.dtype == jnp.bfloat16
    assert np.abs(np.asarray(got, np.float32) - want).mean() < 0.03


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"model_type": "vit"}, "config.json has model_type 'vit'; only 'audio-spectrogram-transformer' is supported"),
        ({"qkv_bias": False}, "config.json has qkv_bias False; only True is supported"),
        ({"num_hidden_layers": 10**9}, "config.json has num_hidden_layers 1000000000, which is not between 1 and 256"),
        ({"hidden_size": "wide"}, "config.json has hidden_size 'wide', where int is expected"),
        ({"num_attention_heads": 7}, "hidden_size 768 does not divide into 7 heads"),
        ({"hidden_act": "tanh"}, "hidden_act 'tanh' is not supported; known: gelu"),
        ({"max_length": 9}, "a patch of 16 is larger than 9 x 128"),
        ({"max_length": 998}, r"position_embeddings gives \(1, 1214, 768\), not \(1, 1190, 768\)"),
    ],
)
def test_configs_that_are_not_this_transformer_are_refused(ours, change, sentence):
    other = dataclasses.replace(ours, config={**ours.config, **change}, preprocessor={})
    with pytest.raises(ValueError, match=sentence):
        ast.encoder(other, mel.filters)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"feature_extractor_type": "Whisper"}, "feature_extractor_type 'Whisper'; known: ASTFeatureExtractor and"),
        ({"sampling_rate": 32_000}, "sampling_rate 32000; only 16000 is supported"),
        ({"num_mel_bins": 64}, "num_mel_bins 64; only 128 is supported"),
        ({"std": 0.0}, r"std 0\.0, which must be positive"),
        ({"mean": None}, "mean None, where float is expected"),
        ({**MAEST, "num_mel_bins": 128, "max_length": 1024, "n_fft": 99}, "n_fft 99; only 512 is supported"),
    ],
)
def test_front_ends_that_are_not_these_are_refused(change, sentence):
    with pytest.raises(ValueError, match=f"^preprocessor_config.json has {sentence}"):
        ast.front_end(ast.AstConfig(), change, mel.filters)


def test_weights_that_do_not_fit_are_named(ours):
    tensors = dict(ours.tensors)
    del tensors["layernorm.bias"]
    tensors["encoder.layer.0.output.dense.weight"] = np.ones((768, 5), np.float32)
    tensors["encoder.layer.1.output.dense.bias"] = np.full(768, np.nan, np.float32)
    with pytest.raises(ValueError, match=r"layernorm\.bias is missing") as error:
        ast.encoder(dataclasses.replace(ours, tensors=tensors), mel.filters)
    assert r"encoder.layer.0.output.dense.weight gives (5, 768), not (3072, 768)" in str(error.value)
    assert "encoder.layer.1.output.dense.bias is not finite" in str(error.value)
    with pytest.raises(ValueError, match=r"; and 33 more$"):
        ast.encoder(dataclasses.replace(ours, tensors={}), mel.filters)


def test_layers_computed_again_give_the_same_gradients():
    spectrogram = np.random.default_rng(0).normal(size=(2, SMALL.max_length, SMALL.num_mel_bins)).astype(np.float32)

    def gradients(network):
        graph, weights = nnx.split(network)
        return jax.grad(lambda weights: jnp.square(nnx.merge(graph, weights)(spectrogram)).sum())(weights)

    plain, again = (gradients(transformer(SMALL, frozen=False, rematerialise=kind)) for kind in (False, True))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), plain, again)
