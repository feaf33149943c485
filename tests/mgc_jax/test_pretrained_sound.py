"""A model that hears a pretrained audio encoder's outputs, from prepare to export, with the real commands."""

from __future__ import annotations

import dataclasses
import json
import shutil
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from jax import export
from scipy import special

import mgc_jax
from data_pipeline.audio import load_clip
from data_pipeline.errors import InputError
from data_pipeline.reading.prepared_data import PreparedData
from mgc_jax.cli import main
from mgc_jax.config import recipes
from mgc_jax.evaluation import rival
from mgc_jax.network.audio_features import audio_features
from mgc_jax.runs.addresses import WANTED
from mgc_jax.runs.hub import PUBLISHED
from tests.support.recipe import CONFIG, TINY

LYRICS = "dancing all night under neon light"
SOUND = ["audio.input=features", "audio.sample_rate=16000", "audio.seconds=6.1"]  # two windows of musicnn
SETTINGS = [*TINY, *(f"--config.{setting}" for setting in SOUND)]
WIDE = ["--config.model.wide=0.8", "--config.model.wide_tags=0.5"]


@pytest.fixture(scope="module")
def prepared(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("pretrained") / "data"
    assert main(["prepare", "--config", CONFIG, *SETTINGS, "--source", str(corpus), "--out", str(out)]) == 0
    return out


@pytest.fixture(scope="module")
def workdir(prepared: Path) -> Path:
    folder = prepared.with_name("run")
    arguments = ["--config", CONFIG, *SETTINGS, *WIDE, "--config.train.epochs=2"]
    assert main(["train", *arguments, "--data", str(prepared), "--workdir", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def song(corpus: Path) -> Path:
    return sorted((corpus / "audios").glob("*.mp3"))[3]


def test_what_is_stored_is_what_the_encoder_makes_of_the_waveform(prepared: Path, corpus: Path):
    data = PreparedData(prepared)
    features = audio_features(data.audio)
    assert data.audio_shape == features.shape == (2, 1706)
    assert (data.audio_encoder_sha256, data.audio_licence) == (features.encoder.digest, "ISC")
    batch = next(iter(data.evaluation_batches("test", batch_size=4)))
    assert "spectrogram" not in batch
    for row, track in zip(batch["audio_features"], data.tracks("test")[:4], strict=True):
        alone = features(load_clip(corpus / "audios" / f"{track['id']}.mp3", data.audio)[None])[0]
        np.testing.assert_allclose(row, alone, rtol=2e-3, atol=2e-3)
    assert json.loads((prepared / "dataset.json").read_text())["audio_encoder"]["licence"] == "ISC"


def test_windows_that_are_the_same_are_heard_once(prepared: Path):
    features = audio_features(PreparedData(prepared).audio)
    clips = np.random.default_rng(0).normal(size=(3, features.spec.num_samples)).astype(np.float32) / 9
    clips[1] = clips[0]
    assert (features(clips)[1] == features(clips)[0]).all()
    np.testing.assert_array_equal(features(np.zeros_like(clips))[2], features.silence)
    hears = features.encoder.hear(features.encoder.weights, clips)
    np.testing.assert_allclose(features(clips), hears, rtol=1e-4, atol=1e-4)


def network_of(workdir: Path, split: str) -> tuple[Any, dict[str, np.ndarray]]:
    """The network of a run, and the split's tracks as one batch for it."""
    model = mgc_jax.load(workdir)
    network = model.network.merge(model.state, model.network.frozen)
    batches = list(PreparedData(workdir.with_name("data")).evaluation_batches(split, batch_size=8))
    names = ("audio_features", "lyrics_features", "num_tokens", "weight")
    return network, {name: np.concatenate([batch[name] for batch in batches]) for name in names}


def test_the_wide_path_says_what_the_linear_rival_says_and_the_encoders_own_tags(workdir: Path, prepared: Path):
    network, batch = network_of(workdir, "test")
    data, real = PreparedData(prepared), batch.pop("weight") > 0
    logits = network.wide_of_sound(batch) + network.wide_of_words(batch) + network.wide.bias[...]
    found = rival.rival(data, "test")
    expected = special.logit(found.scores["test"].astype(np.float64))
    tags = audio_features(data.audio).encoder.tags
    training = next(iter(data.evaluation_batches("train", batch_size=data.split_sizes["train"])))
    told = (batch["audio_features"].mean(1) - training["audio_features"].mean((0, 1))) @ tags.kernel
    names = [name.casefold().replace("-", " ") for name in tags.names]
    for genre, name in enumerate(data.vocabulary.names):
        if name in names:
            expected[:, genre] += 0.5 * told[real, names.index(name)]
    assert len(set(data.vocabulary.names) & set(names)) > 1
    np.testing.assert_allclose(logits[real], expected, atol=2e-3)


def test_the_network_learns_alone_and_speaks_for_its_share(workdir: Path):
    network, batch = network_of(workdir, "test")
    batch.pop("weight")
    both = network(batch, train=False).logits
    wide = network.wide_of_sound(batch) + network.wide_of_words(batch) + network.wide.bias[...]
    deep = network.classify(network.fuse(*network.represent(batch, train=False), train=False, key=None))
    np.testing.assert_allclose(both, 0.2 * deep + 0.8 * wide, rtol=1e-4, atol=1e-4)
    network.wide.kernel[...] = network.wide.kernel[...] * np.nan
    learning = network(batch, train=True, dropout_key=jax.random.key(0)).logits
    assert np.isfinite(learning).all()


def test_a_resumed_run_keeps_its_wide_path(workdir: Path, prepared: Path, tmp_path: Path, monkeypatch):
    copy = Path(shutil.copytree(workdir, tmp_path / "run"))
    monkeypatch.setattr(rival, "regressions", None)  # it is not fitted again
    arguments = ["--config", CONFIG, *SETTINGS, *WIDE, "--config.train.epochs=3"]
    assert main(["train", *arguments, "--data", str(prepared), "--workdir", str(copy)]) == 0
    before, after = (mgc_jax.load(folder).state.constants["wide"] for folder in (workdir, copy))
    for name in ("kernel", "bias"):
        np.testing.assert_array_equal(before[name], after[name])


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (["model.fusion=audio"], "model.wide takes sound and words, but model.fusion is audio"),
        (["model.wide=1"], "must lie in [0, 1)"),
    ],
)
def test_where_there_is_no_wide_path(prepared: Path, tmp_path: Path, settings, sentence, capsys):
    arguments = ["--config", CONFIG, *SETTINGS, *WIDE, *(f"--config.{setting}" for setting in settings)]
    assert main(["train", *arguments, "--data", str(prepared), "--workdir", str(tmp_path / "run")]) == 2
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ([], "model.wide needs audio.input=features"),
        (["model.architecture=santana", "loss.contrastive_weight=0.0"], "santana has no wide path: set model.wide=0"),
    ],
)
def test_a_wide_path_needs_features(data: Path, tmp_path: Path, settings, sentence, capsys):
    arguments = ["--config", CONFIG, *TINY, *WIDE, *(f"--config.{setting}" for setting in settings)]
    assert main(["train", *arguments, "--data", str(data), "--workdir", str(tmp_path / "run")]) == 2
    assert sentence in capsys.readouterr().err


def test_a_trained_run_evaluates_predicts_and_embeds(workdir: Path, prepared: Path, song: Path):
    model = mgc_jax.load(workdir)
    evaluation = model.evaluate(prepared, "test")
    assert 0 < evaluation.metrics["map_macro"] <= 1
    prediction = model.predict(song, LYRICS)
    assert (prediction.windows, len(prediction.ranked)) == (1, model.vocabulary.size)
    assert model.embed(song, LYRICS).fused.shape == (16,)


def test_the_reasons_are_the_encoders_own_windows(workdir: Path, song: Path):
    model = mgc_jax.load(workdir)
    explanation = model.explain(song, LYRICS, genres=model.vocabulary.names[:2])
    # The song's 3 s, and what the MP3 coder puts behind them; the rest of the clip is silence.
    np.testing.assert_allclose(explanation.segments, [[0.0, 2.976], [2.976, 3.056]], atol=1e-3)
    assert np.abs(explanation.segment_effect).max() > 0
    assert explanation.attention.seconds.shape == (2, 2)
    assert explanation.spectrogram.levels.shape[1] == model.spec.n_mels
    # The logit is that of the prediction.
    scores = dict(explanation.prediction.ranked)
    for genre, logit in zip(explanation.genres, explanation.logits, strict=True):
        assert 1 / (1 + np.exp(-logit)) == pytest.approx(scores[genre], abs=1e-4)


def test_the_pytorch_twin_hears_features_too(workdir: Path, prepared: Path):
    torch, twins = pytest.importorskip("torch"), pytest.importorskip("mgc_jax.torch_reference.build")
    model = mgc_jax.load(workdir)
    batch = next(iter(PreparedData(prepared).evaluation_batches("test", batch_size=8)))
    network = model.network.merge(model.state, model.network.frozen)
    ours = network({name: batch[name] for name in ("audio_features", "lyrics_features", "num_tokens")}, train=False)
    given = (torch.tensor(batch[name]) for name in ("audio_features", "lyrics_features", "num_tokens"))
    with torch.no_grad():
        theirs = twins.twin_of(model)(*given)
    np.testing.assert_allclose(ours.logits, theirs.logits.numpy(), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(ours.audio_embedding, theirs.audio_embedding.numpy(), rtol=1e-4, atol=1e-4)


def test_the_exported_folder_brings_the_encoder_along(workdir: Path, song: Path, tmp_path: Path, monkeypatch):
    out = tmp_path / "model"
    assert main(["export", "--workdir", str(workdir), "--out", str(out)]) == 0
    before = mgc_jax.load(workdir)
    expected = before.predict(song, LYRICS)
    with monkeypatch.context() as patch:
        patch.setattr("importlib.util.find_spec", lambda name: None)  # musicnn is not installed there
        model = mgc_jax.load(out)
        assert model.predict(song, LYRICS) == expected
        for file in (file for file in out.rglob("*") if file.is_file()):  # what goes to the hub and comes from there
            name = file.relative_to(out).as_posix()
            if all(any(fnmatchcase(name, pattern) for pattern in wanted) for wanted in (PUBLISHED, WANTED)):
                (tmp_path / "travelled" / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(file, tmp_path / "travelled" / name)
        assert mgc_jax.load(tmp_path / "travelled").predict(song, LYRICS) == expected
    card = (out / "README.md").read_text()
    assert "musicnn, frozen" in card
    assert "its licence is ISC." in card
    assert "a logistic regression, with 0.8 of the log odds" in card
    inputs = json.loads((out / "preprocessing.json").read_text())["program"]["inputs"]
    assert inputs[0] == {"name": "waveform", "type": f"float32 (b, {model.spec.num_samples})"}
    program = export.deserialize(bytearray((out / "model.stablehlo").read_bytes()))
    tokens = np.zeros((1, model.config.lyrics.max_tokens), np.int32)
    ids = model.tokens(LYRICS)
    tokens[0, : len(ids)] = ids
    scores, _ = program.call(load_clip(song, model.spec)[None], tokens, np.array([len(ids)], np.int32))
    by_name = dict(zip(model.vocabulary.names, np.asarray(scores)[0].tolist(), strict=True))
    assert by_name == pytest.approx(dict(expected.ranked), abs=2e-3)  # stored features are float16
    (out / "audio_encoder" / ".index").write_bytes(b"")
    audio_features.cache_clear()
    with pytest.raises(InputError, match="is not the expected MSD_musicnn"):
        mgc_jax.load(out)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (["audio.sample_rate=22050"], "hears 16000 Hz, but audio.sample_rate is 22050"),
        (["audio.seconds=2.0"], "clips of 2 s are shorter than the 3.01 s that musicnn hears at once"),
        (["audio.encoder=nobody"], "There is no audio encoder 'nobody'"),
    ],
)
def test_what_does_not_fit_the_encoder_is_one_sentence(settings, sentence, corpus: Path, tmp_path: Path, capsys):
    wanted = [f"--config.{setting}" for setting in settings]
    arguments = ["--config", CONFIG, *SETTINGS, *wanted, "--source", str(corpus), "--out", str(tmp_path / "data")]
    assert main(["prepare", *arguments]) == 2
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (["model.architecture=santana", "loss.contrastive_weight=0"], "hears spectrograms, not audio.input=features"),
        (["augment.time_masks=1"], "cover parts of spectrograms"),
        (["augment.mel_masks=1"], "cover parts of spectrograms"),
    ],
)
def test_settings_that_need_spectrograms_are_refused(settings, sentence):
    with pytest.raises(InputError, match=sentence):
        recipes.load("demo", [*SOUND, *settings])


def test_another_encoder_than_the_data_sets_is_refused(prepared: Path, workdir: Path, tmp_path: Path):
    other = Path(shutil.copytree(prepared, tmp_path / "data"))
    meta = json.loads((other / "dataset.json").read_text())
    meta["audio_encoder"]["sha256"] = "0" * 64
    (other / "dataset.json").write_text(json.dumps(meta))
    with pytest.raises(InputError, match="was prepared with another audio encoder than musicnn"):
        mgc_jax.load(workdir).evaluate(other)


def test_spectrograms_and_features_are_not_taken_for_each_other(data: Path, workdir: Path):
    model = mgc_jax.load(workdir)
    same_genres = PreparedData(data)
    same_genres.vocabulary = model.vocabulary
    with pytest.raises(InputError, match="was prepared with AudioSpec"):
        model.evaluate(same_genres)


def test_mixup_blends_what_is_heard(prepared: Path, tmp_path: Path):
    arguments = ["--config", CONFIG, *SETTINGS, "--config.augment.mixup=0.3", "--config.train.epochs=1"]
    assert main(["train", *arguments, "--data", str(prepared), "--workdir", str(tmp_path / "run")]) == 0


def test_the_audio_encoder_is_not_asked_twice_by_a_killed_run(corpus: Path, prepared: Path, tmp_path: Path):
    from data_pipeline.prepare.options import PrepareOptions
    from data_pipeline.prepare.pipeline import prepare
    from data_pipeline.sources import read_corpus
    from mgc_jax.network import build

    config = recipes.load(CONFIG, [setting.removeprefix("--config.") for setting in SETTINGS])
    options = PrepareOptions(config.data, config.audio, config.lyrics, workers=1)
    lyrics, encoding = build.lyrics_encoder(config), build.audio_encoding(config)
    asked = []

    def dies_at_the_second(clips: np.ndarray) -> np.ndarray:
        asked.append(len(clips))
        if len(asked) == 2:
            raise KeyboardInterrupt
        return encoding.encode(clips)

    source, out = read_corpus(corpus), tmp_path / "data"
    with pytest.raises(KeyboardInterrupt):
        prepare(source, out, options, encode=lyrics, audio_encoding=encoding._replace(encode=dies_at_the_second))
    assert len(list((out / "work").glob("*.waveforms.npy"))) == 1
    prepare(source, out, options, encode=lyrics, audio_encoding=encoding._replace(encode=dies_at_the_second))
    assert len(asked) == 3
    killed, whole = (next(iter(PreparedData(at).evaluation_batches("test", batch_size=8))) for at in (out, prepared))
    np.testing.assert_array_equal(killed["audio_features"], whole["audio_features"])
    assert not (out / "work").exists()
    assert dataclasses.asdict(PreparedData(out).audio)["input"] == "features"
