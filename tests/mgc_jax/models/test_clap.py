"""CLAP's towers and front end against Transformers, in float32, with random weights of the published widths."""

import copy
import dataclasses

import jax
import numpy as np
import pytest
from flax import nnx

from data_pipeline import mel
from mgc_jax.models import clap, htsat
from tests.support import published
from tests.support.optional import Lazy

torch, transformers = Lazy("torch"), Lazy("transformers")
AUDIO = {"depths": [2, 2, 2, 2], "patch_embeds_hidden_size": 128, "hidden_size": 1024}
TEXT = {"num_hidden_layers": 2, "vocab_size": 1000}


@pytest.fixture(scope="module")
def theirs():
    """The widths of larger_clap_general; its third stage has 12 layers, its text tower 12 and 50 265 words."""
    model = transformers.ClapModel(transformers.ClapConfig(audio_config=AUDIO, text_config=TEXT))
    published.randomise(model)
    return model


@pytest.fixture(scope="module")
def extractor():
    return transformers.ClapFeatureExtractor(truncation="rand_trunc", frequency_min=50)


@pytest.fixture(scope="module")
def ours(theirs, extractor, tmp_path_factory):
    return published.read(published.save(tmp_path_factory.mktemp("clap"), theirs, extractor))


@pytest.fixture(scope="module")
def encoder(ours):
    return clap.encoder(ours, mel.filters)


@pytest.fixture(scope="module")
def windows():
    return published.music(10, 48_000, 2)


@pytest.fixture(scope="module")
def mels(extractor, windows):
    """(2, 1, T, M)."""
    return extractor(list(windows), sampling_rate=48_000, return_tensors="np").input_features


def run(network, *inputs):
    graph, state = nnx.split(network)
    return jax.jit(lambda state, *inputs: nnx.merge(graph, state)(*inputs))(state, *inputs)


def test_feature_extractor(ours, windows, mels):
    filters = htsat.mel_filters(htsat.AudioConfig(), ours.preprocessor, mel.filters)
    got = jax.jit(htsat.log_mel)(filters, windows)
    assert got.shape == mels[:, 0].shape == (2, 1001, 64)
    np.testing.assert_allclose(got, mels[:, 0], atol=1e-3)  # dB


def test_a_picture_is_stretched_as_by_pytorch():
    mels = np.random.default_rng(0).normal(size=(2, 1001, 64)).astype(np.float32)
    want = torch.nn.functional.interpolate(torch.tensor(mels)[:, None], (1024, 64), mode="bicubic", align_corners=True)
    got = np.asarray(htsat.picture(mels, 256)).reshape(2, 4, 64, 256).swapaxes(2, 3).reshape(2, 1024, 64)
    np.testing.assert_allclose(got, want[:, 0].numpy(), atol=5e-6)


def test_audio_tower_text_tower_and_scores(theirs, ours, encoder, windows, mels):
    random = np.random.default_rng(0)
    mask = np.arange(11)[None] < np.array([11, 4, 2])[:, None]
    words = np.where(mask, random.integers(3, 1000, mask.shape), 1)
    with torch.no_grad():
        hidden = theirs.audio_model(torch.tensor(mels, dtype=torch.float32))
        want = theirs(
            input_ids=torch.tensor(words),
            attention_mask=torch.tensor(mask).long(),
            input_features=torch.tensor(mels, dtype=torch.float32),
        )
    patches = hidden.last_hidden_state.numpy().mean(2).swapaxes(1, 2)  # (2, 32, H)

    tokens = run(clap.load_audio_tower(ours), mels[:, 0].astype(np.float32))
    assert tokens.shape == (2, encoder.tokens, encoder.width) == (2, 8, 1024)
    np.testing.assert_allclose(tokens, patches.reshape(2, 8, 4, -1).mean(2), atol=1e-5)
    np.testing.assert_allclose(tokens.mean(1), hidden.pooler_output.numpy(), atol=1e-5)

    projection = clap.load_audio_projection(ours)
    audio = run(projection, tokens)
    np.testing.assert_allclose(audio, want.audio_embeds.numpy(), atol=2e-6)
    text = run(clap.load_text_tower(ours), words.astype(np.int32), mask)
    np.testing.assert_allclose(text, want.text_embeds.numpy(), atol=2e-6)
    got = clap.scores(audio, text, projection.scale)
    np.testing.assert_allclose(got, want.logits_per_audio.numpy(), atol=2e-5)

    heard = jax.jit(encoder.apply)(encoder.weights, windows)
    np.testing.assert_allclose(heard, tokens, atol=1e-4)  # as far as decibels differ


def test_what_the_encoder_says_of_itself(encoder):
    assert (encoder.rate, encoder.window, encoder.hop, encoder.licence) == (48_000, 480_000, 480_000, "Apache-2.0")
    assert encoder.num_tokens(30 * 48_000) == 24


def test_silence_gives_numbers(ours):
    filters = htsat.mel_filters(htsat.AudioConfig(), ours.preprocessor, mel.filters)
    assert np.all(htsat.log_mel(filters, np.zeros((1, 4800), np.float32)) == -100)


def test_the_broken_weights_are_refused(ours):
    for change in ({"name": "laion/larger_clap_music"}, {"config": {**ours.config, "_name_or_path": clap.BROKEN}}):
        with pytest.raises(ValueError, match=r"^the published weights of larger_clap_music are broken; take laion/"):
            clap.encoder(dataclasses.replace(ours, **change), mel.filters)
    clap.load_audio_projection(dataclasses.replace(ours, name="laion/larger_clap_music_and_speech"))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"enable_fusion": True}, "config.json has enable_fusion True; only False is supported"),
        ({"patch_stride": [2, 2]}, r"config.json has patch_stride \[2, 2\]; only \[4, 4\] is supported"),
        ({"hidden_size": 768}, "hidden_size 768 is not the 1024 of the last stage"),
        ({"depths": [2, 2]}, "2 depths, but heads for 4"),
        ({"depths": [2, 2, 2, 10**7]}, "config.json has depths 10000000, which is not between 1 and 256"),
        ({"num_attention_heads": [4, 8, 16, 31]}, r"widths \[128, .*\] do not divide into \[4, 8, 16, 31\] heads"),
        ({"spec_size": 128}, "a picture of 128 x 128 does not suit patches of 4, windows of 8, 4 stages and 64 mel"),
        ({"num_mel_bins": 128}, "a picture of 256 x 256 does not suit"),
        ({"hidden_act": "tanh"}, "the activation 'tanh' is not supported; known: gelu"),
    ],
)
def test_audio_configs_that_are_not_this_tower_are_refused(ours, change, sentence):
    config = copy.deepcopy(dict(ours.config))
    config["audio_config"] |= change
    with pytest.raises(ValueError, match=f"^{sentence}"):
        clap.encoder(dataclasses.replace(ours, config=config), mel.filters)


def test_other_models_are_refused(ours):
    with pytest.raises(ValueError, match=r"^config\.json has model_type 'clip'; only 'clap' is supported"):
        clap.encoder(dataclasses.replace(ours, config={**ours.config, "model_type": "clip"}), mel.filters)
    with pytest.raises(ValueError, match=r"^config\.json has no audio_config"):
        clap.encoder(dataclasses.replace(ours, config={"model_type": "clap"}), mel.filters)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"truncation": "fusion"}, "truncation 'fusion'; only 'rand_trunc' is supported"),
        ({"sampling_rate": 44_100}, "sampling_rate 44100; only 48000 is supported"),
        ({"feature_size": 80}, "feature_size 80; only 64 is supported"),
        ({"frequency_max": 40_000}, "mel bands from 50 to 40000 Hz, which do not lie in order between 0 and 24000"),
    ],
)
def test_front_ends_that_are_not_this_are_refused(ours, change, sentence):
    with pytest.raises(ValueError, match=f"^preprocessor_config.json has {sentence}"):
        htsat.mel_filters(htsat.AudioConfig(), {**ours.preprocessor, **change}, mel.filters)


def test_weights_that_do_not_fit_are_named(ours):
    tensors = dict(ours.tensors)
    del tensors["audio_model.audio_encoder.norm.weight"]
    del tensors["text_model.embeddings.position_embeddings.weight"]
    tensors["logit_scale_a"] = np.ones(3, np.float32)
    other = dataclasses.replace(ours, tensors=tensors)
    with pytest.raises(ValueError, match=r"^audio_model\.audio_encoder\.norm\.weight is missing$"):
        clap.encoder(other, mel.filters)
    with pytest.raises(ValueError, match=r"^text_model\.embeddings\.position_embeddings\.weight is missing$"):
        clap.load_text_tower(other)
    with pytest.raises(ValueError, match=r"^logit_scale_a gives \(3,\), not \(\)$"):
        clap.load_audio_projection(other)
