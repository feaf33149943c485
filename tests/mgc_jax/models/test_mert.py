"""MERT against Transformers' HuBERT, in float32, with random weights of the published widths."""

import dataclasses

import jax
import numpy as np
import pytest
from flax import nnx

from mgc_jax.models import mert
from tests.support import published
from tests.support.optional import Lazy

torch, transformers = Lazy("torch"), Lazy("transformers")
POSITIONS = "encoder.pos_conv_embed.conv."
PARAMETRISED = f"{POSITIONS}parametrizations.weight.original"


@pytest.fixture(scope="module")
def theirs():
    """The shapes of MERT-v1-95M but for ten of twelve layers, which are alike."""
    model = transformers.HubertModel(transformers.HubertConfig(num_hidden_layers=2))
    published.randomise(model)
    return model


@pytest.fixture(scope="module")
def extractor():
    """As the preprocessor_config.json of MERT-v1-95M has it."""
    return transformers.Wav2Vec2FeatureExtractor(sampling_rate=24_000, do_normalize=False)


@pytest.fixture(scope="module")
def ours(theirs, extractor, tmp_path_factory):
    found = published.read(published.save(tmp_path_factory.mktemp("mert"), theirs, extractor))
    mine = {"model_type": "mert_model", "sample_rate": 24_000, "attention_relax": -1.0, "deepnorm": False}
    return dataclasses.replace(found, config={**found.config, **mine})


@pytest.fixture(scope="module")
def encoder(ours):
    return mert.encoder(ours)


@pytest.fixture(scope="module")
def windows(encoder):
    return published.music(encoder.window / encoder.rate, encoder.rate, 2)


def test_hidden_states_and_tokens(theirs, ours, encoder, windows):
    with torch.no_grad():
        want = theirs(torch.tensor(windows[:1]), output_hidden_states=True)
    want = np.stack([state.numpy() for state in want.hidden_states])
    graph, state = nnx.split(mert.load(ours))
    got = jax.jit(lambda state, x: nnx.merge(graph, state).hidden_states(x))(state, windows[:1])
    assert np.shape(got) == want.shape == (3, 1, 375, 768)
    np.testing.assert_allclose(got, want, atol=2e-5)
    tokens = jax.jit(encoder.apply)(encoder.weights, windows[:1])
    assert tokens.shape == (1, encoder.tokens, encoder.width) == (1, 5, 768)
    np.testing.assert_allclose(tokens, want.mean(0).reshape(1, 5, 75, 768).mean(2), atol=2e-5)


def test_feature_extractor(ours, windows):
    for normalise in (False, True):
        theirs = transformers.Wav2Vec2FeatureExtractor(sampling_rate=24_000, do_normalize=normalise)
        want = theirs(list(windows), sampling_rate=24_000, return_tensors="np").input_values
        prepared = mert.front_end(mert.MertConfig(), {**ours.preprocessor, "do_normalize": normalise})
        np.testing.assert_allclose(prepared(windows), want, atol=1e-5)


def test_windows_lie_frame_to_frame(encoder):
    assert (encoder.window, encoder.hop, encoder.licence) == (120_080, 120_000, "CC-BY-NC-4.0")
    assert encoder.starts(30 * 24_000).tolist() == [0, 120_000, 240_000, 360_000, 480_000, 599_920]
    assert encoder.num_tokens(30 * 24_000) == 30


def test_silence_gives_numbers(encoder):
    silence = np.zeros((1, encoder.window), np.float32)
    assert np.isfinite(jax.jit(encoder.apply)(encoder.weights, silence)).all()
    assert not mert.normalised(silence).any()


def test_weight_norm_by_its_old_names_loads_the_same(ours, encoder):
    old = {f"{PARAMETRISED}0": f"{POSITIONS}weight_g", f"{PARAMETRISED}1": f"{POSITIONS}weight_v"}
    tensors = {old.get(name, name): value for name, value in ours.tensors.items()}
    assert tensors.keys() != ours.tensors.keys()
    again = mert.encoder(dataclasses.replace(ours, tensors=tensors))
    jax.tree.map(np.testing.assert_array_equal, again.weights, encoder.weights)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"model_type": "hubert"}, "config.json has model_type 'hubert'; only 'mert_model' is supported"),
        ({"deepnorm": True}, "config.json has deepnorm True; only False is supported"),
        ({"feature_extractor_cqt": True}, "config.json has feature_extractor_cqt True; only False is supported"),
        ({"feat_extract_norm": "layer"}, "config.json has feat_extract_norm 'layer'; only 'group' is supported"),
        ({"conv_dim": [512] * 6}, "conv_dim, conv_stride and conv_kernel are not of one length"),
        ({"conv_dim": "512"}, "config.json has conv_dim '512', where tuple is expected"),
        ({"num_attention_heads": 7}, r"hidden_size 768 does not divide into 7 \(num_attention_heads\)"),
        ({"hidden_act": "tanh"}, "the activation 'tanh' is not supported"),
        ({"sample_rate": 22_050}, "5 s at 22050 Hz are no whole number of frames of 320 samples"),
        ({"sample_rate": 16_000}, "preprocessor_config.json has sampling_rate 24000; only 16000 is supported"),
    ],
)
def test_configs_that_are_not_this_network_are_refused(ours, change, sentence):
    with pytest.raises(ValueError, match=f"^{sentence}"):
        mert.encoder(dataclasses.replace(ours, config={**ours.config, **change}))


def test_front_ends_that_are_not_this_are_refused():
    for change in ({"feature_extractor_type": "Whisper"}, {"do_normalize": "yes"}, {"feature_size": 80}):
        with pytest.raises(ValueError, match=r"^preprocessor_config\.json has "):
            mert.front_end(mert.MertConfig(), change)


def test_weights_that_do_not_fit_are_named(ours):
    def refused(message, **change):
        names = {name: change.get(name.replace(".", "_"), value) for name, value in ours.tensors.items()}
        tensors = {name: value for name, value in names.items() if value is not None}
        with pytest.raises(ValueError, match=message):
            mert.encoder(dataclasses.replace(ours, tensors=tensors))

    refused(r"^encoder\.layer_norm\.bias is missing$", encoder_layer_norm_bias=None)
    long = {f"{PARAMETRISED}0".replace(".", "_"): np.ones((1, 1, 5), np.float32)}
    refused(r"original0 gives \(1, 1, 5\), which does not fit the \(768, 48, 128\) of", **long)
    refused(r"^encoder\.pos_conv_embed\.conv\.weight is missing", **dict.fromkeys(long))
